//! Schedules by hand: every message waits until the script delivers or loses it, every timer until the script fires it, and the
//! checkers watch all the same.
//!
//! ```
//! use viewstamped_simulator::Kind;
//! use viewstamped_simulator::script::Script;
//!
//! let mut script = Script::serving(3);
//! script.put(0, "x", "1");
//! script.deliver(0, 1, Kind::Prepare);
//! script.deliver(1, 0, Kind::PrepareOk);
//! assert!(script.is_answered());
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use viewstamped_map::{Map, Operation, Reply};
use viewstamped_protocol::message::{Body, ClientReply, ClientRequest};
use viewstamped_protocol::random::Random;
use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{
    ClientId, ClusterId, ClusterOptions, Destination, EpochNumber, FromClient, Input, InstanceId, Message, Now,
    Options, Output, RequestNumber, SessionNumber, StatusName, Time, Timestamp, ToClient,
};

use crate::checkers::Checked;
use crate::cluster::{Cluster, ClusterSetup, Restart};
use crate::message_kind::Kind;
use crate::trace::{Answer, Request};

/// How long a new group gets to begin: many heartbeats.
const BEGINNING: Duration = Duration::from_millis(300);

/// How many timers a replica may let pass before it must have lost patience with its primary.
const TICKS_MAX: usize = 10_000;

/// The wall clock when a script begins.
const WALL_START: u64 = 1_700_000_000_000_000_000;

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The sender, by its place in the configuration.
    pub from: usize,
    /// The receiver.
    pub to: usize,
    /// What it says.
    pub message: Message,
}

/// A group of replicas r0, r1, ... of the map service that do nothing the script does not tell them. Any violated invariant
/// panics with the transcript.
pub struct Script {
    cluster: Cluster<Map>,
    /// Each replica's own clock: firing a timer advances one of them.
    clocks: Vec<Time>,
    network: VecDeque<InFlight>,
    answers: Vec<ToClient>,
    random: Random,
    client: ClientId,
    session: SessionNumber,
    number: RequestNumber,
    transcript: Vec<String>,
}

impl Script {
    /// A group with default options that is normal in view 0, where a session is open at op-number 1 and nothing is under way.
    #[must_use]
    pub fn serving(replicas: usize) -> Self {
        Self::with_options(replicas, Options::default())
    }

    /// The same with these options at every replica.
    #[must_use]
    pub fn with_options(replicas: usize, options: Options) -> Self {
        let mut script = Self::formatted(replicas, options);
        for place in 0..replicas {
            script.start(place, Restart::Surviving);
        }
        script.run(BEGINNING);
        let body = ClientRequest::Register { slots: 1 };
        script.send_request(0, body);
        script.run(BEGINNING);
        let opened = script.answers.iter().find_map(|answer| match answer.body {
            ClientReply::Registered { session, .. } => Some(session),
            _ => None,
        });
        script.session = opened.expect("a healthy group opens a session");
        script.answers.clear();
        script.network.clear();
        script.transcript.clear();
        script
    }

    /// A newly formatted group of which nobody has started.
    #[must_use]
    pub fn formatted(replicas: usize, options: Options) -> Self {
        let mut random = Random::new(0x7363_7269_7074);
        let cluster = Cluster::new(ClusterSetup {
            cluster: ClusterId(1),
            cluster_options: ClusterOptions::default(),
            options: vec![options; replicas],
            is_deterministic: true,
            service: Map,
            instances: (0..replicas).map(|_| InstanceId(random.next_u128())).collect(),
        });
        Self {
            cluster,
            clocks: vec![Time(1_000_000_000); replicas],
            network: VecDeque::new(),
            answers: Vec::new(),
            random,
            client: ClientId(1),
            session: SessionNumber::ZERO,
            number: RequestNumber::ZERO,
            transcript: Vec::new(),
        }
    }

    // Messages.

    /// All messages under way, oldest first.
    pub fn network(&self) -> impl Iterator<Item = &InFlight> {
        self.network.iter()
    }

    /// Takes the oldest such message off the network, to be delivered later, several times, or never.
    #[track_caller]
    pub fn hold(&mut self, from: usize, to: usize, kind: Kind) -> InFlight {
        let place =
            self.network.iter().position(|one| one.from == from && one.to == to && Kind::of(&one.message.body) == kind);
        let Some(place) = place else { panic!("no {kind:?} from r{from} to r{to}{}", self.report()) };
        self.network.remove(place).expect("just found")
    }

