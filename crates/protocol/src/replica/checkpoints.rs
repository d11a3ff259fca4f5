//! Checkpoints (5.1): taking them, comparing their roots between replicas, and cutting the log.
//!
//! A checkpoint is taken at once, for a snapshot costs nothing; its root, which costs the hashes of all pages that changed, is
//! computed elsewhere and comes back as an input. Roots travel with acknowledgements. The primary tells which checkpoint a quorum
//! has, and which root a quorum agrees on: then everyone may cut its log, and a replica with another root knows that its state is
//! wrong (docs/deviations.md, T7 and T9).

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

use viewstamped_state::{PageOptions, Root, Snapshot, State};

use super::Replica;
use super::io::{Event, Ignored, Output, TakeCheckpoint};
use super::status::Status;
use crate::checkpoint::{Checkpoint, CheckpointHeader, CheckpointId, CheckpointRoot};
use crate::message::QuorumCheckpoint;
use crate::numbers::{Ballot, ChainHash, NodeId, OpNumber, Time, Timestamp};
use crate::service::Service;

/// How many checkpoints are kept, and how many of log: one that a quorum has, and the one before (T7).
const KEPT: usize = 2;

/// How many roots are remembered for comparison: replicas that are further apart will have another one to compare.
const ROOTS_REMEMBERED: usize = 8;

/// A checkpoint whose roots are not known yet.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub op: OpNumber,
    pub head: ChainHash,
    pub ballot: Ballot,
    pub timestamp: Timestamp,
    pub service: Snapshot,
    pub client_table: Snapshot,
}

/// The checkpoints of this replica, and what is known of those of the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Checkpoints {
    /// Its root is being computed.
    hashing: Option<Taken>,
    /// The newest one taken meanwhile. One that was taken before it is given up: a later checkpoint does as well.
    waiting: Option<Taken>,
    /// The newest ones, in the order of their op-numbers.
    kept: VecDeque<Checkpoint>,
    /// The roots of the latest ones.
    roots: BTreeMap<OpNumber, CheckpointRoot>,
    /// What a quorum has, as far as this replica knows.
    quorum: QuorumCheckpoint,
    /// A quorum has another root than this replica at a checkpoint.
    is_divergent: bool,
    /// The op-number of the one that was installed last.
    installed: OpNumber,
    /// Those that others fetch, each until when it is kept for them.
    pinned: BTreeMap<NodeId, (Checkpoint, Time)>,
}

/// What the backups of a primary have said of their checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reports {
    /// The newest of each.
    newest: BTreeMap<NodeId, OpNumber>,
    /// The roots of the latest ones.
    roots: BTreeMap<OpNumber, BTreeMap<NodeId, CheckpointRoot>>,
    /// The newest checkpoint on whose root no quorum can agree.
    disputed: OpNumber,
}

impl Checkpoints {
    /// Wants the root of a checkpoint that was just taken.
    pub(super) fn want_root(&mut self, taken: Taken, outputs: &mut VecDeque<Output>) {
        if self.hashing.is_some() {
            self.waiting = Some(taken);
            return;
        }
        let (op, service, client_table) = (taken.op, taken.service.clone(), taken.client_table.clone());
        outputs.push_back(Output::TakeCheckpoint(TakeCheckpoint { op, service, client_table }));
        self.hashing = Some(taken);
    }

    /// Forgets all, as a crash would.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The newest one whose root is known.
    pub(super) fn newest(&self) -> Option<&Checkpoint> {
        self.kept.back()
    }

    /// Its name; that of no checkpoint when there is none.
    pub(super) fn newest_id(&self) -> CheckpointId {
        self.newest().map(|checkpoint| checkpoint.id).unwrap_or_default()
    }

    /// The one to name to a replica that needs one: the newest that others have as well, so that it can be had from them. None of a
    /// state that is known to be wrong: two replicas that have it would be a quorum of three (T9).
    pub(super) fn to_offer(&self) -> Option<CheckpointId> {
        if self.is_divergent {
            return None;
        }
        let is_elsewhere = |checkpoint: &&Checkpoint| checkpoint.id.op <= self.quorum.held;
        let offered = self.kept.iter().rev().find(is_elsewhere).or(self.newest());
        offered.map(|checkpoint| checkpoint.id)
    }

    /// What a quorum has.
    pub(super) fn quorum(&self) -> QuorumCheckpoint {
        self.quorum
    }

    pub(super) fn installed_op(&self) -> OpNumber {
        self.installed
    }

    /// The op-numbers of the two newest ones, the older first; zero for none.
    pub(super) fn kept_ops(&self) -> [OpNumber; 2] {
        let mut ops = self.kept.iter().rev().map(|checkpoint| checkpoint.id.op);
        let newest = ops.next().unwrap_or_default();
        [ops.next().unwrap_or_default(), newest]
    }

