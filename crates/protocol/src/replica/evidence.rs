//! Evidence that a member is gone: its process refuses connections, or it asks others for what it has forgotten (V14, C10).
//!
//! Hints, for speed alone: they make a replica vote before its timeout, and for a view whose primary may answer. Nothing that
//! is promised or counted depends on them, so a wrong one costs a view change at most.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Replica;
use super::status::Status;
use crate::message::Body;
use crate::numbers::{NodeId, Time, ViewNumber};
use crate::service::Service;

/// The members that were gone when last heard of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Evidence {
    gone_since: BTreeMap<NodeId, Time>,
}

impl Evidence {
    pub(super) fn clear(&mut self) {
        self.gone_since.clear();
    }

    /// Evidence is renewed by whoever is really gone: it goes on to refuse, or to ask. What is old says nothing.
    fn is_gone(&self, node: NodeId, now: Time, lifetime: Duration) -> bool {
        self.gone_since.get(&node).is_some_and(|since| now.since(*since) < lifetime)
    }
}

impl<S: Service> Replica<S> {
    /// The address of a member has refused a connection: no process listens there.
    pub(super) fn on_peer_unreachable(&mut self, node: NodeId) {
        if node != self.id && self.configuration.contains(node) {
            self.note_gone(node);
        }
    }

    /// `node` has no process, or no memory. If others wait for it to lead, they need not.
    pub(super) fn note_gone(&mut self, node: NodeId) {
        let now = self.now.monotonic;
        self.evidence.gone_since.insert(node, now);
        if node != self.primary_of(self.view) {
            return;
        }
        let next_vote = now.after(self.options.view_change_retry);
        let is_news = match &mut self.status {
            Status::Backup(backup) if backup.suspect_at > now => {
                backup.suspect_at = now;
                backup.vote_at = next_vote;
                true
            }
            Status::ViewChange(change) if change.timeout_at > now => {
                change.timeout_at = now;
                true
            }
            _ => false,
        };
        if is_news {
            self.vote();
        }
    }

    /// Whoever takes part in the protocol is not gone.
    pub(super) fn note_present(&mut self, node: NodeId, body: &Body) {
        let is_asking = matches!(
            body,
            Body::Recovery(_)
                | Body::GetIncarnation(_)
                | Body::AlsoRecovering(_)
                | Body::Bootstrap(_)
                | Body::GetConfiguration
        );
        if !is_asking && !self.evidence.gone_since.is_empty() {
            self.evidence.gone_since.remove(&node);
        }
    }

    /// Whether `node` seems gone.
    pub(super) fn is_gone(&self, node: NodeId) -> bool {
        node != self.id && self.evidence.is_gone(node, self.now.monotonic, self.options.evidence_lifetime)
    }

    /// The first view above `view` whose primary may be there; the next one if all seem gone.
    pub(super) fn next_view_with_a_primary(&self, view: ViewNumber) -> ViewNumber {
        let mut candidate = view.next();
        for _ in 0..self.configuration.len() {
            let primary = self.primary_of(candidate);
            if !self.is_gone(primary) {
                return candidate;
            }
            candidate = candidate.next();
        }
        view.next()
    }
}
