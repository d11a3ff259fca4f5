//! Who hears whom: after a view change that failed, the next primary is one that is known to hear a quorum (V9).
//!
//! Where links are missing, most members cannot lead, and to try them in turn costs a timeout each, ever longer ones. So in a
//! view change everybody says from time to time whom it has heard itself, and a vote passes over those who hear too few. That
//! is a hint and no more: every other time the views go round as they always did.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Replica;
use super::status::{Status, ViewChange};
use crate::message::Vote;
use crate::numbers::{NodeId, Time, ViewNumber};
use crate::service::Service;

/// The members that were heard themselves since this view change began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reach {
    /// When the view change began: what was said first was said before anybody could be heard.
    began_at: Time,
    heard: BTreeMap<NodeId, Heard>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Heard {
    at: Time,
    /// By its own latest word it hears, with itself, a quorum.
    hears_quorum: bool,
}

impl Reach {
    /// Nobody was heard yet.
    pub(super) fn beginning(began_at: Time) -> Self {
        Self { began_at, heard: BTreeMap::new() }
    }

    fn lately(&self, now: Time, lifetime: Duration) -> impl Iterator<Item = (NodeId, bool)> + '_ {
        let is_fresh = move |heard: &Heard| now.since(heard.at) < lifetime;
        self.heard.iter().filter(move |(_, heard)| is_fresh(heard)).map(|(node, heard)| (*node, heard.hears_quorum))
    }
}

impl<S: Service> Replica<S> {
    /// Who was heard lately in this view change, this replica included: goes with a confirmed STARTVIEWCHANGE.
    pub(super) fn heard_lately(&self) -> Vec<Vote> {
        let Status::ViewChange(change) = &self.status else { return Vec::new() };
        let lately = change.reach.lately(self.now.monotonic, self.options.suspect_timeout);
        let vote = |node| Vote { node, incarnation: self.crash_vector.known(node) };
        let own = Vote { node: self.id, incarnation: self.incarnation };
        lately.map(|(node, _)| vote(node)).chain([own]).collect()
    }

    /// `from` is in this view change, too, and says whom it hears.
    pub(super) fn note_reach(&mut self, from: NodeId, hears: &[Vote]) {
        let members = self.configuration.ids().filter(|id| hears.iter().any(|vote| vote.node == *id)).count();
        let heard = Heard { at: self.now.monotonic, hears_quorum: members >= self.configuration.quorum() };
        if let Status::ViewChange(change) = &mut self.status {
            change.reach.heard.insert(from, heard);
        }
    }

    /// The view to vote for: the next one with a primary that may be there, and that hears a quorum if any is known to.
    pub(super) fn next_candidate(&self) -> ViewNumber {
        let highest = self.view.max(self.heard_view);
        self.next_view_of_a_hub(highest).unwrap_or_else(|| self.next_view_with_a_primary(highest))
    }

    fn next_view_of_a_hub(&self, highest: ViewNumber) -> Option<ViewNumber> {
        let Status::ViewChange(change) = &self.status else { return None };
        // Every other time only, so that no member is passed over for ever because of what was wrongly believed of it; and not
        // before everybody could say twice whom it hears.
        let has_time_passed = self.now.monotonic.since(change.reach.began_at) >= 2 * self.options.view_change_retry;
        if self.failed_view_changes.is_multiple_of(2) || !has_time_passed {
            return None;
        }
        let round = std::iter::successors(Some(highest.next()), |view| Some(view.next()));
        round.take(self.configuration.len()).find(|view| {
            let primary = self.primary_of(*view);
            self.is_hub(change, primary) && !self.is_gone(primary)
        })
    }

    /// Whether a member that is heard here is known to hear a quorum.
    fn is_hub(&self, change: &ViewChange, node: NodeId) -> bool {
        let mut lately = change.reach.lately(self.now.monotonic, self.options.suspect_timeout);
        if node == self.id {
            return lately.count() + 1 >= self.configuration.quorum();
        }
        lately.any(|(other, hears_quorum)| other == node && hears_quorum)
    }
}
