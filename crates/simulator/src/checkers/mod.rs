//! The checkers: omniscient, always on, after every step. Each file names the invariant it holds the group to.
//!
//! They see every replica from inside, every message when it is sent, and a ghost history that no crash erases.

mod candidate;
pub(crate) mod consistency;
pub(crate) mod durability;
pub(crate) mod execution;
mod ghost;
pub(crate) mod limits;
pub(crate) mod log_match;
pub(crate) mod prefix;
pub(crate) mod primary;
pub(crate) mod promise;
pub(crate) mod quorum;
pub(crate) mod recover;
pub(crate) mod replies;
pub(crate) mod view_order;

use std::collections::BTreeMap;
use std::fmt;

use viewstamped_protocol::log::Log;
use viewstamped_protocol::message::{Body, Header, ToClient};
use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{
    ChainHash, CheckpointId, CheckpointRoot, Configuration, Incarnation, Message, NodeId, OpNumber, Options,
    StatusName, ViewNumber,
};
use viewstamped_state::Root;

use crate::history::History;
use crate::observed::{UpCall, digest_of};
pub(crate) use ghost::Ghost;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the invariant.
    pub checker: &'static str,
    /// What is wrong, in one sentence.
    pub sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.sentence)
    }
}

/// What a checker says.
pub(crate) type Checked = Result<(), Violation>;

/// Fails with the violation of the invariant `$checker` unless `$holds`.
macro_rules! hold {
    ($checker:expr, $holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err($crate::checkers::Violation { checker: $checker, sentence: format!($($sentence)+) });
        }
    };
}
pub(crate) use hold;

/// Where the checkers find the replicas.
pub(crate) trait Replicas {
    /// The inside of the replica at this place of the configuration; `None` while it is down.
    fn probe(&self, place: usize) -> Option<Probe<'_>>;
}

/// Whether this log holds what was decided up to `op`, which has this hash: as entries, or in a checkpoint. That a log begins with
/// what was decided, I-PREFIX sees to.
pub(crate) fn covers(log: &Log, op: OpNumber, hash: ChainHash) -> bool {
    op < log.base() || log.matches(op, hash)
}

/// What was last seen of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How often its process has started.
    pub(crate) boot: u32,
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) status: StatusName,
    pub(crate) view: ViewNumber,
    pub(crate) log_view: ViewNumber,
    pub(crate) op: OpNumber,
    pub(crate) head: ChainHash,
    pub(crate) commit: OpNumber,
    pub(crate) executed: OpNumber,
    /// The checkpoint it has installed last.
    pub(crate) installed: OpNumber,
    /// Where its log begins.
    pub(crate) base: OpNumber,
    /// Its newest checkpoint.
    pub(crate) checkpoint: OpNumber,
    /// The checkpoint that a quorum has, as far as it knows.
    pub(crate) quorum_has: OpNumber,
    /// Whether it is the one to lead its view.
    pub(crate) leads: bool,
}

impl Seen {
    pub(crate) fn of(boot: u32, probe: &Probe<'_>, before: Option<&Self>, configuration: &Configuration) -> Self {
        let known = before.filter(|before| before.view == probe.view).map(|before| before.leads);
        Self {
            boot,
            id: probe.id,
            incarnation: probe.incarnation,
            status: probe.status,
            view: probe.view,
            log_view: probe.log_view,
            op: probe.log.op(),
            head: probe.log.head_hash(),
            commit: probe.commit,
            executed: probe.executed,
            installed: probe.installed,
            base: probe.log.base(),
            checkpoint: probe.kept[1],
            quorum_has: probe.quorum_has,
            leads: known.unwrap_or_else(|| configuration.primary(probe.view) == probe.id),
        }
    }

    /// Whether nothing was forgotten in between: the same process, in the same incarnation.
    pub(crate) fn continues(&self, earlier: &Self) -> bool {
        (self.boot, self.incarnation) == (earlier.boot, earlier.incarnation)
    }

    /// Whether the replica takes part in the protocol, so that its log counts.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.status, StatusName::Normal | StatusName::ViewChange)
    }
}