    /// Delivers a message that was held back.
    #[track_caller]
    pub fn deliver_held(&mut self, held: &InFlight) {
        let InFlight { from, to, message } = held;
        self.note(format!("r{from}->r{to} {message}"));
        self.input(*to, Input::Message(message.clone()));
    }

    /// Delivers the oldest such message.
    #[track_caller]
    pub fn deliver(&mut self, from: usize, to: usize, kind: Kind) {
        let held = self.hold(from, to, kind);
        self.deliver_held(&held);
    }

    /// Delivers all messages for which `is_wanted` says so, those that come up meanwhile included.
    #[track_caller]
    pub fn deliver_all(&mut self, is_wanted: impl Fn(&InFlight) -> bool) {
        while let Some(place) = self.network.iter().position(&is_wanted) {
            let held = self.network.remove(place).expect("just found");
            self.deliver_held(&held);
        }
    }

    /// Loses all messages for which `is_lost` says so.
    pub fn lose(&mut self, is_lost: impl Fn(&InFlight) -> bool) {
        let transcript = &mut self.transcript;
        self.network.retain(|one| {
            let lost = is_lost(one);
            if lost {
                transcript.push(format!("r{}->r{} {} (lost)", one.from, one.to, one.message));
            }
            !lost
        });
    }

    /// Loses everything under way.
    pub fn lose_all(&mut self) {
        self.lose(|_| true);
    }

    // Time.

    /// Lets a replica's clock advance without waking it.
    pub fn pass(&mut self, place: usize, time: Duration) {
        self.clocks[place] = self.clocks[place].after(time);
    }

    /// Wakes a replica at its next deadline; only its clock advances.
    #[track_caller]
    pub fn fire(&mut self, place: usize) {
        if let Some(deadline) = self.cluster.next_deadline(place) {
            self.clocks[place] = self.clocks[place].max(deadline);
        }
        self.input(place, Input::Tick);
    }

    /// Fires a replica's timers until it votes for a later view, or joins one.
    #[track_caller]
    pub fn suspect(&mut self, place: usize) {
        let before = self.network.len();
        self.note(format!("r{place} loses patience"));
        for _ in 0..TICKS_MAX {
            self.fire(place);
            let votes = |one: &InFlight| one.from == place && matches!(one.message.body, Body::StartViewChange(_));
            if self.network.iter().skip(before).any(votes) {
                return;
            }
        }
        panic!("r{place} never suspects its primary{}", self.report());
    }

    /// Lets everything happen as in a healthy network, for this long.
    #[track_caller]
    pub fn run(&mut self, time: Duration) {
        // All clocks are brought level: they only differ because the script fired timers.
        let mut now = self.clocks.iter().copied().max().expect("a group has members");
        self.clocks.fill(now);
        let until = now.after(time);
        loop {
            self.deliver_all(|_| true);
            let places = 0..self.clocks.len();
            let next = places
                .filter_map(|place| self.cluster.next_deadline(place).map(|deadline| (deadline.max(now), place)))
                .min();
            let Some((deadline, place)) = next.filter(|(deadline, _)| *deadline <= until) else { return };
            now = deadline.max(Time(now.0 + 1_000));
            self.clocks.fill(now);
            self.input(place, Input::Tick);
        }
    }

    // Machines.

    /// Takes a replica's memory. What it has sent stays under way.
    pub fn crash(&mut self, place: usize) {
        self.note(format!("r{place} crashes"));
        self.cluster.crash(place, 0);
    }

    /// Starts a replica that is down.
    #[track_caller]
    pub fn start(&mut self, place: usize, restart: Restart) {
        self.note(format!("r{place} starts, {restart:?}"));
        let (seed, now) = (self.random.next_u128(), self.now(place));
        let result = self.cluster.start(place, restart, seed, now);
        self.judge(result);
        self.drain(place);
    }

    /// A fresh directory, as if the operator had formatted it again.
    pub fn reformatted(&mut self) -> Restart {
        Restart::Reformatted(InstanceId(self.random.next_u128()))
    }

