//! I-QUORUM: a primary commits only what a quorum has acknowledged in its view.

use std::collections::BTreeMap;

use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{Configuration, OpNumber, ViewNumber};

use crate::checkers::{Checked, Ghost, hold};

/// How many views the acknowledgements are kept for. 32: a deposed primary does not fall further behind within a run.
const VIEWS_MAX: usize = 32;

/// Who has acknowledged what.
#[derive(Debug)]
pub(crate) struct Quorum {
    configuration: Configuration,
    /// By view and place: the op-number up to which the replica has acknowledged.
    acknowledged: BTreeMap<ViewNumber, Vec<OpNumber>>,
}

impl Quorum {
    pub(crate) fn new(configuration: Configuration) -> Self {
        Self { configuration, acknowledged: BTreeMap::new() }
    }

    /// Forgets all acknowledgements: those that count in another state have to be noted next.
    pub(crate) fn clear(&mut self) {
        self.acknowledged.clear();
    }

    /// Notes an acknowledgement when it is sent.
    pub(crate) fn acknowledged(&mut self, place: usize, view: ViewNumber, op: OpNumber) {
        let members = self.configuration.len();
        let by = self.acknowledged.entry(view).or_insert_with(|| vec![OpNumber::ZERO; members]);
        by[place] = by[place].max(op);
        if self.acknowledged.len() > VIEWS_MAX {
            self.acknowledged.pop_first();
        }
    }

    /// Checks the decisions the primary at `place` has just made: those above `decided_before`.
    pub(crate) fn check(&self, ghost: &Ghost, decided_before: OpNumber, place: usize, probe: &Probe<'_>) -> Checked {
        let head = ghost.head();
        if head == decided_before {
            return Ok(());
        }
        let others = self
            .acknowledged
            .get(&probe.view)
            .map_or(0, |by| by.iter().enumerate().filter(|(other, op)| *other != place && **op >= head).count());
        let quorum = self.configuration.quorum();
        hold!(
            "I-QUORUM",
            others + 1 >= quorum,
            "{} committed {head} in {} with {others} acknowledgements beside its own, where a quorum is {quorum}",
            probe.id,
            probe.view
        );
        Ok(())
    }
}
