//! Non-binding votes for a view change, passed on by one hop (docs/deviations.md, V7 and V9).
//!
//! In the paper a STARTVIEWCHANGE moves its sender, and whoever hears it, into the new view: one replica that cannot hear
//! drags a healthy group along for ever. Here it is a vote. The voter stays normal; only when a quorum wants the view change
//! do replicas enter it, and then they tell everybody. Crash vectors make this safe, not the votes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Replica;
use super::io::Ignored;
use super::status::Status;
use crate::message::{Body, Header, StartViewChange, Vote};
use crate::numbers::{Incarnation, NodeId, Time, ViewNumber};
use crate::service::Service;

/// The votes for the highest view anybody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Votes {
    candidate: ViewNumber,
    votes: BTreeMap<NodeId, Held>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    incarnation: Incarnation,
    heard_at: Time,
    /// Heard from the voter itself. Only such votes are passed on, or two replicas would keep a stale one alive between them.
    direct: bool,
}

impl Votes {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn withdraw(&mut self, node: NodeId) {
        self.votes.remove(&node);
    }

    /// Turns to a higher candidate, dropping the votes for a lower one.
    fn turn_to(&mut self, candidate: ViewNumber) {
        if candidate > self.candidate {
            self.candidate = candidate;
            self.votes.clear();
        }
    }

    /// Notes a vote for the candidate; says whether it is a new one that was heard from the voter itself.
    fn note(&mut self, vote: Vote, heard_at: Time, direct: bool) -> bool {
        let known = self.votes.get(&vote.node);
        if !direct && known.is_some_and(|known| known.direct) {
            return false;
        }
        let is_new = direct && !known.is_some_and(|known| known.direct);
        self.votes.insert(vote.node, Held { incarnation: vote.incarnation, heard_at, direct });
        is_new
    }

    /// A voter that still wants the view change says so again; what is not repeated lapses.
    fn expire(&mut self, now: Time, lifetime: Duration) {
        self.votes.retain(|_, held| now.since(held.heard_at) < lifetime);
    }

    /// The votes to pass on.
    fn direct(&self) -> Vec<Vote> {
        let direct = self.votes.iter().filter(|(_, held)| held.direct);
        direct.map(|(node, held)| Vote { node: *node, incarnation: held.incarnation }).collect()
    }
}

impl<S: Service> Replica<S> {
    /// Whether this replica itself wants a view change.
    fn is_suspecting(&self) -> bool {
        let now = self.now.monotonic;
        match &self.status {
            Status::Backup(backup) => now >= backup.suspect_at,
            Status::ViewChange(change) => now >= change.timeout_at,
            Status::Primary(primary) => primary.abdicated,
            Status::Starting(_) | Status::Recovering(_) => false,
        }
    }

    /// Votes for the next view, or for a later one that others want already.
    pub(super) fn vote(&mut self) {
        self.expire_votes();
        self.votes.turn_to(self.next_candidate());
        self.add_own_vote();
        self.send_votes();
        self.enter_if_elected();
    }

    /// Before votes are noted, counted or passed on: a vote that has lapsed must not look fresh to whoever hears of it next.
    fn expire_votes(&mut self) {
        self.votes.expire(self.now.monotonic, self.options.suspect_timeout);
    }

    fn add_own_vote(&mut self) {
        let vote = Vote { node: self.id, incarnation: self.incarnation };
        self.votes.note(vote, self.now.monotonic, true);
    }

    fn send_votes(&mut self) {
        let votes = self.votes.direct();
        let candidate = self.votes.candidate;
        self.broadcast(Body::StartViewChange(StartViewChange { candidate, votes, confirmed: false }));
    }

    fn enter_if_elected(&mut self) {
        let candidate = self.votes.candidate;
        if candidate > self.view && self.votes.votes.len() >= self.configuration.quorum() {
            self.enter_view_change(candidate);
        }
    }

    /// STARTVIEWCHANGE (4.2 steps 1 and 2).
    pub(super) fn on_start_view_change(&mut self, header: Header, m: StartViewChange) -> Result<(), Ignored> {
        if m.candidate > self.view && m.confirmed {
            self.enter_view_change(m.candidate);
            self.note_reach(header.from, &m.votes);
            return Ok(());
        }
        if m.candidate == self.view && m.confirmed {
            self.note_reach(header.from, &m.votes);
        }
        if m.candidate <= self.view {
            return self.answer_laggard(header, m.confirmed);
        }
        if self.status.is_normal() && header.view < self.view {
            // It votes because it missed the view that has started.
            self.send(header.from, Body::ViewHint);
        }
        if m.candidate < self.votes.candidate {
            return Err(Ignored::OlderView);
        }
        self.expire_votes();
        self.votes.turn_to(m.candidate);
        let now = self.now.monotonic;
        let mut heard_new = false;
        for vote in m.votes {
            let is_current = vote.incarnation >= self.crash_vector.known(vote.node);
            if vote.node != self.id && self.configuration.contains(vote.node) && is_current {
                heard_new |= self.votes.note(vote, now, vote.node == header.from);
            }
        }
        if self.is_suspecting() {
            self.add_own_vote();
        }
        if heard_new {
            self.send_votes();
        }
        self.enter_if_elected();
        Ok(())
    }

    /// The sender is in a view change that is over, or in an older one (V3).
    ///
    /// Who confirms a view is still changing to it. If the primary cannot reach it, a backup has to tell it that the view began.
    pub(super) fn answer_laggard(&mut self, header: Header, confirmed: bool) -> Result<(), Ignored> {
        match &self.status {
            Status::Primary(_) => self.send_start_view(header.from),
            Status::Backup(_) if header.view < self.view || confirmed => self.send(header.from, Body::ViewHint),
            Status::ViewChange(_) if header.view < self.view => self.send_confirmed(Some(header.from)),
            _ => {}
        }
        Err(Ignored::OlderView)
    }
}
