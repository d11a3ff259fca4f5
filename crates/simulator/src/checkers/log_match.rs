//! I-LOGMATCH: one viewstamp, one prefix. A view gives an op-number to one entry only, on top of one log only.

use std::collections::BTreeMap;

use viewstamped_protocol::log::Log;
use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{ChainHash, NodeId, OpNumber, ViewNumber};

use crate::checkers::{Checked, Ghost, hold};

const NAME: &str = "I-LOGMATCH";

/// All entries ever seen in any log.
#[derive(Debug, Default)]
pub(crate) struct LogMatch {
    /// By op-number: the view that assigned it, and the chain hash up to the entry.
    entries: Vec<Vec<(ViewNumber, ChainHash)>>,
    /// The log of each view, as far as any replica that was normal in it had it.
    views: BTreeMap<ViewNumber, ViewLog>,
}

/// The log of a view.
#[derive(Debug, Default)]
struct ViewLog {
    /// Up to here the log was decided before the view began, and is the same everywhere.
    floor: OpNumber,
    /// The chain hashes above the floor.
    above: Vec<ChainHash>,
}

impl ViewLog {
    fn place(&self, op: OpNumber) -> usize {
        usize::try_from(op.0 - self.floor.0 - 1).expect("fits memory")
    }
}

impl LogMatch {
    /// Checks the entries of a log from the top, down to the first that was checked before: what lies below is then equal too.
    pub(crate) fn check(&mut self, id: NodeId, log: &Log) -> Checked {
        let top = usize::try_from(log.op().0).expect("fits memory");
        if self.entries.len() <= top {
            self.entries.resize_with(top + 1, Vec::new);
        }
        let mut op = log.op();
        while let Some(entry) = log.entry(op) {
            let view = entry.stamp.ballot.view;
            let known = &mut self.entries[usize::try_from(op.0).expect("at most top")];
            if let Some((_, hash)) = known.iter().find(|(of, _)| *of == view) {
                hold!(
                    NAME,
                    *hash == entry.hash,
                    "{id} holds another entry or another prefix at {op}@{view} than was seen before"
                );
                return Ok(());
            }
            known.push((view, entry.hash));
            hold!(NAME, entry.op() == op, "{id} holds the entry of {} at {op}", entry.op());
            check_order(id, log, op)?;
            op = op.previous();
        }
        Ok(())
    }
}

impl LogMatch {
    /// All logs of one view are prefixes of one another: answers to GETSTATE and acknowledgements rely on it.
    pub(crate) fn check_view(&mut self, probe: &Probe<'_>, ghost: &Ghost) -> Checked {
        let (view, op) = (probe.log_view, probe.log.op());
        let known =
            self.views.entry(view).or_insert_with(|| ViewLog { floor: ghost.decided_before(view), above: Vec::new() });
        let mut top = OpNumber(known.floor.0 + known.above.len() as u64);
        if probe.log.base() > top {
            // A checkpoint has more than any log of the view was seen to have.
            *known = ViewLog { floor: probe.log.base(), above: Vec::new() };
            top = known.floor;
        }
        let shared = op.min(top);
        let same =
            shared <= known.floor.max(probe.log.base()) || probe.log.matches(shared, known.above[known.place(shared)]);
        hold!(
            NAME,
            same,
            "the logs of {view} are not prefixes of one another: that of {} differs up to {shared}",
            probe.id
        );
        for higher in top.next().0..=op.0 {
            known.above.push(probe.log.hash_at(OpNumber(higher)).expect("above its base"));
        }
        Ok(())
    }
}

/// An entry never has an older view or an older timestamp than the one below it.
fn check_order(id: NodeId, log: &Log, op: OpNumber) -> Checked {
    let (Some(below), Some(entry)) = (log.entry(op.previous()), log.entry(op)) else { return Ok(()) };
    hold!(NAME, entry.stamp.ballot >= below.stamp.ballot, "{id} holds {entry} above {below}");
    hold!(NAME, entry.timestamp > below.timestamp, "at {id} the replicated clock stands still from {below} to {entry}");
    Ok(())
}
