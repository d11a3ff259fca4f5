//! A group of real replicas on a network that is perfect until a test says otherwise, for tests of one behaviour at a time.

mod disk;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use viewstamped_protocol::message::{Body, ClientReply, ClientRequest, Header, StartViewChange};
use viewstamped_protocol::*;
use viewstamped_state::State;

use disk::Disk;

pub const CLUSTER: ClusterId = ClusterId(7);
pub const CLIENT: ClientId = ClientId(42);

/// Appends every operation to one value, so that order and repetition show.
///
/// `file` also writes what fills most of a page, under the operation's own name; `stray 1` does something else at r1.
///
/// `guess` has a value predicted by the primary, `draw` one to which f + 1 replicas contribute; it stands behind the operation.
/// Predictions say who made them, and as which of its own: `r0.1`.
#[derive(Clone, Debug)]
pub struct Journal {
    id: u64,
    predictions: u64,
}

impl Journal {
    /// The journal of this replica.
    pub fn new(id: u64) -> Self {
        Self { id, predictions: 0 }
    }
}

impl Service for Journal {
    fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes {
        let mut text = state.get(b"journal").unwrap_or_default().to_vec();
        text.extend_from_slice(operation.payload);
        if !operation.predicted.is_empty() {
            text.extend_from_slice(&[b"(", &operation.predicted[..], b")"].concat());
        }
        // A bug: one replica does something else than the others.
        if operation.payload.strip_prefix(b"stray ") == Some(self.id.to_string().as_bytes()) {
            text.push(b'?');
        }
        if operation.payload.starts_with(b"file ") {
            state.insert(Bytes::copy_from_slice(operation.payload), Bytes::from(vec![b'.'; 300]));
        }
        let text = Bytes::from(text);
        state.insert(Bytes::from_static(b"journal"), text.clone());
        assert_ne!(*operation.payload, "poison", "the service has a bug");
        text
    }

    fn validate(&self, payload: &[u8]) -> Result<(), String> {
        assert_ne!(payload, b"unreadable", "the service has a bug");
        if payload == b"bad" { Err("bad".into()) } else { Ok(()) }
    }

    fn predict(&mut self, payload: &[u8], _wall: Timestamp, _seed: u64) -> Bytes {
        assert_ne!(payload, b"unpredictable", "the service has a bug");
        if !payload.starts_with(b"guess") && !payload.starts_with(b"draw") {
            return Bytes::new();
        }
        self.predictions += 1;
        let length = match payload {
            payload if payload.ends_with(b" half too long") => 10_000,
            payload if payload.ends_with(b" too long") => PREDICTED_BYTES_MAX + 1,
            _ => 0,
        };
        format!("{:<length$}", format!("r{}.{}", self.id, self.predictions)).into()
    }

    fn asks_backups(&self, payload: &[u8]) -> bool {
        payload.starts_with(b"draw")
    }

    fn combine(&self, _payload: &[u8], contributions: Contributions<'_>) -> Bytes {
        let missing = if contributions.is_complete() { &b""[..] } else { b"..." };
        [&contributions.values.join(&b'+'), missing].concat().into()
    }
}

/// Says which messages are lost: to whom, and what.
type Lossy = Rc<RefCell<dyn FnMut(u64, &Message) -> bool>>;

#[derive(Clone)]
pub struct Group {
    pub configuration: Configuration,
    pub replicas: BTreeMap<NodeId, Replica<Journal>>,
    pub identities: BTreeMap<NodeId, Identity>,
    pub now: Now,
    pub network: VecDeque<(NodeId, Message)>,
    pub replies: Vec<ToClient>,
    pub events: Vec<(NodeId, Event)>,
    /// Links that lose everything: from, to.
    pub cut: BTreeSet<(u64, u64)>,
    lossy: Option<Lossy>,
    /// How long every message takes. Zero: it arrives before time passes.
    pub latency: Duration,
    travelling: VecDeque<(Time, NodeId, Message)>,
    pub cluster_options: ClusterOptions,
    pub options: Options,
    pub durability: Durability,
    disks: BTreeMap<NodeId, Disk>,
    /// The seed of the replica started last.
    pub seed: u128,
}

pub fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

impl Group {
    /// Newly formatted replicas that have not met.
    pub fn formatted(size: u64) -> Self {
        Self::with_options(size, Options::default())
    }