    /// The inside of a replica that is up.
    #[must_use]
    pub fn probe(&self, place: usize) -> Probe<'_> {
        self.cluster.probe(place).unwrap_or_else(|| panic!("r{place} is down"))
    }

    /// A replica's status.
    #[must_use]
    pub fn status(&self, place: usize) -> StatusName {
        self.probe(place).status
    }

    /// The value of a key in the state of a replica, as far as it has executed.
    #[must_use]
    pub fn value(&self, place: usize, key: &str) -> Option<Vec<u8>> {
        let replica = self.cluster.replica(place).unwrap_or_else(|| panic!("r{place} is down"));
        replica.state().get(key.as_bytes()).map(<[u8]>::to_vec)
    }

    // The client.

    /// The client asks the replica at `place` to put a value; a request answered, or given up, makes room for the next.
    #[track_caller]
    pub fn put(&mut self, place: usize, key: &str, value: &str) {
        let payload = Operation::Put { key: key.as_bytes(), value: value.as_bytes() }.encode().expect("short");
        self.number = self.number.next();
        self.answers.clear();
        self.request(place, payload);
    }

    /// The client asks again for what it asked last.
    #[track_caller]
    fn request(&mut self, place: usize, payload: Bytes) {
        let body = ClientRequest::Operation { session: self.session, slot: 0, number: self.number, payload };
        self.send_request(place, body);
    }

    /// Whether the client was told that its latest request is done.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answers.iter().any(|answer| match &answer.body {
            ClientReply::Reply { number, result, .. } => {
                *number == self.number && matches!(Reply::decode(result), Ok(Reply::Done { .. }))
            }
            _ => false,
        })
    }

    #[track_caller]
    fn send_request(&mut self, place: usize, body: ClientRequest) {
        let message = FromClient { cluster: ClusterId(1), epoch: EpochNumber::ZERO, client: self.client, body };
        self.note(format!("c->r{place} {}", Request(&message)));
        self.input(place, Input::Client(message));
    }

    // The machinery.

    fn now(&self, place: usize) -> Now {
        let monotonic = self.clocks[place];
        Now { monotonic, wall: Timestamp(WALL_START + monotonic.0) }
    }

    #[track_caller]
    fn input(&mut self, place: usize, input: Input) {
        if self.cluster.is_up(place) {
            let result = self.cluster.handle(place, self.now(place), input);
            self.judge(result);
            self.drain(place);
        }
    }

    /// Puts what a replica sends on the network. Its identity is durable at once.
    #[track_caller]
    fn drain(&mut self, place: usize) {
        loop {
            let output = match self.cluster.output(place) {
                Ok(output) => output,
                Err(violation) => return self.judge(Err(violation)),
            };
            match output {
                None => return,
                Some(Output::Send { to: Destination::Node(id), message }) => {
                    let to = self.cluster.place(id);
                    self.network.push_back(InFlight { from: place, to, message });
                }
                Some(Output::Send { to: Destination::Others, message }) => {
                    for to in (0..self.clocks.len()).filter(|to| *to != place) {
                        self.network.push_back(InFlight { from: place, to, message: message.clone() });
                    }
                }
                Some(Output::Reply(message)) => {
                    self.note(format!("r{place}->c {}", Answer(&message)));
                    self.answers.push(message);
                }
                Some(Output::SaveIdentity(_)) => {
                    if self.cluster.identity_saved(place) {
                        let result = self.cluster.handle(place, self.now(place), Input::IdentitySaved);
                        self.judge(result);
                    }
                }
                Some(Output::TakeCheckpoint(checkpoint)) => {
                    let result = self.cluster.handle(place, self.now(place), checkpoint.taken());
                    self.judge(result);
                }
                Some(
                    Output::Event(_) | Output::Journal { .. } | Output::SaveCheckpoint { .. } | Output::ShutDown { .. },
                ) => {}
            }
        }
    }

    #[track_caller]
    fn judge(&self, result: Checked) {
        if let Err(violation) = result {
            panic!("{violation}{}", self.report());
        }
    }

    fn note(&mut self, line: String) {
        self.transcript.push(line);
    }

    /// What happened so far and what is under way, a line each.
    #[must_use]
    pub fn report(&self) -> String {
        let happened = self.transcript.iter().map(|line| format!("\n  {line}"));
        let waiting =
            self.network.iter().map(|one| format!("\n  under way: r{}->r{} {}", one.from, one.to, one.message));
        happened.chain(waiting).collect()
    }
}
