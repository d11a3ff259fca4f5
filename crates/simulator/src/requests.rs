//! The clients' side of a run: requests, answers, and what the proxies want done.

use std::time::Duration;

use viewstamped_protocol::client::{ClientOutput, Endpoint};
use viewstamped_protocol::message::ClientReply;
use viewstamped_protocol::{FromClient, Input, ToClient};

use crate::checkers::Checked;
use crate::coverage::Mark;
use crate::network::Fate;
use crate::random::Draw;
use crate::simulation::{Event, Simulation, TICK_MIN};
use crate::trace::{Answer, Request};
use crate::workload::Workload;

impl<W: Workload> Simulation<'_, W> {
    /// A client's message reaches a replica.
    pub(crate) fn on_request(&mut self, client: usize, to: usize, message: FromClient) -> Checked {
        self.trace.line(self.now, || format!("c{client}->r{to} {}", Request(&message)));
        self.count(1, to as u64);
        self.deliver(to, Input::Client(message))
    }

    /// Sends a replica's answer to the client it is for.
    pub(crate) fn send_answer(&mut self, from: usize, message: ToClient) {
        let Some(&client) = self.client_ids.get(&message.client) else { return };
        match message.body {
            ClientReply::NoSession { .. } => self.coverage.hit(Mark::Evicted),
            ClientReply::Busy { .. } => self.coverage.hit(Mark::Busy),
            ClientReply::NotServing { .. } => self.coverage.hit(Mark::NotServing),
            ClientReply::Refused { .. } => self.coverage.hit(Mark::RefusedRequest),
            ClientReply::Redirect { .. } => self.coverage.hit(Mark::Redirected),
            _ => {}
        }
        let Fate::Arrives(first, second) = self.network.carry_answer(from, client) else { return };
        if let Some(delay) = second {
            self.schedule.at(self.now.after(delay), Event::Answer { from, client, message: message.clone() });
        }
        self.schedule.at(self.now.after(first), Event::Answer { from, client, message });
    }

    /// An answer reaches a client.
    pub(crate) fn on_answer(&mut self, from: usize, client: usize, message: ToClient) -> Checked {
        self.trace.line(self.now, || format!("r{from}->c{client} {}", Answer(&message)));
        self.count(6, client as u64);
        if !self.clients[client].is_active {
            return Ok(());
        }
        let now = self.now;
        self.clients[client].proxy().handle(now, Endpoint(from), message);
        self.drain_client(client)
    }

    /// A client's deadline may have come.
    pub(crate) fn on_client_timer(&mut self, client: usize, generation: u32) -> Checked {
        let now = self.now;
        let actor = &mut self.clients[client];
        if !actor.is_active || actor.generation != generation || actor.timer != Some(now) {
            return Ok(());
        }
        actor.timer = None;
        if actor.next_deadline().is_some_and(|deadline| deadline <= now) {
            actor.proxy().tick(now);
            self.count(7, client as u64);
        }
        self.drain_client(client)
    }

    /// A client has thought of its next request.
    pub(crate) fn on_submit(&mut self, client: usize) -> Checked {
        self.clients[client].is_thinking = false;
        if self.requests >= self.requests_max || !self.clients[client].may_submit() {
            return Ok(());
        }
        self.requests += 1;
        self.count(8, client as u64);
        let payload = self.workload.next_request(&mut self.dice.clients);
        let id = self.clients[client].proxy().id();
        let number = self.history.invoke(id, payload.clone());
        self.clients[client].submit(self.now, payload, number);
        self.drain_client(client)
    }

    /// The client begins to think about its next request, if it may make one.
    pub(crate) fn think(&mut self, client: usize) {
        let actor = &mut self.clients[client];
        if actor.is_thinking || !actor.may_submit() || self.requests >= self.requests_max {
            return;
        }
        actor.is_thinking = true;
        let shortest = Duration::from_micros(1);
        let pause = self.dice.clients.duration(shortest, self.think_time.max(shortest));
        self.schedule.at(self.now.after(pause), Event::Submit { client });
    }

    /// Performs what the client's proxy wants done.
    pub(crate) fn drain_client(&mut self, client: usize) -> Checked {
        while let Some(output) = self.clients[client].proxy().poll_output() {
            match output {
                ClientOutput::Send { to, message } => self.send_request(client, to.0, message),
                ClientOutput::SessionOpened { session, .. } => self.clients[client].session_opened(session),
                ClientOutput::Completed { ticket, result } => {
                    let number = self.clients[client].completed(ticket);
                    match result {
                        Ok(completion) => {
                            self.clients[client].answered += 1;
                            self.history.complete(number, completion.op, completion.result)?;
                        }
                        Err(_) => self.coverage.hit(Mark::OutcomeUnknown),
                    }
                }
            }
        }
        let actor = &mut self.clients[client];
        if let Some(deadline) = actor.next_deadline() {
            let moment = deadline.max(self.now.after(TICK_MIN));
            if actor.timer.is_none_or(|timer| moment < timer) {
                actor.timer = Some(moment);
                self.schedule.at(moment, Event::ClientTimer { client, generation: actor.generation });
            }
        }
        self.think(client);
        Ok(())
    }

    fn send_request(&mut self, client: usize, to: usize, message: FromClient) {
        self.client_ids.entry(message.client).or_insert(client);
        let Fate::Arrives(first, second) = self.network.carry_request(client, to) else { return };
        if let Some(delay) = second {
            self.schedule.at(self.now.after(delay), Event::Request { client, to, message: message.clone() });
        }
        self.schedule.at(self.now.after(first), Event::Request { client, to, message });
    }
}
