//! What a journal holds: the records a replica wants durable, and what they amount to when it starts again (5.1, 8.2).
//!
//! A journal begins with a [`Rebase`], which says everything; each record after it changes a part. A record is durable as a whole
//! or not at all, and never without those before it. How records become bytes is in [`codec`](crate::codec), where the bytes go
//! is the storage's business.

use std::collections::BTreeMap;

use crate::checkpoint::Checkpoint;
use crate::crash_vector::CrashVector;
use crate::log::{Entry, Log};
use crate::numbers::{ChainHash, Incarnation, NodeId, Nonce, OpNumber, Timestamp, ViewNumber};

/// One step of a replica's durable history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// Everything: what was journaled before may be forgotten once the checkpoint below its entries is durable.
    Rebase(Box<Rebase>),
    /// Entries on top of the log; its view is the same as before.
    Append {
        /// The entries, never none, without holes.
        entries: Vec<Entry>,
        /// The commit-number, within the log.
        commit: OpNumber,
    },
    /// The view starts here: its log replaces the one before, and log and log-view change in one step.
    Install {
        /// The view: from now on view-number and log-view.
        view: ViewNumber,
        /// The log stays as it is up to this op-number.
        after: OpNumber,
        /// The chain hash there.
        previous: ChainHash,
        /// Everything above; may be nothing, and may be less than there was.
        entries: Vec<Entry>,
        /// The commit-number, within the log.
        commit: OpNumber,
    },
    /// The promise of a view change: nothing is acknowledged in an earlier view any more.
    View {
        /// The view that is to start.
        view: ViewNumber,
        /// The commit-number; it stays as it is until a view has started.
        commit: OpNumber,
    },
    /// What this replica knows of the crashes of others: as much a promise as a view (docs/deviations.md, C1).
    Knowledge {
        /// The highest incarnation known of each member.
        crash_vector: CrashVector,
        /// The nonce of the RECOVERY that announced it, where it was seen.
        recoveries: BTreeMap<NodeId, Nonce>,
    },
    /// The log is committed up to here. Written when nothing else is.
    Commit(OpNumber),
}

/// A replica's whole protocol state above a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rebase {
    /// The life whose state this is: a journal of another one is no promise of this one.
    pub incarnation: Incarnation,
    /// The view-number.
    pub view: ViewNumber,
    /// v': the view to which the log belongs.
    pub log_view: ViewNumber,
    /// The commit-number, within the log.
    pub commit: OpNumber,
    /// The op-number of the checkpoint: the entries are those above it. 0: of the empty state.
    pub base: OpNumber,
    /// The chain hash there.
    pub base_hash: ChainHash,
    /// The replicated clock there.
    pub base_timestamp: Timestamp,
    /// The highest incarnation known of each member.
    pub crash_vector: CrashVector,
    /// The nonce of the RECOVERY that announced it, where it was seen.
    pub recoveries: BTreeMap<NodeId, Nonce>,
    /// The log above the base.
    pub entries: Vec<Entry>,
}

/// What survived of a replica: its journal, folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surviving {
    /// The checkpoint that was durable. Folding records does not set it: it lies elsewhere.
    pub checkpoint: Option<Checkpoint>,
    /// The life that wrote it.
    pub incarnation: Incarnation,
    /// The view-number.
    pub view: ViewNumber,
    /// v': the view to which the log belongs.
    pub log_view: ViewNumber,
    /// The log, from the checkpoint upwards.
    pub log: Log,
    /// The commit mark: the log is certain up to here, whatever the mode.
    pub commit: OpNumber,
    /// The highest incarnation known of each member.
    pub crash_vector: CrashVector,
    /// The nonce of the RECOVERY that announced it, where it was seen.
    pub recoveries: BTreeMap<NodeId, Nonce>,
    /// Whether this is all the replica ever said: the journal of the `synchronous` mode without a doubt, or a clean shutdown in
    /// any mode. The storage knows; folding records does not set it.
    pub is_whole: bool,
}

/// Why records make no state. The journal is damaged in a way its checksums do not show, or not a journal of this program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The first record is not a [`Rebase`].
    #[error("the journal does not begin with a whole state")]
    NoBeginning,
    /// Entries leave a hole, or are not chained to what is below them.
    #[error("an entry at {found} does not follow the log, which ends at {head}")]
    NotChained {
        /// The entry's op-number.
        found: OpNumber,
        /// The op-number of the log.
        head: OpNumber,
    },
    /// A new view's log does not join the old one.
    #[error("the log of {view} does not join the log before at {after}")]
    NotJoined {
        /// The view.
        view: ViewNumber,
        /// Where it should.
        after: OpNumber,
    },
    /// A view-number, or the view of the log, goes backwards.
    #[error("{found} follows {known}")]
    OlderView {
        /// The view in the record.
        found: ViewNumber,
        /// The view before.
        known: ViewNumber,
    },
    /// The commit-number is above the log, or something committed is replaced.
    #[error("the commit-number {commit} does not fit a log from {base} to {head}")]
    Commit {
        /// The commit-number.
        commit: OpNumber,
        /// The op-number below the log.
        base: OpNumber,
        /// The op-number of the log.
        head: OpNumber,
    },
}

