//! The raft crate (0.7), driven by its documented `Ready` loop, its log in its own memory storage.

use std::collections::VecDeque;

use raft::prelude::{ConfState, Entry, Message};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};
use slog::{Discard, Logger, o};

use crate::Group;
use crate::operations::Operations;

const NODES: u64 = 3;
const LEADER: usize = 0;

/// Three nodes and the messages on their way.
pub struct Raft {
    nodes: Vec<RawNode<MemStorage>>,
    mailboxes: Vec<VecDeque<Message>>,
    committed: usize,
}

impl Raft {
    /// A group with a leader.
    pub fn new() -> Self {
        let mut group = Self {
            nodes: (1..=NODES).map(node).collect(),
            mailboxes: (0..NODES).map(|_| VecDeque::new()).collect(),
            committed: 0,
        };
        group.nodes[LEADER].campaign().expect("a member may campaign");
        group.exchange();
        assert_eq!(group.nodes[LEADER].raft.state, StateRole::Leader);
        group
    }

    fn exchange(&mut self) {
        let mut quiet = 0;
        for place in (0..self.nodes.len()).cycle() {
            while let Some(message) = self.mailboxes[place].pop_front() {
                self.nodes[place].step(message).expect("messages of members are accepted");
            }
            quiet = if self.perform(place) { 0 } else { quiet + 1 };
            if quiet == self.nodes.len() {
                break;
            }
        }
    }

    /// The loop of the crate's own example: send, append, save, send, advance.
    fn perform(&mut self, place: usize) -> bool {
        if !self.nodes[place].has_ready() {
            return false;
        }
        let mut ready = self.nodes[place].ready();
        let store = self.nodes[place].store().clone();
        self.send(ready.take_messages());
        self.apply(place, ready.take_committed_entries());
        if !ready.entries().is_empty() {
            store.wl().append(ready.entries()).expect("the log has no holes");
        }
        if let Some(state) = ready.hs() {
            store.wl().set_hardstate(state.clone());
        }
        self.send(ready.take_persisted_messages());
        let mut light = self.nodes[place].advance(ready);
        if let Some(commit) = light.commit_index() {
            store.wl().mut_hard_state().set_commit(commit);
        }
        self.send(light.take_messages());
        self.apply(place, light.take_committed_entries());
        self.nodes[place].advance_apply();
        true
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.mailboxes[message.to as usize - 1].push_back(message);
        }
    }

    fn apply(&mut self, place: usize, entries: Vec<Entry>) {
        if place == LEADER {
            self.committed += entries.iter().filter(|entry| !entry.data.is_empty()).count();
        }
    }
}

impl Group for Raft {
    fn commit(&mut self, operations: &mut Operations, batch: usize) {
        self.committed = 0;
        for _ in 0..batch {
            self.nodes[LEADER].propose(Vec::new(), operations.next_vec()).expect("the leader accepts");
        }
        self.exchange();
        assert_eq!(self.committed, batch, "everything is committed");
    }
}

fn node(id: u64) -> RawNode<MemStorage> {
    let config = Config {
        id,
        election_tick: 10,
        heartbeat_tick: 3,
        // The default, 0, sends every entry in a message of its own.
        max_size_per_msg: 1 << 20,
        // The fastest it can do: proposals made before the next Ready share a message, and followers learn of a commit from
        // the message that follows, as backups do.
        batch_append: true,
        skip_bcast_commit: true,
        ..Config::default()
    };
    let storage = MemStorage::new_with_conf_state(ConfState::from(((1..=NODES).collect::<Vec<_>>(), Vec::new())));
    RawNode::new(&config, storage, &Logger::root(Discard, o!())).expect("the configuration is valid")
}
