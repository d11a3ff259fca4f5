//! What one replica does in one state with one input: found out once, by the real code, and remembered.
//!
//! A group has far more states than its replicas have, because theirs combine. So almost every step of the search is a look-up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use viewstamped_map::Map;
use viewstamped_protocol::message::{Body, ClientRequest, Header, StartViewChange, ToClient};
use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{
    ClientId, ClusterId, ClusterOptions, Configuration, Destination, Durability, EpochNumber, FromClient, Identity,
    Incarnation, Input, InstanceId, Message, Now, OpNumber, Options, Output, Replica, Setup, StatusName, Time,
    Timestamp, ViewNumber,
};

use crate::checkers::consistency::Consistency;
use crate::checkers::limits::Limits;
use crate::checkers::{Checked, Seen, Violation, primary, view_order};
use crate::cluster::configuration;
use crate::observed::{Observed, UpCall, UpCalls};
use crate::panic_message;
use crate::search::Bounds;
use crate::search::action::Action;
use crate::search::letters::{LetterId, Letters};
use crate::search::table::{Table, folded, mix};

/// The one moment at which everything happens: timers are choices, not times.
const MOMENT: Now = Now { monotonic: Time(1_000_000_000_000), wall: Timestamp(1_700_000_000_000_000_000) };

const CLUSTER: ClusterId = ClusterId(1);

/// The number of a replica's state.
pub(super) type LocalId = u32;

/// The number of a step.
pub(super) type StepId = u32;

/// A replica in one state.
pub(super) struct Local {
    pub(super) replica: Replica<Observed<Map>>,
    calls: UpCalls,
    durable: Option<Identity>,
    pub(super) place: usize,
    pub(super) boots: u32,
    pub(super) seen: Seen,
    pub(super) is_primary: bool,
    /// It only keeps what arrives, until it has enough of it.
    pub(super) is_gathering: bool,
    /// The members whose DOVIEWCHANGE it holds, and of which life.
    pub(super) held: Vec<(usize, Incarnation)>,
    /// The lives of the members that it knows of, by place.
    pub(super) known: Vec<Incarnation>,
}

/// What a step led to.
#[derive(Debug)]
pub(super) struct Step {
    /// Leads beyond the highest view, where the search does not go.
    pub(super) is_beyond: bool,
    pub(super) next: LocalId,
    pub(super) sent: Vec<LetterId>,
    pub(super) replies: Vec<ToClient>,
    pub(super) calls: Vec<UpCall>,
}

/// All states of all replicas, all messages, all steps between them.
pub(super) struct Steps {
    pub(super) configuration: Configuration,
    bounds: Bounds,
    options: Options,
    limits: Limits,
    pub(super) letters: Letters,
    locals: Vec<Local>,
    by_fingerprint: Table<u32>,
    steps: Vec<Result<Step, Violation>>,
    by_cause: Table<u32>,
}

impl Steps {
    pub(super) fn new(bounds: Bounds) -> Self {
        let configuration = configuration(bounds.replicas);
        let options = options();
        Self {
            limits: Limits::new(vec![options; bounds.replicas]),
            configuration,
            bounds,
            options,
            letters: Letters::new(),
            locals: Vec::new(),
            by_fingerprint: Table::new(),
            steps: Vec::new(),
            by_cause: Table::new(),
        }
    }

    pub(super) fn local(&self, id: LocalId) -> &Local {
        &self.locals[id as usize]
    }

    pub(super) fn step(&self, id: StepId) -> &Result<Step, Violation> {
        &self.steps[id as usize]
    }

    /// Whether a step from `before` only makes the replica keep what arrived: nobody else can tell, so it can wait until the
    /// rest arrives.
    pub(super) fn is_only_kept(&self, before: LocalId, step: &Step) -> bool {
        let (before, after) = (self.local(before), self.local(step.next));
        let is_quiet = step.sent.is_empty() && step.replies.is_empty() && step.calls.is_empty();
        let stays = (before.seen.status, before.seen.view) == (after.seen.status, after.seen.view);
        after.is_gathering && is_quiet && stays
    }