impl Surviving {
    /// Folds a journal, oldest record first. The first one must be a [`Rebase`].
    ///
    /// A later [`Rebase`] from the empty state needs nothing before it. One that stands on a checkpoint and does not join the log
    /// stands on one that was fetched, and that did not become durable, or the journal would begin there. Nothing was promised
    /// after it that did not wait for that checkpoint: the fold ends before.
    ///
    /// # Errors
    /// When the records contradict each other.
    pub fn replay(records: impl IntoIterator<Item = Record>) -> Result<Self, ReplayError> {
        let mut records = records.into_iter();
        let Some(Record::Rebase(first)) = records.next() else { return Err(ReplayError::NoBeginning) };
        let mut surviving = Self::beginning(*first)?;
        for record in records {
            match record {
                Record::Rebase(rebase) if rebase.base == OpNumber::ZERO => surviving = Self::beginning(*rebase)?,
                Record::Rebase(rebase) if !surviving.log.matches(rebase.base, rebase.base_hash) => break,
                Record::Rebase(rebase) => surviving.rebase(*rebase)?,
                Record::Append { entries, commit } => {
                    surviving.append(entries)?;
                    surviving.raise_commit(commit)?;
                }
                Record::Install { view, after, previous, entries, commit } => {
                    surviving.install(view, after, previous, entries)?;
                    surviving.raise_commit(commit)?;
                }
                Record::View { view, commit } => {
                    surviving.raise_view(view)?;
                    surviving.raise_commit(commit)?;
                }
                Record::Knowledge { crash_vector, recoveries } => {
                    surviving.crash_vector = crash_vector;
                    surviving.recoveries = recoveries;
                }
                Record::Commit(commit) => surviving.raise_commit(commit)?,
            }
        }
        Ok(surviving)
    }

    fn beginning(rebase: Rebase) -> Result<Self, ReplayError> {
        let log = Log::above(rebase.base, rebase.base_hash, rebase.base_timestamp);
        let mut surviving = Self { log, ..Self::default() };
        surviving.rebase(rebase)?;
        Ok(surviving)
    }

    /// The log below the new base stays: the checkpoint that stands for it may not have become durable.
    fn rebase(&mut self, rebase: Rebase) -> Result<(), ReplayError> {
        let Rebase {
            incarnation,
            view,
            log_view,
            commit,
            base,
            base_hash,
            base_timestamp: _,
            crash_vector,
            recoveries,
            entries,
        } = rebase;
        if log_view > view {
            return Err(ReplayError::OlderView { found: view, known: log_view });
        }
        if incarnation == self.incarnation {
            self.raise_view(view)?;
            if log_view < self.log_view {
                return Err(ReplayError::OlderView { found: log_view, known: self.log_view });
            }
        } else {
            // Another life: what the one before promised is void, and its crash is known to those who matter.
            self.commit = self.commit.min(base);
        }
        self.replace_above(log_view, base, base_hash, entries)?;
        (self.incarnation, self.view, self.log_view) = (incarnation, view, log_view);
        (self.crash_vector, self.recoveries) = (crash_vector, recoveries);
        self.raise_commit(commit)
    }

    fn install(
        &mut self,
        view: ViewNumber,
        after: OpNumber,
        previous: ChainHash,
        entries: Vec<Entry>,
    ) -> Result<(), ReplayError> {
        self.raise_view(view)?;
        self.replace_above(view, after, previous, entries)?;
        self.log_view = view;
        Ok(())
    }

    fn replace_above(
        &mut self,
        view: ViewNumber,
        after: OpNumber,
        previous: ChainHash,
        entries: Vec<Entry>,
    ) -> Result<(), ReplayError> {
        if !self.log.matches(after, previous) {
            return Err(ReplayError::NotJoined { view, after });
        }
        let committed = self.log.hash_at(self.commit);
        self.log.truncate(after);
        self.append(entries)?;
        if self.log.hash_at(self.commit) == committed { Ok(()) } else { Err(self.misplaced_commit()) }
    }

    fn append(&mut self, entries: Vec<Entry>) -> Result<(), ReplayError> {
        for entry in entries {
            let head = self.log.op();
            // Not `next`, which panics at the end of all numbers.
            if entry.op().0.checked_sub(1) != Some(head.0) || !entry.follows(self.log.head_hash()) {
                return Err(ReplayError::NotChained { found: entry.op(), head });
            }
            self.log.append(entry);
        }
        Ok(())
    }

    fn raise_view(&mut self, view: ViewNumber) -> Result<(), ReplayError> {
        if view < self.view {
            return Err(ReplayError::OlderView { found: view, known: self.view });
        }
        self.view = view;
        Ok(())
    }

    /// A mark may lag behind one that another record brought, and then says nothing.
    fn raise_commit(&mut self, commit: OpNumber) -> Result<(), ReplayError> {
        self.commit = self.commit.max(commit);
        let is_within = self.log.base() <= self.commit && self.commit <= self.log.op();
        if is_within { Ok(()) } else { Err(self.misplaced_commit()) }
    }

    fn misplaced_commit(&self) -> ReplayError {
        ReplayError::Commit { commit: self.commit, base: self.log.base(), head: self.log.op() }
    }
}