    pub(super) fn is_divergent(&self) -> bool {
        self.is_divergent
    }

    /// The states of the newest one; empty ones when there is none.
    pub(super) fn newest_states(&self, options: PageOptions) -> (Snapshot, Snapshot) {
        match self.newest() {
            Some(checkpoint) => (checkpoint.service.clone(), checkpoint.client_table.clone()),
            None => (State::with_options(options).snapshot(), State::with_options(options).snapshot()),
        }
    }

    /// The one with this name, kept for this replica for a while, however many others are taken meanwhile (T7).
    pub(super) fn pin(&mut self, by: NodeId, id: CheckpointId, until: Time) -> Option<&Checkpoint> {
        if self.is_divergent {
            return None;
        }
        let pinned = self.pinned.values().map(|(checkpoint, _)| checkpoint);
        let found = self.kept.iter().chain(pinned).find(|checkpoint| checkpoint.id == id)?.clone();
        let entry = self.pinned.entry(by).insert_entry((found, until));
        Some(&entry.into_mut().0)
    }

    /// Lets go of those for which nobody has asked for long.
    pub(super) fn unpin(&mut self, now: Time) {
        self.pinned.retain(|_, (_, until)| *until > now);
    }

    /// This one was on disk when the replica started.
    pub(super) fn adopt(&mut self, checkpoint: Checkpoint) {
        self.installed = checkpoint.id.op;
        self.keep(checkpoint);
    }

    /// This one was fetched, and is the only one now. What was taken of the state before is of no use.
    pub(super) fn installed(&mut self, checkpoint: Checkpoint) {
        (self.hashing, self.waiting, self.is_divergent) = (None, None, false);
        self.kept.clear();
        self.roots.clear();
        self.installed = checkpoint.id.op;
        self.keep(checkpoint);
    }

    fn keep(&mut self, checkpoint: Checkpoint) {
        let CheckpointId { op, root } = checkpoint.id;
        self.kept.push_back(checkpoint);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        self.roots.insert(op, root);
        forget_oldest(&mut self.roots);
    }
}

/// Checkpoints count by their names, as hashing all that is in them would take long; one that is being hashed, by its op-number.
impl Hash for Checkpoints {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let op = |taken: &Option<Taken>| taken.as_ref().map(|taken| taken.op);
        (op(&self.hashing), op(&self.waiting), &self.roots, self.quorum, self.is_divergent).hash(state);
        self.kept.iter().for_each(|checkpoint| checkpoint.id.hash(state));
        self.pinned.iter().for_each(|(node, (checkpoint, until))| (node, checkpoint.id, until).hash(state));
    }
}

fn forget_oldest<T>(roots: &mut BTreeMap<OpNumber, T>) {
    while roots.len() > ROOTS_REMEMBERED {
        roots.pop_first();
    }
}

impl<S: Service> Replica<S> {
    /// The root of a checkpoint is known.
    pub(super) fn on_checkpoint_taken(
        &mut self,
        op: OpNumber,
        service: Root,
        client_table: Root,
    ) -> Result<(), Ignored> {
        let Some(taken) = self.checkpoints.hashing.take_if(|taken| taken.op == op) else {
            return Err(Ignored::Unasked);
        };
        let header = CheckpointHeader {
            op,
            head: taken.head,
            ballot: taken.ballot,
            timestamp: taken.timestamp,
            configuration: self.configuration.clone(),
            options: self.cluster_options,
            service,
            client_table,
        };
        let checkpoint = Checkpoint::new(header, taken.service, taken.client_table);
        self.checkpoints.unpin(self.now.monotonic);
        let id = checkpoint.id;
        self.checkpoints.keep(checkpoint);
        self.outputs.push_back(Output::Event(Event::CheckpointTaken { id }));
        if let Some(waiting) = self.checkpoints.waiting.take() {
            self.checkpoints.want_root(waiting, &mut self.outputs);
        }
        self.compare_with_quorum();
        self.count_checkpoints();
        self.cut_log();
        Ok(())
    }

    /// A backup says which checkpoint it has.
    pub(super) fn note_checkpoint(&mut self, from: NodeId, id: CheckpointId) {
        let Status::Primary(primary) = &mut self.status else { unreachable!("only a primary counts") };
        if id == CheckpointId::default() || !primary.reports.note(from, id) {
            return;
        }
        self.count_checkpoints();
    }

