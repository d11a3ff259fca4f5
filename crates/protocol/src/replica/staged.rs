//! A piece of another replica's log, gathered beside one's own, which stays as it is until the piece is complete (T1).

use super::io::Ignored;
use crate::log::{Entry, Log};
use crate::numbers::{ChainHash, OpNumber};

/// A contiguous run of entries above `after`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Staged {
    after: OpNumber,
    previous: ChainHash,
    entries: Vec<Entry>,
}

impl Staged {
    /// An empty piece that begins above `after`, where the chain hash is `previous`.
    pub(super) fn new(after: OpNumber, previous: ChainHash) -> Self {
        Self { after, previous, entries: Vec::new() }
    }

    /// A piece from a message.
    pub(super) fn from_run(after: OpNumber, previous: ChainHash, entries: Vec<Entry>) -> Result<Self, Ignored> {
        let mut staged = Self::new(after, previous);
        staged.extend(after, previous, entries)?;
        Ok(staged)
    }

    pub(super) fn after(&self) -> OpNumber {
        self.after
    }

    pub(super) fn previous(&self) -> ChainHash {
        self.previous
    }

    /// The op-number of the topmost entry.
    pub(super) fn op(&self) -> OpNumber {
        self.after.plus(self.entries.len() as u64)
    }

    /// The chain hash at the top.
    pub(super) fn head(&self) -> ChainHash {
        self.entries.last().map_or(self.previous, |entry| entry.hash)
    }

    /// The chain hash at `op`, if it lies within.
    pub(super) fn hash_at(&self, op: OpNumber) -> Option<ChainHash> {
        if op == self.after {
            return Some(self.previous);
        }
        let index = op.0.checked_sub(self.after.0 + 1)?;
        self.entries.get(usize::try_from(index).ok()?).map(|entry| entry.hash)
    }

    /// Adds the part of a run that is new. What overlaps must agree.
    pub(super) fn extend(&mut self, after: OpNumber, previous: ChainHash, entries: Vec<Entry>) -> Result<(), Ignored> {
        check_run(after, previous, &entries)?;
        if after > self.op() {
            return Err(Ignored::Unasked);
        }
        if self.hash_at(after) != Some(previous) {
            return Err(Ignored::Malformed);
        }
        let known = usize::try_from(self.op().distance_from(after)).unwrap_or(usize::MAX);
        let overlap_agrees = entries.iter().take(known).all(|entry| self.hash_at(entry.op()) == Some(entry.hash));
        if !overlap_agrees {
            return Err(Ignored::Malformed);
        }
        self.entries.extend(entries.into_iter().skip(known));
        Ok(())
    }

    /// Drops everything above `op`.
    pub(super) fn truncate(&mut self, op: OpNumber) {
        self.entries.truncate(usize::try_from(op.distance_from(self.after)).unwrap_or(usize::MAX));
    }

    /// The part of this piece above `op`, which must lie within it.
    pub(super) fn split_above(mut self, op: OpNumber) -> Self {
        let previous = self.hash_at(op).expect("within the piece");
        let known = usize::try_from(op.distance_from(self.after)).expect("fits memory");
        Self { after: op, previous, entries: self.entries.split_off(known) }
    }

    /// This piece without what `log` holds in a checkpoint only, if it agrees with that.
    pub(super) fn above_base_of(self, log: &Log) -> Self {
        let base = log.base();
        let reaches_below = self.after < base && self.op() >= base;
        if reaches_below && self.hash_at(base) == log.hash_at(base) { self.split_above(base) } else { self }
    }

    /// Puts this piece on top of `lower`. Panics unless they join.
    pub(super) fn append_to(self, lower: &mut Self) {
        assert!(lower.op() == self.after && lower.head() == self.previous, "the pieces join");
        lower.entries.extend(self.entries);
    }

    /// Replaces everything above `after` in `log` by this piece. Panics unless the log agrees at `after`.
    pub(super) fn splice_onto(self, log: &mut Log) {
        assert!(log.matches(self.after, self.previous), "the piece joins the log");
        log.truncate(self.after);
        for entry in self.entries {
            log.append(entry);
        }
    }
}

/// Whether a run from a message is contiguous, and chained to the hash it claims to follow.
pub(super) fn check_run(after: OpNumber, previous: ChainHash, entries: &[Entry]) -> Result<(), Ignored> {
    let mut op = after;
    let mut hash = previous;
    for entry in entries {
        if op.0 == u64::MAX || entry.op() != op.next() || !entry.follows(hash) {
            return Err(Ignored::Malformed);
        }
        (op, hash) = (entry.op(), entry.hash);
    }
    Ok(())
}