    /// How many states of replicas, and how many steps, were needed.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.locals.len(), self.steps.len())
    }

    /// What this action does to a replica in this state.
    pub(super) fn take(&mut self, local: LocalId, action: Action) -> StepId {
        let key = mix(u64::from(local) << 32 | u64::from(action.code()));
        if let Some(id) = self.by_cause.get(key) {
            return id;
        }
        let step = self.perform(local, action);
        let id = u32::try_from(self.steps.len()).expect("fewer steps than states");
        self.steps.push(step);
        self.by_cause.insert(key, id);
        id
    }

    /// The group as it begins: newly formatted, bootstrapped, normal in view 0, with nothing under way.
    pub(super) fn founded(&mut self) -> Vec<LocalId> {
        let identity = |place: usize| Identity::formatted(InstanceId(place as u128 + 1));
        let members = 0..self.bounds.replicas;
        let mut group: Vec<Local> = members.map(|place| self.started(place, 1, Some(identity(place)))).collect();
        let mut waiting: Vec<(usize, Message)> = Vec::new();
        loop {
            for place in 0..group.len() {
                for output in drain(&mut group[place]) {
                    if let Output::Send { to, message } = output {
                        let others = (0..group.len()).filter(|to| *to != place);
                        let to: Vec<usize> = match to {
                            Destination::Others => others.collect(),
                            Destination::Node(id) => vec![self.place(id)],
                        };
                        waiting.extend(to.into_iter().map(|to| (to, message.clone())));
                    }
                }
            }
            if waiting.is_empty() {
                break;
            }
            let (to, message) = waiting.remove(0);
            group[to].replica.handle(MOMENT, Input::Message(message));
        }
        assert!(group.iter().all(|local| local.replica.probe().status == StatusName::Normal), "a new group begins");
        group.into_iter().map(|local| self.number(local)).collect()
    }

    fn place(&self, id: viewstamped_protocol::NodeId) -> usize {
        self.configuration.index_of(id).expect("a member")
    }

    /// A process that starts with what is left of its directory.
    fn started(&self, place: usize, boots: u32, durable: Option<Identity>) -> Local {
        let calls = UpCalls::default();
        let setup = Setup {
            cluster: CLUSTER,
            id: self.configuration.members()[place].id,
            configuration: self.configuration.clone(),
            cluster_options: ClusterOptions::default(),
            options: self.options,
            identity: durable.clone(),
            durability: Durability::Replicated,
            surviving: None,
            seed: seed(place, boots),
        };
        let replica = Replica::new(setup, Observed::new(Map, calls.clone(), Rc::default()), MOMENT);
        let seen = Seen::of(boots, &replica.probe(), None, &self.configuration);
        Local {
            replica,
            calls,
            durable,
            place,
            boots,
            seen,
            is_primary: false,
            is_gathering: false,
            held: Vec::new(),
            known: Vec::new(),
        }
    }

    /// The number of this state.
    fn number(&mut self, mut local: Local) -> LocalId {
        local.replica.forget_time(seed(local.place, local.boots));
        if !self.bounds.has_timers() {
            local.replica.forget_hints();
        }
        let fingerprint = folded(local.replica.fingerprint());
        let key = fingerprint ^ mix(u64::from(local.boots) << 32 | local.place as u64);
        if let Some(id) = self.by_fingerprint.get(key) {
            #[cfg(test)]
            assert_same(&local.replica, &self.local(id).replica);
            return id;
        }
        let probe = local.replica.probe();
        local.seen = Seen::of(local.boots, &probe, None, &self.configuration);
        local.is_primary = local.seen.status == StatusName::Normal && local.seen.leads;
        local.is_gathering = local.replica.gathered() > 0;
        let held = probe.do_view_changes.iter().map(|message| message.header);
        local.held = held.map(|header| (self.place(header.from), header.incarnation)).collect();
        local.known = self.configuration.ids().map(|id| probe.crash_vector.known(id)).collect();
        let id = u32::try_from(self.locals.len()).expect("fewer states of replicas than of groups");
        self.by_fingerprint.insert(key, id);
        self.locals.push(local);
        id
    }

    fn perform(&mut self, id: LocalId, action: Action) -> Result<Step, Violation> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run(id, action)));
        let (local, outputs) =
            outcome.map_err(|panic| Violation { checker: "PANIC", sentence: panic_message(panic.as_ref()) })?;
        let calls = std::mem::take(&mut *local.calls.borrow_mut());
        let mut replies = Vec::new();
        let mut sent = Vec::new();
        for output in outputs {
            match output {
                Output::Send { to, message } => {
                    self.check_sent(&local, &message)?;
                    if !self.bounds.delivers(&message) {
                        continue;
                    }
                    let to = match to {
                        Destination::Node(to) => Some(self.place(to)),
                        Destination::Others => None,
                    };
                    sent.push(self.letters.number(&self.configuration, to, message, local.replica.probe().log));
                }
                Output::Reply(reply) => replies.push(reply),
                Output::SaveIdentity(_)
                | Output::TakeCheckpoint(_)
                | Output::Event(_)
                | Output::Journal { .. }
                | Output::SaveCheckpoint { .. }
                | Output::ShutDown { .. } => {}
            }
        }
        sent.sort_unstable();
        sent.dedup();
        let next = self.number(local);
        self.check(id, action, next)?;
        let is_beyond = self.local(next).seen.view.0 > self.bounds.view_max;
        Ok(Step { is_beyond, next, sent, replies, calls })
    }

    /// The real code.
    fn run(&self, id: LocalId, action: Action) -> (Local, Vec<Output>) {
        let before = self.local(id);
        if action == Action::Crash {
            let durable = if self.bounds.wiped { None } else { before.durable.clone() };
            let mut local = self.started(before.place, before.boots + 1, durable);
            let outputs = drain(&mut local);
            return (local, outputs);
        }
        before.calls.borrow_mut().clear();
        let mut local = Local {
            replica: before.replica.clone(),
            calls: before.calls.clone(),
            durable: before.durable.clone(),
            place: before.place,
            boots: before.boots,
            seen: before.seen,
            is_primary: false,
            is_gathering: false,
            held: Vec::new(),
            known: Vec::new(),
        };
        let input = match action {
            Action::Deliver(letter) => Input::Message(self.letters.get(letter).message.clone()),
            Action::Submit(operation) => Input::Client(request(operation)),
            Action::Join(view) => Input::Message(self.call_to(before, view)),
            Action::Fire(timer) => {
                local.replica.make_due(timer);
                Input::Tick
            }
            Action::Crash => unreachable!("handled above"),
        };
        local.replica.handle(MOMENT, input);
        let outputs = drain(&mut local);
        (local, outputs)
    }

    /// A STARTVIEWCHANGE that says that a quorum wants this view.
    fn call_to(&self, local: &Local, view: ViewNumber) -> Message {
        let primary = self.configuration.index_of(self.configuration.primary(view)).expect("a member");
        let from = if primary == local.place { (primary + 1) % self.configuration.len() } else { primary };
        let header = Header {
            cluster: CLUSTER,
            epoch: EpochNumber::ZERO,
            view,
            from: self.configuration.members()[from].id,
            incarnation: local.known[from],
        };
        let call = StartViewChange { candidate: view, votes: Vec::new(), confirmed: true };
        Message { header, body: Body::StartViewChange(call) }
    }

    /// What can be said of a message by itself.
    fn check_sent(&self, local: &Local, message: &Message) -> Checked {
        if matches!(message.body, Body::Prepare(_) | Body::Commit(_) | Body::StartView(_)) {
            primary::check_sender(&self.configuration, &message.header)?;
        }
        self.limits.check_message(local.place, message)
    }

    /// What can be said of a step by itself.
    fn check(&self, before: LocalId, action: Action, after: LocalId) -> Checked {
        let (before, after) = (self.local(before), self.local(after));
        let place = after.place;
        view_order::check(Some(&before.seen), &after.seen)?;
        self.limits.check(place, &after.replica.probe())?;
        let mut consistency = Consistency::new(self.configuration.clone());
        for message in before.replica.probe().do_view_changes {
            received(&mut consistency, place, message);
        }
        if let Action::Deliver(letter) = action {
            received(&mut consistency, place, &self.letters.get(letter).message);
        }
        consistency.check(place, Some(&before.seen), &after.seen, &after.replica.probe())
    }
}

