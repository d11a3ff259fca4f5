//! I-RECOVER: whoever gets its memory back gets back what it had acknowledged and what was decided by that.

use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{OpNumber, StatusName, ViewNumber};

use crate::checkers::{Checked, Ghost, Seen, covers, hold};

/// The latest acknowledgement of each replica, whatever it has forgotten since.
#[derive(Debug)]
pub(crate) struct Recover {
    acknowledged: Vec<(ViewNumber, OpNumber)>,
}

impl Recover {
    pub(crate) fn new(members: usize) -> Self {
        Self { acknowledged: vec![(ViewNumber::ZERO, OpNumber::ZERO); members] }
    }

    /// Notes an acknowledgement when it is sent.
    pub(crate) fn acknowledged(&mut self, place: usize, view: ViewNumber, op: OpNumber) {
        let latest = &mut self.acknowledged[place];
        *latest = (*latest).max((view, op));
    }

    /// Checks a replica that has just become normal after it had lost its memory.
    pub(crate) fn check(
        &self,
        place: usize,
        before: Option<&Seen>,
        now: &Seen,
        probe: &Probe<'_>,
        ghost: &Ghost,
    ) -> Checked {
        let was_recovering = before.is_some_and(|before| before.status == StatusName::Recovering);
        if !was_recovering || now.status != StatusName::Normal {
            return Ok(());
        }
        // The log of the view in which it acknowledged held all that was decided up to that view.
        let (view, op) = self.acknowledged[place];
        let op = op.min(ghost.decided_before(view.next()));
        hold!(
            "I-RECOVER",
            covers(probe.log, op, ghost.hash_at(op)),
            "{} has recovered in {} without {op}, which was decided and which it had acknowledged in {view}",
            now.id,
            now.view
        );
        Ok(())
    }
}
