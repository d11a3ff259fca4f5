//! I-EXEC-ONCE and I-STATE: every replica executes what was decided, in order, once, and it does the same everywhere.

use viewstamped_protocol::{NodeId, OpNumber};

use crate::checkers::{Checked, Ghost, Seen, hold};
use crate::observed::UpCall;

const ONCE: &str = "I-EXEC-ONCE";
const SAME: &str = "I-STATE";

/// How far each replica's present memory has executed.
#[derive(Debug)]
pub(crate) struct Execution {
    executed: Vec<OpNumber>,
    /// Whether the service does the same everywhere; where it does not, a replica may have to go back to a state of the others.
    is_deterministic: bool,
}

impl Execution {
    pub(crate) fn new(members: usize, is_deterministic: bool) -> Self {
        Self { executed: vec![OpNumber::ZERO; members], is_deterministic }
    }

    /// How far the replica at `place` had executed, where the steps before this one were not watched.
    pub(crate) fn resume(&mut self, place: usize, executed: OpNumber) {
        self.executed[place] = executed;
    }

    /// Checks the up-calls of one step against the executed op-number before and after it.
    pub(crate) fn check(
        &mut self,
        place: usize,
        before: Option<&Seen>,
        now: &Seen,
        calls: &[UpCall],
        ghost: &mut Ghost,
    ) -> Checked {
        let continues = before.is_some_and(|before| now.continues(before));
        let known = if continues { self.executed[place] } else { OpNumber::ZERO };
        let has_installed =
            now.installed > before.filter(|_| continues).map_or(OpNumber::ZERO, |before| before.installed);
        let from = if has_installed { now.installed } else { known };
        self.executed[place] = now.executed;
        let id = now.id;
        hold!(
            ONCE,
            from >= known || !self.is_deterministic,
            "{id} installed a checkpoint at {from}, and had executed {known}"
        );
        hold!(ONCE, now.executed >= from, "{id} went back from {from} executed to {}", now.executed);
        let mut calls = calls.iter().peekable();
        for op in from.next().0..=now.executed.0 {
            let op = OpNumber(op);
            let effect = calls.next_if(|call| call.op == op).copied();
            let same = check_effect(id, op, effect, ghost);
            if self.is_deterministic {
                same?;
            }
        }
        let extra = calls.next();
        hold!(ONCE, extra.is_none(), "{id} made the up-call for {} out of turn", extra.expect("checked").op);
        Ok(())
    }
}

/// Compares what executing `op` did with what it did elsewhere; the first execution counts.
fn check_effect(id: NodeId, op: OpNumber, effect: Option<UpCall>, ghost: &mut Ghost) -> Checked {
    let Some(known) = ghost.effect(op) else { return ghost.execute(effect) };
    if *known == effect {
        return Ok(());
    }
    let what = match (known, effect) {
        (Some(known), Some(call)) if known.predicted != call.predicted => "saw another predicted value",
        (Some(known), Some(call)) if known.reply != call.reply => "answered differently",
        (Some(known), Some(call)) if known.root != call.root => "left another state behind",
        (Some(_), Some(_)) => "saw another client or another clock",
        (Some(_), None) => "did nothing",
        (None, _) => "called the service",
    };
    hold!(SAME, false, "executing {op} at {id} {what}, unlike at the first replica that did");
    Ok(())
}