impl Local {
    pub(super) fn probe(&self) -> Probe<'_> {
        self.replica.probe()
    }

    /// How far its present memory has executed.
    pub(super) fn executed(&self) -> OpNumber {
        self.seen.executed
    }
}

/// States that are taken for one are the same in everything, but for the order in which parts of an answer arrived.
#[cfg(test)]
fn assert_same(replica: &Replica<Observed<Map>>, known: &Replica<Observed<Map>>) {
    if replica.gathered() < 2 {
        assert_eq!(format!("{replica:?}"), format!("{known:?}"));
    }
}

fn received(consistency: &mut Consistency, place: usize, message: &Message) {
    if let Body::DoViewChange(promise) = &message.body {
        consistency.received(place, &message.header, promise);
    }
}

/// Takes all outputs; what is to be durable is so at once.
fn drain(local: &mut Local) -> Vec<Output> {
    let mut outputs = Vec::new();
    while let Some(output) = local.replica.poll_output() {
        if let Output::SaveIdentity(identity) = &output {
            local.durable = Some(identity.clone());
            local.replica.handle(MOMENT, Input::IdentitySaved);
        }
        if let Output::TakeCheckpoint(checkpoint) = &output {
            local.replica.handle(MOMENT, checkpoint.taken());
        }
        outputs.push(output);
    }
    outputs
}

/// Each start of each node draws on random numbers of its own: a nonce is never used twice.
fn seed(place: usize, boots: u32) -> u128 {
    u128::from(mix(place as u64 + 1)) << 64 | u128::from(mix(u64::from(boots) << 32))
}

/// Operation number `operation`: the first request of a client of its own.
fn request(operation: u32) -> FromClient {
    let client = ClientId(u128::from(operation) + 1);
    FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client, body: ClientRequest::Register { slots: 1 } }
}

/// Nothing happens by itself, and nothing differs by chance.
fn options() -> Options {
    Options { suspect_jitter: std::time::Duration::ZERO, ..Options::default() }
}