    /// As the primary: what a quorum has.
    fn count_checkpoints(&mut self) {
        let Status::Primary(primary) = &mut self.status else { return };
        let own = self.checkpoints.newest_id();
        if own.op > OpNumber::ZERO {
            primary.reports.note(self.id, own);
        }
        let (quorum, members) = (self.configuration.quorum(), self.configuration.len());
        let counted = primary.reports.count(quorum);
        if let Some(op) = primary.reports.newly_disputed(quorum, members) {
            self.outputs.push_back(Output::Event(Event::RootsDiffer { op }));
        }
        self.learn_quorum_checkpoint(counted);
    }

    /// What a quorum has, from the primary.
    pub(super) fn learn_quorum_checkpoint(&mut self, counted: QuorumCheckpoint) {
        let known = &mut self.checkpoints.quorum;
        let is_news = counted.held > known.held || counted.agreed.op > known.agreed.op;
        if !is_news {
            return;
        }
        known.held = known.held.max(counted.held);
        if counted.agreed.op > known.agreed.op {
            known.agreed = counted.agreed;
        }
        self.compare_with_quorum();
        self.cut_log();
    }

    /// T9: a replica that has another root than a quorum has executed something differently. Its log is good, its state is not.
    fn compare_with_quorum(&mut self) {
        let agreed = self.checkpoints.quorum.agreed;
        let Some(own) = self.checkpoints.roots.get(&agreed.op).copied() else { return };
        if own == agreed.root || self.checkpoints.is_divergent() {
            return;
        }
        self.checkpoints.is_divergent = true;
        self.outputs.push_back(Output::Event(Event::Diverged { quorum: agreed, own }));
        self.abdicate_when_divergent();
        self.repair_if_divergent();
    }

    /// 5.1: "checkpoints allow the system to garbage collect the log". Two checkpoints of it stay, and nothing goes before a quorum
    /// has the newer one (T7); nor while the log is promised to a new view (V11).
    pub(super) fn cut_log(&mut self) {
        let [older, newer] = self.checkpoints.kept.make_contiguous() else { return };
        let (older, newer) = (older.id.op, newer.id.op);
        let is_durable = older <= self.acknowledged_op();
        let may_cut = self.status.is_normal() && !self.checkpoints.is_divergent() && is_durable;
        if may_cut && newer <= self.checkpoints.quorum.held && older > self.log.base() {
            self.log.drop_up_to(older);
            self.clip_fetched();
        }
    }

    /// What was fetched of a later view's log joins the own one where that begins now, or is of no use.
    fn clip_fetched(&mut self) {
        let Some(transfer) = &mut self.transfer else { return };
        let clipped = transfer.staged.take().map(|staged| staged.above_base_of(&self.log));
        transfer.staged = clipped.filter(|staged| self.log.matches(staged.after(), staged.previous()));
    }
}

impl Reports {
    /// Whether that was not known.
    fn note(&mut self, node: NodeId, id: CheckpointId) -> bool {
        let newest = self.newest.entry(node).or_default();
        if id.op < *newest {
            return false;
        }
        *newest = id.op;
        let is_news = self.roots.entry(id.op).or_default().insert(node, id.root) != Some(id.root);
        forget_oldest(&mut self.roots);
        is_news
    }

    /// The op-number at or above which a quorum has a checkpoint, and the newest root that a quorum has.
    fn count(&self, quorum: usize) -> QuorumCheckpoint {
        let mut ops: Vec<OpNumber> = self.newest.values().copied().collect();
        ops.sort_unstable_by(|a, b| b.cmp(a));
        let held = ops.get(quorum - 1).copied().unwrap_or_default();
        let agreed = self.roots.iter().rev().find_map(|(op, roots)| {
            let (root, count) = most_frequent(roots)?;
            (count >= quorum).then_some(CheckpointId { op: *op, root })
        });
        QuorumCheckpoint { held, agreed: agreed.unwrap_or_default() }
    }

    /// The newest checkpoint whose roots differ so much that, whoever is still to report, no quorum will agree.
    fn newly_disputed(&mut self, quorum: usize, members: usize) -> Option<OpNumber> {
        let is_disputed = |roots: &BTreeMap<NodeId, CheckpointRoot>| {
            most_frequent(roots).is_some_and(|(_, count)| count + (members - roots.len()) < quorum)
        };
        let (op, _) = self.roots.iter().rev().find(|(_, roots)| is_disputed(roots))?;
        (*op > self.disputed).then(|| {
            self.disputed = *op;
            *op
        })
    }
}

fn most_frequent(roots: &BTreeMap<NodeId, CheckpointRoot>) -> Option<(CheckpointRoot, usize)> {
    let count = |root: &CheckpointRoot| roots.values().filter(|other| *other == root).count();
    roots.values().map(|root| (*root, count(root))).max_by_key(|(_, count)| *count)
}