    pub fn formatted_with(size: u64, cluster_options: ClusterOptions) -> Self {
        Self::with(size, cluster_options, Options::default(), Durability::Replicated)
    }

    pub fn with_options(size: u64, options: Options) -> Self {
        Self::with(size, ClusterOptions::default(), options, Durability::Replicated)
    }

    /// Newly formatted replicas with disks, if the mode uses them. These are quick.
    pub fn with(size: u64, cluster_options: ClusterOptions, options: Options, durability: Durability) -> Self {
        let members = (0..size).map(|id| Member { id: NodeId(id), role: Role::Active, address: format!("h:{id}") });
        let configuration = Configuration::new(EpochNumber::ZERO, members.collect()).unwrap();
        let mut group = Self {
            configuration,
            replicas: BTreeMap::new(),
            identities: BTreeMap::new(),
            now: Now { monotonic: Time(1), wall: Timestamp(1_000) },
            network: VecDeque::new(),
            replies: Vec::new(),
            events: Vec::new(),
            cut: BTreeSet::new(),
            lossy: None,
            latency: Duration::ZERO,
            travelling: VecDeque::new(),
            cluster_options,
            options,
            durability,
            disks: BTreeMap::new(),
            seed: 1,
        };
        for id in 0..size {
            group.start(id, Some(Identity::formatted(InstanceId(u128::from(id) + 100))));
        }
        group
    }

    /// A group that serves in view 0, with a session open.
    pub fn serving(size: u64) -> (Self, SessionNumber) {
        Self::serving_with(size, Options::default())
    }

    pub fn serving_with(size: u64, options: Options) -> (Self, SessionNumber) {
        let mut group = Self::with_options(size, options);
        group.run_for(ms(300));
        assert!(group.all_normal(), "all of a new group become normal");
        let session = group.register(0);
        (group, session)
    }

    pub fn start(&mut self, id: u64, identity: Option<Identity>) {
        self.seed += 1;
        self.identities.extend(identity.clone().map(|identity| (NodeId(id), identity)));
        let surviving = self.surviving(NodeId(id));
        let setup = Setup {
            cluster: CLUSTER,
            id: NodeId(id),
            configuration: self.configuration.clone(),
            cluster_options: self.cluster_options,
            options: self.options,
            identity,
            durability: self.durability,
            surviving,
            seed: self.seed,
        };
        self.replicas.insert(NodeId(id), Replica::new(setup, Journal::new(id), self.now));
        self.drain(NodeId(id));
    }

    /// The replica loses its memory; only its identity file survives, and what its disk has written.
    pub fn crash(&mut self, id: u64) {
        self.replicas.remove(&NodeId(id));
        self.disk(id).lose_what_waits();
    }

    pub fn restart(&mut self, id: u64) {
        let identity = self.identities.get(&NodeId(id)).cloned();
        self.start(id, identity);
    }

    /// The replica comes back on an empty directory.
    pub fn restart_wiped(&mut self, id: u64) {
        self.identities.remove(&NodeId(id));
        self.disks.remove(&NodeId(id));
        self.start(id, None);
    }

    fn drain(&mut self, id: NodeId) {
        loop {
            let Some(output) = self.replicas.get_mut(&id).and_then(Replica::poll_output) else { return };
            match output {
                Output::Send { to: Destination::Node(to), message } => self.send(to, message),
                Output::Send { to: Destination::Others, message } => {
                    for to in self.configuration.ids().filter(|to| *to != id).collect::<Vec<_>>() {
                        self.send(to, message.clone());
                    }
                }
                Output::Reply(reply) => self.replies.push(reply),
                Output::SaveIdentity(identity) => {
                    self.identities.insert(id, identity);
                    self.replicas.get_mut(&id).unwrap().handle(self.now, Input::IdentitySaved);
                }
                Output::TakeCheckpoint(checkpoint) => {
                    self.replicas.get_mut(&id).unwrap().handle(self.now, checkpoint.taken());
                }
                Output::Event(event) => self.events.push((id, event)),
                Output::Journal { sequence, record } => self.journal_record(id, sequence, record),
                Output::SaveCheckpoint { checkpoint, sequence } => self.save_checkpoint(id, *checkpoint, sequence),
                Output::ShutDown { sequence } => self.disk(id.0).is_clean = sequence.is_some(),
            }
        }
    }

