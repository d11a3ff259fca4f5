//! Viewstamped's own core: requests of one session come in, replies go out; the client-table and the service included.

use std::collections::VecDeque;

use bytes::Bytes;
use viewstamped_protocol::message::{ClientReply, ClientRequest};
use viewstamped_protocol::{
    ClientId, ClusterId, ClusterOptions, Configuration, Destination, Durability, EpochNumber, FromClient, Identity, Input,
    InstanceId, Member, Message, NodeId, Now, Operation, Options, Output, Replica, RequestNumber, Role, Service,
    SessionNumber, Setup, Time, Timestamp,
};
use viewstamped_state::State;

use crate::Group;
use crate::operations::Operations;

const CLUSTER: ClusterId = ClusterId(1);
const CLIENT: ClientId = ClientId(5);
const REPLICAS: u64 = 3;
const PRIMARY: usize = 0;

/// A service that does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Service for Nothing {
    fn execute(&mut self, _: &mut State, _: Operation<'_>) -> Bytes {
        Bytes::from_static(b"done")
    }
}

/// Three replicas, the messages on their way, and the client.
pub struct Viewstamped<S> {
    replicas: Vec<Replica<S>>,
    mailboxes: Vec<VecDeque<Message>>,
    now: Now,
    session: SessionNumber,
    number: RequestNumber,
    answered: usize,
}

impl<S: Service + Copy> Viewstamped<S> {
    /// A group that serves, and a client with `slots` requests outstanding.
    pub fn new(service: S, slots: usize) -> Self {
        let mut group = Self {
            replicas: (0..REPLICAS).map(|id| replica(id, service)).collect(),
            mailboxes: (0..REPLICAS).map(|_| VecDeque::new()).collect(),
            now: now(1),
            session: SessionNumber(0),
            number: RequestNumber(0),
            answered: 0,
        };
        group.exchange();
        let slots = u32::try_from(slots).expect("few slots");
        group.ask(ClientRequest::Register { slots });
        group.exchange();
        assert_ne!(group.session, SessionNumber(0), "the group serves as soon as all members have met");
        group
    }

    fn ask(&mut self, body: ClientRequest) {
        let message = FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client: CLIENT, body };
        self.replicas[PRIMARY].handle(self.now, Input::Client(message));
    }

    /// Lets every replica in turn take all its messages, until there are none.
    fn exchange(&mut self) {
        let mut quiet = 0;
        for place in (0..self.replicas.len()).cycle() {
            while let Some(message) = self.mailboxes[place].pop_front() {
                self.replicas[place].handle(self.now, Input::Message(message));
            }
            quiet = if self.perform(place) { 0 } else { quiet + 1 };
            if quiet == self.replicas.len() {
                break;
            }
        }
    }

    /// Does what a replica wants done; says whether that was anything.
    fn perform(&mut self, place: usize) -> bool {
        let mut has_worked = false;
        while let Some(output) = self.replicas[place].poll_output() {
            has_worked = true;
            match output {
                Output::Send { to: Destination::Node(NodeId(id)), message } => {
                    self.mailboxes[id as usize].push_back(message)
                }
                Output::Send { to: Destination::Others, message } => {
                    let mut others = (0..self.mailboxes.len()).filter(|other| *other != place);
                    let last = others.next_back().expect("a group of three");
                    for other in others {
                        self.mailboxes[other].push_back(message.clone());
                    }
                    self.mailboxes[last].push_back(message);
                }
                Output::Reply(reply) => match reply.body {
                    ClientReply::Reply { .. } => self.answered += 1,
                    ClientReply::Registered { session, .. } => self.session = session,
                    other => panic!("nothing fails here, but {other:?}"),
                },
                Output::SaveIdentity(_) => self.replicas[place].handle(self.now, Input::IdentitySaved),
                Output::TakeCheckpoint(checkpoint) => self.replicas[place].handle(self.now, checkpoint.taken()),
                Output::Event(_) | Output::Journal { .. } | Output::SaveCheckpoint { .. } | Output::ShutDown { .. } => {}
            }
        }
        has_worked
    }
}

impl<S: Service + Copy> Group for Viewstamped<S> {
    fn commit(&mut self, operations: &mut Operations, batch: usize) {
        // A microsecond a batch: no timer comes due, as none does in a group that works.
        self.now = now(self.now.monotonic.0 + 1_000);
        self.number = RequestNumber(self.number.0 + 1);
        self.answered = 0;
        for slot in 0..batch as u32 {
            let payload = operations.next();
            self.ask(ClientRequest::Operation { session: self.session, slot, number: self.number, payload });
        }
        self.exchange();
        assert_eq!(self.answered, batch, "every request is answered");
    }
}

fn now(nanoseconds: u64) -> Now {
    Now { monotonic: Time(nanoseconds), wall: Timestamp(nanoseconds) }
}

fn replica<S: Service>(id: u64, service: S) -> Replica<S> {
    let members =
        (0..REPLICAS).map(|id| Member { id: NodeId(id), role: Role::Active, address: format!("r{id}") }).collect();
    let setup = Setup {
        cluster: CLUSTER,
        id: NodeId(id),
        configuration: Configuration::new(EpochNumber::ZERO, members).expect("distinct members"),
        cluster_options: ClusterOptions::default(),
        options: Options::default(),
        identity: Some(Identity::formatted(InstanceId(u128::from(id) + 1))),
        durability: Durability::Replicated,
        surviving: None,
        seed: u128::from(id),
    };
    Replica::new(setup, service, now(1))
}
