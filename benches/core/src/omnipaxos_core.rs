//! The omnipaxos crate (0.2), its log in its own memory storage.

use std::collections::VecDeque;

use bytes::Bytes;
use omnipaxos::macros::Entry;
use omnipaxos::messages::Message;
use omnipaxos::util::LogEntry;
use omnipaxos::{ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig};
use omnipaxos_storage::memory_storage::MemoryStorage;

use crate::Group;
use crate::operations::Operations;

const NODES: u64 = 3;

#[derive(Clone, Debug, Entry)]
struct Payload(Bytes);

/// Three nodes and the messages on their way.
pub struct Omnipaxos {
    nodes: Vec<OmniPaxos<Payload, MemoryStorage<Payload>>>,
    mailboxes: Vec<VecDeque<Message<Payload>>>,
    outgoing: Vec<Message<Payload>>,
    leader: usize,
    decided: usize,
}

impl Omnipaxos {
    /// A group with a leader, which collects `batch` entries before it sends them.
    pub fn new(batch: usize) -> Self {
        let mut group = Self {
            nodes: (1..=NODES).map(|id| node(id, batch)).collect(),
            mailboxes: (0..NODES).map(|_| VecDeque::new()).collect(),
            outgoing: Vec::new(),
            leader: 0,
            decided: 0,
        };
        group.elect();
        group
    }

    fn elect(&mut self) {
        for _ in 0..1_000 {
            self.nodes.iter_mut().for_each(OmniPaxos::tick);
            self.exchange();
            let leader = self.nodes.iter().position(|node| node.get_current_leader() == Some((node.get_pid(), true)));
            if let Some(leader) = leader {
                self.leader = leader;
                return;
            }
        }
        panic!("a leader is elected within a thousand ticks");
    }

    fn exchange(&mut self) {
        let mut quiet = 0;
        for place in (0..self.nodes.len()).cycle() {
            while let Some(message) = self.mailboxes[place].pop_front() {
                self.nodes[place].handle_incoming(message);
            }
            self.nodes[place].take_outgoing_messages(&mut self.outgoing);
            quiet = if self.outgoing.is_empty() { quiet + 1 } else { 0 };
            for message in self.outgoing.drain(..) {
                self.mailboxes[message.get_receiver() as usize - 1].push_back(message);
            }
            if quiet == self.nodes.len() {
                break;
            }
        }
    }
}

impl Group for Omnipaxos {
    fn commit(&mut self, operations: &mut Operations, batch: usize) {
        for _ in 0..batch {
            self.nodes[self.leader].append(Payload(operations.next())).expect("the leader accepts");
        }
        self.exchange();
        let decided = self.nodes[self.leader].read_decided_suffix(self.decided).expect("something is decided");
        let entries =
            decided.iter().filter(|entry| matches!(entry, LogEntry::Decided(payload) if !payload.0.is_empty()));
        assert_eq!(entries.count(), batch, "everything is decided");
        self.decided += decided.len();
    }
}

fn node(pid: u64, batch_size: usize) -> OmniPaxos<Payload, MemoryStorage<Payload>> {
    let cluster_config =
        ClusterConfig { configuration_id: 1, nodes: (1..=NODES).collect(), ..ClusterConfig::default() };
    let server_config = ServerConfig { pid, batch_size, ..ServerConfig::default() };
    OmniPaxosConfig { cluster_config, server_config }
        .build(MemoryStorage::default())
        .expect("the configuration is valid")
}