    fn send(&mut self, to: NodeId, message: Message) {
        if self.latency.is_zero() {
            self.network.push_back((to, message));
        } else {
            self.travelling.push_back((self.now.monotonic.after(self.latency), to, message));
        }
    }

    pub fn input(&mut self, id: u64, input: Input) {
        if let Some(replica) = self.replicas.get_mut(&NodeId(id)) {
            replica.handle(self.now, input);
            self.drain(NodeId(id));
        }
    }

    /// Delivers everything, and what follows from it, without time passing.
    pub fn settle(&mut self) {
        for delivered in 0.. {
            let Some((to, message)) = self.network.pop_front() else { return };
            assert!(delivered < 100_000, "these messages answer each other for ever: {message}");
            let is_lost = self.lossy.as_ref().is_some_and(|is_lost| is_lost.borrow_mut()(to.0, &message));
            if !is_lost && !self.cut.contains(&(message.header.from.0, to.0)) {
                self.input(to.0, Input::Message(message));
            }
        }
    }

    /// Lets time pass, in steps of a millisecond.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now.monotonic.after(duration);
        while self.now.monotonic < end {
            self.settle();
            self.now.monotonic = self.now.monotonic.after(ms(1));
            self.now.wall = self.now.wall.plus(1_000_000);
            while self.travelling.front().is_some_and(|(due, ..)| *due <= self.now.monotonic) {
                self.network.extend(self.travelling.pop_front().map(|(_, to, message)| (to, message)));
            }
            for id in self.configuration.ids().collect::<Vec<_>>() {
                let due = self.replicas.get(&id).and_then(Replica::next_deadline);
                if due.is_some_and(|due| due <= self.now.monotonic) {
                    self.input(id.0, Input::Tick);
                }
            }
        }
        self.settle();
    }

    pub fn request(&mut self, to: u64, body: ClientRequest) {
        let message = FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client: CLIENT, body };
        self.input(to, Input::Client(message));
    }

    pub fn register(&mut self, primary: u64) -> SessionNumber {
        self.request(primary, ClientRequest::Register { slots: 8 });
        self.settle();
        match self.replies.pop().map(|reply| reply.body) {
            Some(ClientReply::Registered { session, .. }) => session,
            other => panic!("no session: {other:?}"),
        }
    }

    pub fn submit(&mut self, to: u64, session: SessionNumber, number: u64, payload: &'static str) {
        self.submit_in(to, session, 0, number, payload);
    }

    pub fn submit_in(&mut self, to: u64, session: SessionNumber, slot: Slot, number: u64, payload: &'static str) {
        let payload = Bytes::from_static(payload.as_bytes());
        self.request(to, ClientRequest::Operation { session, slot, number: RequestNumber(number), payload });
    }

    /// Submits, settles and returns the result.
    pub fn execute(&mut self, to: u64, session: SessionNumber, number: u64, payload: &'static str) -> String {
        self.replies.clear();
        self.submit(to, session, number, payload);
        self.settle();
        self.result().unwrap_or_else(|| panic!("no reply: {:?}", self.replies))
    }

    pub fn result(&self) -> Option<String> {
        self.replies.iter().find_map(|reply| match &reply.body {
            ClientReply::Reply { result, .. } => Some(String::from_utf8(result.to_vec()).unwrap()),
            _ => None,
        })
    }

    /// Nothing passes between these two.
    pub fn cut_between(&mut self, left: u64, right: u64) {
        self.cut.extend([(left, right), (right, left)]);
    }

    /// Nothing passes between this replica and any other.
    pub fn isolate(&mut self, id: u64) {
        for other in self.configuration.ids().filter(|other| other.0 != id).collect::<Vec<_>>() {
            self.cut_between(id, other.0);
        }
    }

    /// Only these pairs are connected.
    pub fn connect_only(&mut self, links: &[(u64, u64)]) {
        let ids: Vec<u64> = self.configuration.ids().map(|id| id.0).collect();
        self.cut = ids.iter().flat_map(|from| ids.iter().map(|to| (*from, *to))).collect();
        for (left, right) in links {
            self.cut.remove(&(*left, *right));
            self.cut.remove(&(*right, *left));
        }
    }

    /// Loses the messages that `is_lost` chooses, until the network heals.
    pub fn lose(&mut self, is_lost: impl FnMut(u64, &Message) -> bool + 'static) {
        self.lossy = Some(Rc::new(RefCell::new(is_lost)));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
        self.lossy = None;
    }

    /// Takes the messages under way that satisfy `wanted` off the network.
    pub fn hold(&mut self, wanted: impl Fn(u64, &Message) -> bool) -> Vec<(NodeId, Message)> {
        let (held, rest): (VecDeque<_>, VecDeque<_>) =
            self.network.drain(..).partition(|(to, message)| wanted(to.0, message));
        self.network = rest;
        Vec::from(held)
    }

    pub fn replica(&self, id: u64) -> &Replica<Journal> {
        &self.replicas[&NodeId(id)]
    }

    /// Delivers the first such message under way; nothing that follows from it.
    #[track_caller]
    pub fn deliver(&mut self, from: u64, to: u64, kind: &str) {
        let message = self.take(from, to, kind);
        self.input(to, Input::Message(message));
    }

    /// Takes the first such message off the network.
    #[track_caller]
    pub fn take(&mut self, from: u64, to: u64, kind: &str) -> Message {
        let is_wanted = |(id, message): &(NodeId, Message)| {
            message.header.from.0 == from && id.0 == to && message.body.name() == kind
        };
        let place = self.network.iter().position(is_wanted);
        let place = place.unwrap_or_else(|| panic!("no {kind} from r{from} to r{to} in {:#?}", self.transcript()));
        self.network.remove(place).expect("just found").1
    }

    /// What is under way, in the paper's notation.
    pub fn transcript(&self) -> Vec<String> {
        self.network.iter().map(|(to, message)| format!("{}->{to} {message}", message.header.from)).collect()
    }

    /// Tells a replica that a quorum wants `view`: it enters the view change and sends its DOVIEWCHANGE.
    pub fn enter_view_change(&mut self, id: u64, view: u64) {
        let peer = self.configuration.ids().find(|peer| peer.0 != id).expect("another member");
        let candidate = ViewNumber(view);
        let body = StartViewChange { candidate, votes: Vec::new(), confirmed: true };
        let header = Header { view: candidate, from: peer, ..self.header(peer.0) };
        self.input(id, Input::Message(Message { header, body: Body::StartViewChange(body) }));
    }

    /// The header a message of this member has, or had before it crashed.
    pub fn header(&self, id: u64) -> Header {
        let report = self.replicas.get(&NodeId(id)).map(Replica::report);
        let epoch = self.configuration.epoch();
        let incarnation = report.as_ref().map_or(Incarnation(1), |report| report.incarnation);
        let view = report.map_or(ViewNumber::ZERO, |report| report.view);
        Header { cluster: CLUSTER, epoch, view, from: NodeId(id), incarnation }
    }

    pub fn op(&self, id: u64) -> u64 {
        self.replica(id).report().op.0
    }

    pub fn commit(&self, id: u64) -> u64 {
        self.replica(id).report().commit.0
    }

    pub fn view(&self, id: u64) -> u64 {
        self.replica(id).report().view.0
    }

    pub fn status(&self, id: u64) -> StatusName {
        self.replica(id).report().status
    }

    /// The one replica that is the primary of its view and normal.
    pub fn primary(&self) -> u64 {
        let reports = self.replicas.values().map(Replica::report);
        let leads = |report: &Report| report.primary == report.id && report.status == StatusName::Normal;
        reports.filter(leads).max_by_key(|report| report.view).expect("some replica leads").id.0
    }

    pub fn all_normal(&self) -> bool {
        self.replicas.values().all(|replica| replica.report().status == StatusName::Normal)
    }

    pub fn journal(&self, id: u64) -> String {
        let journal = self.replica(id).state().get(b"journal").unwrap_or_default();
        String::from_utf8(journal.to_vec()).unwrap()
    }
}

/// A group with nothing under way, whose members all have executed the REGISTER, op 1.
pub fn quiet(size: u64) -> (Group, SessionNumber) {
    quiet_with(size, Options::default())
}

/// The same with other options.
pub fn quiet_with(size: u64, options: Options) -> (Group, SessionNumber) {
    let (mut group, session) = Group::serving_with(size, options);
    group.run_for(ms(100));
    group.replies.clear();
    (group, session)
}

/// The PREPARE among the messages under way to `to`.
pub fn prepare_to(group: &Group, to: u64) -> Message {
    let found = group.network.iter().find(|(id, message)| id.0 == to && matches!(message.body, Body::Prepare(_)));
    found.expect("a PREPARE is under way").1.clone()
}