/// All checkers of one group.
#[derive(Debug)]
pub(crate) struct Checkers {
    configuration: Configuration,
    /// Whether the service does the same everywhere.
    is_deterministic: bool,
    ghost: Ghost,
    seen: Vec<Option<Seen>>,
    consistency: consistency::Consistency,
    durability: durability::Durability,
    execution: execution::Execution,
    limits: limits::Limits,
    log_match: log_match::LogMatch,
    primary: primary::Primary,
    promise: promise::Promise,
    quorum: quorum::Quorum,
    recover: recover::Recover,
    /// The roots of all checkpoints.
    checkpoints: BTreeMap<OpNumber, CheckpointRoot>,
    /// The roots of the states in them: the service's and the client-table's.
    states: BTreeMap<OpNumber, (Root, Root)>,
}

impl Checkers {
    /// Checkers for a group that has not begun.
    pub(crate) fn new(configuration: &Configuration, options: Vec<Options>, is_deterministic: bool) -> Self {
        let members = configuration.len();
        Self {
            configuration: configuration.clone(),
            is_deterministic,
            ghost: Ghost::default(),
            seen: vec![None; members],
            consistency: consistency::Consistency::new(configuration.clone()),
            durability: durability::Durability::new(configuration.clone()),
            execution: execution::Execution::new(members, is_deterministic),
            limits: limits::Limits::new(options),
            log_match: log_match::LogMatch::default(),
            primary: primary::Primary::default(),
            promise: promise::Promise::new(members),
            quorum: quorum::Quorum::new(configuration.clone()),
            recover: recover::Recover::new(members),
            checkpoints: BTreeMap::new(),
            states: BTreeMap::new(),
        }
    }

    /// What all replicas together have decided and done so far.
    pub(crate) fn ghost(&self) -> &Ghost {
        &self.ghost
    }

    /// What was last seen of the replica at `place`; `None` while it is down.
    pub(crate) fn seen(&self, place: usize) -> Option<&Seen> {
        self.seen[place].as_ref()
    }

    /// Checks everything about the replica at `place` after a step; `calls` are the up-calls it made.
    pub(crate) fn stepped(&mut self, place: usize, boot: u32, replicas: &dyn Replicas, calls: &[UpCall]) -> Checked {
        let probe = replicas.probe(place).expect("a replica that stepped is up");
        let before = self.seen[place];
        let now = Seen::of(boot, &probe, before.as_ref(), &self.configuration);
        if before == Some(now) && calls.is_empty() {
            return Ok(());
        }
        let committed_before = self.ghost.head();
        view_order::check(before.as_ref(), &now)?;
        self.primary.check(&now)?;
        if before.is_none_or(|before| before.head != now.head) {
            self.log_match.check(probe.id, probe.log)?;
        }
        if now.status == StatusName::Normal {
            self.log_match.check_view(&probe, &self.ghost)?;
        }
        self.promise.check_frozen(place, &now)?;
        self.limits.check(place, &probe)?;
        self.consistency.check(place, before.as_ref(), &now, &probe)?;
        prefix::check(&now, &mut self.ghost, &probe)?;
        self.quorum.check(&self.ghost, committed_before, place, &probe)?;
        self.execution.check(place, before.as_ref(), &now, calls, &mut self.ghost)?;
        self.recover.check(place, before.as_ref(), &now, &probe, &self.ghost)?;
        self.seen[place] = Some(now);
        self.durability.stepped(place, &now, committed_before, replicas, &self.ghost)
    }

    /// Notes that the replica at `place` has crashed.
    pub(crate) fn crashed(&mut self, place: usize) {
        self.seen[place] = None;
        self.durability.crashed(place);
        self.consistency.crashed(place);
    }

    /// Notes a message the replica at `place` is about to handle.
    pub(crate) fn receives(&mut self, place: usize, message: &Message) {
        if let Body::DoViewChange(promise) = &message.body {
            self.consistency.received(place, &message.header, promise);
        }
    }

    /// Checks a message the replica at `place` sends to peers.
    pub(crate) fn sent(&mut self, place: usize, message: &Message, replicas: &dyn Replicas) -> Checked {
        match &message.body {
            Body::PrepareOk(ok) => self.acknowledged(place, &message.header, (ok.op, ok.head), replicas)?,
            Body::CommitAck(ack) => self.acknowledged(place, &message.header, (ack.op, ack.head), replicas)?,
            Body::Prepare(_) | Body::Commit(_) | Body::StartView(_) => {
                primary::check_sender(&self.configuration, &message.header)?;
                self.limits.check_message(place, message)?;
            }
            Body::DoViewChange(promised) => {
                self.limits.check_message(place, message)?;
                let probe = replicas.probe(place).expect("a sender is up");
                self.promise.promised(place, &message.header, promised, probe.installed)?;
                self.durability.promised(place, &message.header, promised, probe.log, &self.ghost);
                self.durability.check(replicas, &self.ghost)?;
            }
            Body::NewState(_) | Body::LogChunk(_) => self.limits.check_message(place, message)?,
            _ => {}
        }
        Ok(())
    }

