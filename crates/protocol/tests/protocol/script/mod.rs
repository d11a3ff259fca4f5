//! Schedules by hand: every message waits until the script delivers or loses it, every timer until the script fires it.

use std::collections::BTreeMap;
use std::time::Duration;

use viewstamped_protocol::message::{Body, ClientReply};
use viewstamped_protocol::*;

use crate::common::{Group, ms};

pub struct Script {
    pub group: Group,
    session: SessionNumber,
    /// How far each replica's clock is ahead of the others'.
    ahead: BTreeMap<u64, Duration>,
}

impl Script {
    /// A group that serves in view 0 with an open session; nothing is under way.
    pub fn serving(size: u64) -> Self {
        // Hints that a member is gone would keep views from being tried that a schedule is about.
        let options = Options { evidence_lifetime: Duration::ZERO, ..Options::default() };
        let (mut group, session) = Group::serving_with(size, options);
        group.run_for(ms(100));
        assert!(group.network.is_empty());
        group.replies.clear();
        Self { group, session, ahead: BTreeMap::new() }
    }

    fn at_clock_of(&mut self, node: u64, act: impl FnOnce(&mut Group)) {
        let now = self.group.now;
        let ahead = self.ahead.get(&node).copied().unwrap_or_default();
        self.group.now.monotonic = now.monotonic.after(ahead);
        act(&mut self.group);
        self.group.now = now;
    }

    fn take(&mut self, from: u64, to: u64, kind: &str) -> Option<Message> {
        let is_wanted = |(to_id, message): &(NodeId, Message)| {
            message.header.from.0 == from && to_id.0 == to && message.body.name() == kind
        };
        let place = self.group.network.iter().position(is_wanted)?;
        self.group.network.remove(place).map(|(_, message)| message)
    }

    /// Takes a message off the network, to be delivered later, or never.
    pub fn hold(&mut self, from: u64, to: u64, kind: &str) -> Message {
        self.take(from, to, kind).unwrap_or_else(|| panic!("no {kind} from r{from} to r{to}: {}", self.transcript()))
    }

    pub fn deliver_held(&mut self, to: u64, message: &Message) {
        self.at_clock_of(to, |group| group.input(to, Input::Message(message.clone())));
    }

    /// Delivers the first such message.
    pub fn deliver(&mut self, from: u64, to: u64, kind: &str) {
        let message = self.hold(from, to, kind);
        self.deliver_held(to, &message);
    }

    /// Loses everything under way.
    pub fn lose_all(&mut self) {
        self.group.network.clear();
    }

    /// The replica's clock advances, but not yet far enough for it to suspect the primary: votes do not keep for ever.
    pub fn grow_impatient(&mut self, node: u64) {
        *self.ahead.entry(node).or_default() += ms(300);
    }

    /// The replica does what is due now.
    pub fn tick(&mut self, node: u64) {
        self.at_clock_of(node, |group| group.input(node, Input::Tick));
    }

    /// The replica's clock advances until it acts on its own: a timeout.
    pub fn time_out(&mut self, node: u64) {
        let before = self.group.network.len();
        for _ in 0..2_000 {
            *self.ahead.entry(node).or_default() += ms(1);
            self.tick(node);
            let is_vote = |message: &Message| match &message.body {
                Body::StartViewChange(vote) => message.header.from.0 == node && !vote.confirmed,
                _ => false,
            };
            if self.group.network.iter().skip(before).any(|(_, message)| is_vote(message)) {
                return;
            }
        }
        panic!("r{node} never suspects the primary");
    }

    /// `node` enters the view change for view 1, with the votes of `voters`, who stay normal and hear the primary again.
    pub fn enter_view_change(&mut self, node: u64, voters: &[u64]) {
        self.grow_impatient(node);
        for voter in voters {
            self.time_out(*voter);
            self.deliver(*voter, node, "STARTVIEWCHANGE");
            self.drop_from(*voter, "STARTVIEWCHANGE");
        }
        self.time_out(node);
        assert_eq!(self.group.replica(node).report().status, StatusName::ViewChange, "r{node} has a quorum of votes");
        self.drop_from(node, "STARTVIEWCHANGE");
        for voter in voters {
            assert!(self.group.replica(*voter).report().status == StatusName::Normal, "votes bind nobody");
        }
    }

    /// Loses all messages of this kind from `node`.
    pub fn drop_from(&mut self, node: u64, kind: &str) {
        self.group.network.retain(|(_, message)| message.header.from.0 != node || message.body.name() != kind);
    }

    /// The replica loses its memory and asks the others; its RECOVERYs are under way.
    pub fn crash_and_recover(&mut self, node: u64) {
        self.at_clock_of(node, |group| {
            group.crash(node);
            group.restart(node);
        });
    }

    /// `helper` answers the RECOVERY of `node`; its answer is under way.
    pub fn answer_recovery(&mut self, node: u64, helper: u64) {
        self.deliver(node, helper, "RECOVERY");
    }

    /// The answers of these helpers arrive, and the log that `node` then asks the primary for.
    pub fn finish_recovery(&mut self, node: u64, helpers: &[u64]) {
        for helper in helpers {
            self.deliver(*helper, node, "RECOVERYRESPONSE");
        }
        while let Some(message) = self.take(node, 0, "GETSTATE") {
            self.deliver_held(0, &message);
            self.deliver(0, node, "NEWSTATE");
        }
    }

    /// The primary of view 0 prepares an operation; its PREPAREs are under way.
    pub fn prepare(&mut self, payload: &'static str) {
        let session = self.session;
        self.at_clock_of(0, |group| group.submit(0, session, 1, payload));
    }

    /// The client was told that its operation is done.
    pub fn is_answered(&self) -> bool {
        self.group.replies.iter().any(|reply| matches!(reply.body, ClientReply::Reply { .. }))
    }

    /// The network heals for long enough to recover and change views; then everyone has executed the same.
    pub fn heal(&mut self) -> Vec<String> {
        // All clocks are brought level, at the most advanced one.
        let most = self.ahead.values().max().copied().unwrap_or_default();
        self.group.now.monotonic = self.group.now.monotonic.after(most);
        self.ahead.clear();
        self.group.run_for(ms(20_000));
        assert!(self.group.all_normal(), "the group heals");
        let ids: Vec<u64> = self.group.configuration.ids().map(|id| id.0).collect();
        ids.into_iter().map(|id| self.group.journal(id)).collect()
    }

    pub fn transcript(&self) -> String {
        let lines = self.group.network.iter().map(|(to, m)| format!("{}->{to} {m}", m.header.from));
        lines.collect::<Vec<_>>().join("\n")
    }
}
