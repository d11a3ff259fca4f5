//! I-PREFIX: what any two replicas have committed or executed is the same, up to the shorter of the two.

use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{OpNumber, StatusName};

use crate::checkers::{Checked, Ghost, Seen, covers, hold};

const NAME: &str = "I-PREFIX";

/// Lets a normal primary decide, and compares the replica's commit-number and executions with everything decided.
pub(crate) fn check(now: &Seen, ghost: &mut Ghost, probe: &Probe<'_>) -> Checked {
    let id = probe.id;
    if probe.status == StatusName::Normal {
        hold!(
            "I-ORDER",
            probe.commit <= probe.log.op(),
            "{id} is normal with {} committed of {}",
            probe.commit,
            probe.log.op()
        );
        if now.leads {
            for op in ghost.head().next().0..=probe.commit.0 {
                let entry = probe.log.entry(OpNumber(op)).expect("at most the op-number");
                ghost.decide(entry, probe.view);
            }
        }
    }
    hold!(
        NAME,
        probe.commit <= ghost.head(),
        "{id} takes {} for committed, but only {} was decided",
        probe.commit,
        ghost.head()
    );
    hold!(
        "I-ORDER",
        probe.log.base() <= probe.executed,
        "{} keeps its log from {} on only, and has executed no further than {}",
        id,
        probe.log.base(),
        probe.executed
    );
    hold!(
        NAME,
        probe.executed <= probe.commit,
        "{id} executed {}, but only {} is committed",
        probe.executed,
        probe.commit
    );
    if probe.status == StatusName::Normal {
        check_against(ghost, probe, probe.commit)?;
    }
    check_against(ghost, probe, probe.executed)
}

/// The log up to `op` is what was decided.
fn check_against(ghost: &Ghost, probe: &Probe<'_>, op: OpNumber) -> Checked {
    let base = probe.log.base();
    let same = probe.log.matches(base, ghost.hash_at(base)) && covers(probe.log, op, ghost.hash_at(op));
    hold!(NAME, same, "{} committed another history up to {op} than was decided", probe.id);
    Ok(())
}
