//! The client proxy and a group of real replicas: what a user of both sees when replicas or the client crash.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{CLIENT, CLUSTER, Group, ms};
use bytes::Bytes;
use viewstamped_protocol::client::{
    Client, ClientError, ClientOutput, ClientSetup, Completion, Endpoint, Ticket, Unavailable,
};
use viewstamped_protocol::message::{BusyReason, ClientReply, ClientRequest};
use viewstamped_protocol::*;

const SIZE: u64 = 3;

/// A group and one client; endpoint e is replica e.
struct World {
    group: Group,
    client: Client,
    done: BTreeMap<Ticket, (Time, Result<Completion, ClientError>)>,
    session: Option<SessionNumber>,
}

fn setup(client: ClientId, resume: Option<SessionNumber>, seed: u128) -> ClientSetup {
    let options = ClientOptions::default();
    ClientSetup { cluster: Some(CLUSTER), client, endpoints: SIZE as usize, resume, options, seed }
}

impl World {
    fn new(seed: u128) -> Self {
        let mut group = Group::formatted(SIZE);
        group.run_for(ms(300));
        let client = Client::new(setup(CLIENT, None, seed), group.now.monotonic);
        let mut world = Self { group, client, done: BTreeMap::new(), session: None };
        world.run_for(ms(5));
        assert!(world.session.is_some(), "a session is open");
        world
    }

    fn submit(&mut self, payload: String) -> Ticket {
        self.client.submit(self.group.now.monotonic, Bytes::from(payload))
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.group.now.monotonic.after(duration);
        while self.group.now.monotonic < end {
            self.perform_outputs();
            self.group.run_for(ms(1));
            let now = self.group.now.monotonic;
            for reply in std::mem::take(&mut self.group.replies) {
                let from = Endpoint(usize::try_from(reply.header.from.0).unwrap());
                self.client.handle(now, from, reply);
            }
            if self.client.next_deadline().is_some_and(|deadline| deadline <= now) {
                self.client.tick(now);
            }
        }
        self.perform_outputs();
    }

    fn perform_outputs(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Send { to, message } => self.group.input(to.0 as u64, Input::Client(message)),
                ClientOutput::Completed { ticket, result } => {
                    self.done.insert(ticket, (self.group.now.monotonic, result));
                }
                ClientOutput::SessionOpened { session, .. } => self.session = Some(session),
            }
        }
    }

    fn wait_for(&mut self, ticket: Ticket) -> Result<Completion, ClientError> {
        let start = self.group.now.monotonic;
        while !self.done.contains_key(&ticket) {
            assert!(self.group.now.monotonic.since(start) < Duration::from_secs(40), "neither result nor error");
            self.run_for(ms(1));
        }
        self.done[&ticket].1.clone()
    }
}

/// reliability.md sets: median at most 0.6 s, none above 1 s.
#[test]
fn the_death_of_the_primary_is_a_short_gap_and_nothing_is_lost_or_repeated() {
    let mut gaps = Vec::new();
    for seed in 0..20 {
        let mut world = World::new(seed);
        let mut tickets = Vec::new();
        for round in 0..1_500 {
            if round == 100 + 17 * seed {
                world.group.crash(0);
            }
            if round % 10 == 0 {
                tickets.push(world.submit(format!("<{}>", tickets.len())));
            }
            world.run_for(ms(1));
        }
        world.run_for(ms(1_000));
        let mut times: Vec<Time> = tickets.iter().map(|ticket| world.done[ticket].0).collect();
        assert!(tickets.iter().all(|ticket| world.done[ticket].1.is_ok()), "seed {seed}");
        let journal = world.group.journal(1);
        for count in 0..tickets.len() {
            assert_eq!(journal.matches(&format!("<{count}>")).count(), 1, "seed {seed}: <{count}> in {journal}");
        }
        times.sort_unstable();
        gaps.push(times.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap());
    }
    gaps.sort_unstable();
    assert!(gaps[10] <= ms(600) && gaps[19] <= ms(1_000), "{gaps:?}");
}

/// 4.5: a client that crashed goes on in its session, and what it had sent is not executed twice.
#[test]
fn a_crashed_client_resumes_its_session() {
    let mut world = World::new(1);
    let ticket = world.submit("a".into());
    world.wait_for(ticket).unwrap();
    world.submit("b".into());
    world.perform_outputs();
    let old = world.session.take();
    world.client = Client::new(setup(CLIENT, old, 2), world.group.now.monotonic);
    world.done.clear();
    let ticket = world.submit("c".into());
    let completion = world.wait_for(ticket).unwrap();
    assert_eq!(completion.result, "abc");
    assert_eq!(world.client.id(), CLIENT);
    assert!(world.session > old && world.client.token() == completion.op);
}

/// The session cannot be used by two: whoever had it before learns that it is lost.
#[test]
fn a_client_whose_session_was_taken_over_is_told_so_and_gets_another() {
    let mut world = World::new(1);
    let old = world.session.unwrap();
    let robbed = world.client.clone();
    world.client = Client::new(setup(CLIENT, Some(old), 2), world.group.now.monotonic);
    world.run_for(ms(5));
    assert!(world.session.unwrap() > old);
    world.client = robbed;
    let ticket = world.submit("a".into());
    assert_eq!(world.wait_for(ticket), Err(ClientError::SessionLost));
    let ticket = world.submit("b".into());
    assert_eq!(world.wait_for(ticket).map(|completion| completion.result), Ok("b".into()));
    assert_ne!(world.client.id(), CLIENT);
}

/// C5: nobody has the state any more; a request must not be tried for ever, nor served from nothing.
#[test]
fn when_the_group_has_lost_its_memory_requests_say_so() {
    let mut world = World::new(1);
    for id in 0..SIZE {
        world.group.crash(id);
    }
    for id in 0..SIZE {
        world.group.restart(id);
    }
    let ticket = world.submit("a".into());
    assert_eq!(world.wait_for(ticket), Err(ClientError::QuorumLost));
}

/// A client that comes when the log is full was told that no primary answered, and sent to look for a broken link.
#[test]
fn a_client_that_comes_when_the_log_is_full_is_told_so() {
    let (mut group, session) = Group::serving_with(3, Options { log_bytes_max: 1_000, ..Options::default() });
    for number in 1..=6 {
        group.submit(0, session, number, "x");
        group.settle();
    }
    let message = FromClient {
        cluster: CLUSTER,
        epoch: EpochNumber::ZERO,
        client: ClientId(77),
        body: ClientRequest::Register { slots: 1 },
    };
    group.replies.clear();
    group.input(0, Input::Client(message));
    let busy = group.replies.pop().expect("an answer");
    assert!(matches!(busy.body, ClientReply::Busy { slot: None, reason: BusyReason::LogFull, .. }), "{busy:?}");

    let setup = ClientSetup {
        cluster: None,
        client: ClientId(77),
        endpoints: 1,
        resume: None,
        options: ClientOptions::default(),
        seed: 1,
    };
    let start = Time(1);
    let mut client = Client::new(setup, start);
    client.submit(start, Bytes::from_static(b"x"));
    client.handle(start, Endpoint(0), busy);
    client.tick(start.after(ClientOptions::default().request_timeout * 2));
    let error = std::iter::from_fn(|| client.poll_output()).find_map(|output| match output {
        ClientOutput::Completed { result, .. } => result.err(),
        _ => None,
    });
    assert_eq!(error, Some(ClientError::NotSent(Unavailable::LogFull)));
}