    /// Checks and notes an acknowledgement when it is sent: of everything up to an op-number, with this hash.
    fn acknowledged(
        &mut self,
        place: usize,
        header: &Header,
        (op, head): (OpNumber, ChainHash),
        replicas: &dyn Replicas,
    ) -> Checked {
        let probe = replicas.probe(place).expect("a sender is up");
        // Handed over to the network later than it was written: the log may be one of a later view by now.
        let holds = probe.log_view != header.view || covers(probe.log, op, head);
        hold!("I-QUORUM", holds, "{} acknowledges {op} in {}, which is not in its log", header.from, header.view);
        self.promise.acknowledged(place, header)?;
        self.quorum.acknowledged(place, header.view, op);
        self.recover.acknowledged(place, header.view, op);
        Ok(())
    }

    /// I-CKPT: the checkpoint at one op-number is the same everywhere, whoever took it or fetched it.
    pub(crate) fn has_checkpoint(&mut self, id: NodeId, checkpoint: CheckpointId) -> Checked {
        let known = *self.checkpoints.entry(checkpoint.op).or_insert(checkpoint.root);
        let same = known == checkpoint.root || !self.is_deterministic;
        hold!("I-CKPT", same, "{id} has {checkpoint}, where others have the root {known:?}");
        Ok(())
    }

    /// I-CKPT: so are the states in it.
    pub(crate) fn hashed(&mut self, id: NodeId, op: OpNumber, roots: (Root, Root)) -> Checked {
        if !self.is_deterministic {
            return Ok(());
        }
        let (service, client_table) = *self.states.entry(op).or_insert(roots);
        hold!(
            "I-CKPT",
            roots.0 == service,
            "the checkpoint of {id} at {op} has another state of the service than others"
        );
        hold!("I-CKPT", roots.1 == client_table, "the checkpoint of {id} at {op} has another client-table than others");
        Ok(())
    }

    /// I-STATE: what was installed is what those have who executed all of it. `restored` is the root of the state that the service
    /// was restored from.
    pub(crate) fn installed(&self, id: NodeId, op: OpNumber, restored: Option<Root>) -> Checked {
        if !self.is_deterministic {
            return Ok(());
        }
        let taken = self.states.get(&op).map(|(service, _)| *service);
        hold!("I-STATE", taken.is_some(), "{id} has installed a checkpoint at {op}, which nobody has taken");
        hold!("I-STATE", restored == taken, "{id} has installed another state at {op} than those had who executed it");
        Ok(())
    }

    /// Checks an answer a replica gives to a client.
    pub(crate) fn answered(&self, message: &ToClient) -> Checked {
        replies::check(&self.ghost, message, self.is_deterministic)
    }
}

/// Finds the place in the order of operations of every request, also of those whose clients were never answered.
///
/// I-EXACTLY-ONCE from end to end: nothing is executed more often than clients asked for it.
pub(crate) fn locate(history: &mut History, ghost: &Ghost) -> Checked {
    let mut asked: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (number, invocation) in history.invocations().iter().enumerate().rev() {
        asked.entry(digest_of(&invocation.payload)).or_default().push(number);
    }
    let mut answered: BTreeMap<OpNumber, usize> = BTreeMap::new();
    for (number, invocation) in history.invocations().iter().enumerate() {
        if let Some(op) = invocation.op {
            answered.insert(op, number);
        }
    }
    for call in ghost.calls() {
        let by_payload = asked.entry(call.payload).or_default();
        let place = match answered.get(&call.op) {
            Some(number) => by_payload.iter().position(|other| other == number),
            None => by_payload.iter().rposition(|number| history.invocations()[*number].op.is_none()),
        };
        let Some(place) = place else {
            let sentence = format!("{} was executed more often than its client asked for it", call.op);
            return Err(Violation { checker: "I-EXACTLY-ONCE", sentence });
        };
        let number = by_payload.remove(place);
        history.locate(number, call.op);
    }
    Ok(())
}
