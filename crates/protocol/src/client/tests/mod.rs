//! The client proxy against replicas whose answers each test writes out.

mod errors;
mod faults;
mod primary;
mod retries;
mod sessions;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::{Client, ClientError, ClientOutput, ClientSetup, Completion, Endpoint, Ticket};
use crate::message::{ClientReply, ClientRequest, FromClient, Header, NotServingReason, ToClient};
use crate::numbers::{
    ClientId, ClusterId, EpochNumber, Incarnation, NodeId, OpNumber, RequestNumber, SessionNumber, Slot, Time,
    ViewNumber,
};
use crate::options::ClientOptions;

const CLUSTER: ClusterId = ClusterId(7);
const CLIENT: ClientId = ClientId(1);
const SESSION: SessionNumber = SessionNumber(5);

/// A client, its clock, and what it has put out so far. The replica behind endpoint e is node 10 + e.
struct Bench {
    client: Client,
    now: Time,
    sent: Vec<(usize, FromClient)>,
    done: BTreeMap<Ticket, Result<Completion, ClientError>>,
    opened: Vec<(SessionNumber, u32)>,
}

fn options(slots: u32) -> ClientOptions {
    ClientOptions { slots, ..ClientOptions::default() }
}

fn setup(endpoints: usize, slots: u32) -> ClientSetup {
    ClientSetup {
        cluster: Some(CLUSTER),
        client: CLIENT,
        endpoints,
        resume: None,
        options: options(slots),
        seed: 0x5eed,
    }
}

impl Bench {
    fn new(setup: ClientSetup) -> Self {
        let now = Time(1_000_000);
        let client = Client::new(setup, now);
        let mut bench = Self { client, now, sent: Vec::new(), done: BTreeMap::new(), opened: Vec::new() };
        bench.drain();
        bench
    }

    /// With a session, opened by the primary of view 0 at endpoint 0; nobody else is known.
    fn open(endpoints: usize, slots: u32) -> Self {
        Self::open_with(setup(endpoints, slots))
    }

    fn open_with(setup: ClientSetup) -> Self {
        let mut bench = Self::new(setup);
        let slots = setup.options.slots;
        bench.answer(0, 0, ClientReply::Registered { session: SESSION, slots });
        bench.sent.clear();
        bench
    }

    /// As `open`, and who answers at each endpoint is known.
    fn acquainted(endpoints: usize, slots: u32) -> Self {
        let mut bench = Self::open(endpoints, slots);
        for endpoint in 1..endpoints {
            bench.answer(endpoint, 0, ClientReply::Redirect { primary: NodeId(10) });
        }
        assert_eq!(bench.sent, []);
        bench
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Send { to, message } => self.sent.push((to.0, message)),
                ClientOutput::Completed { ticket, result } => {
                    assert_eq!(self.done.insert(ticket, result), None, "completed once");
                }
                ClientOutput::SessionOpened { session, slots } => self.opened.push((session, slots)),
            }
        }
    }

    fn submit(&mut self, payload: &'static str) -> Ticket {
        let ticket = self.client.submit(self.now, Bytes::from_static(payload.as_bytes()));
        self.drain();
        ticket
    }

    fn take_sent(&mut self) -> Vec<(usize, ClientRequest)> {
        self.sent.drain(..).map(|(to, message)| (to, message.body)).collect()
    }

    /// The endpoints sent to since the last look.
    fn asked(&mut self) -> Vec<usize> {
        self.take_sent().into_iter().map(|(to, _)| to).collect()
    }

    fn answer(&mut self, from: usize, view: u64, body: ClientReply) {
        self.deliver(from, ToClient { header: header(from, view), client: self.client.id(), body });
    }

    fn deliver(&mut self, from: usize, message: ToClient) {
        self.client.handle(self.now, Endpoint(from), message);
        self.drain();
    }

    fn not_serving(&mut self, from: usize, reason: NotServingReason) {
        self.answer(from, 0, ClientReply::NotServing { reason });
    }

    /// Lets time pass, with a tick at each deadline.
    fn advance(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some(deadline) = self.client.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.client.tick(self.now);
            assert!(self.client.next_deadline().is_none_or(|next| next > self.now), "a tick does what is due");
            self.drain();
        }
        self.now = end;
    }

    /// Lets time pass in millisecond steps until something is sent; returns how long that took and where it went.
    fn until_sent(&mut self) -> (Duration, Vec<usize>) {
        assert_eq!(self.sent, []);
        let start = self.now;
        while self.sent.is_empty() {
            assert!(self.now.since(start) < Duration::from_secs(60), "nothing is ever sent");
            self.advance(Duration::from_millis(1));
        }
        (self.now.since(start), self.asked())
    }

    fn result(&self, ticket: Ticket) -> &'static str {
        match self.done.get(&ticket) {
            None => "pending",
            Some(Ok(_)) => "done",
            Some(Err(ClientError::OutcomeUnknown(_))) => "outcome unknown",
            Some(Err(ClientError::NotSent(_))) => "not sent",
            Some(Err(ClientError::SessionLost)) => "session lost",
            Some(Err(_)) => "failed",
        }
    }
}

fn header(from: usize, view: u64) -> Header {
    Header {
        cluster: CLUSTER,
        epoch: EpochNumber::ZERO,
        view: ViewNumber(view),
        from: NodeId(10 + from as u64),
        incarnation: Incarnation(1),
    }
}

fn register(slots: u32) -> ClientRequest {
    ClientRequest::Register { slots }
}

fn request(session: SessionNumber, slot: Slot, number: u64, payload: &'static str) -> ClientRequest {
    let payload = Bytes::from_static(payload.as_bytes());
    ClientRequest::Operation { session, slot, number: RequestNumber(number), payload }
}

fn reply(session: SessionNumber, slot: Slot, number: u64, op: u64) -> ClientReply {
    let result = Bytes::from(format!("result of {op}"));
    ClientReply::Reply { session, slot, number: RequestNumber(number), op: OpNumber(op), result }
}

fn redirect(node: usize) -> ClientReply {
    ClientReply::Redirect { primary: NodeId(10 + node as u64) }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
