//! What the turn and the tasks that move bytes share. All of it lives on the replica's thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use viewstamped_protocol::codec::{ForceRecover, Frame, Hello, Limits, Purpose, VERSION};
use viewstamped_protocol::{ClusterId, Configuration, Durability, FromClient, Incarnation, Message, NodeId};

use super::accepted::Accepted;
use super::clients::{ClientConnection, Clients};
use super::control::Control;
use super::inbox::Inbox;
use super::link::Link;
use super::problems::Problems;
use crate::config::TransportOptions;

/// What a client connection asked.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A message for the replica.
    Message(FromClient),
    /// The node's status.
    Status,
    /// That the group begins again with what the disks hold; answered by the status.
    ForceRecover(ForceRecover),
}

/// What the turn and the tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cluster: ClusterId,
    pub(crate) id: NodeId,
    /// Random: tells this process from another one that runs under the same id.
    pub(crate) process: u64,
    /// 0 while unknown.
    pub(crate) incarnation: Cell<Incarnation>,
    pub(crate) configuration: Configuration,
    pub(crate) durability: Durability,
    pub(crate) transport: TransportOptions,
    /// Limits of frames from peers.
    pub(crate) peer_limits: Limits,
    /// Limits of frames from clients.
    pub(crate) client_limits: Limits,
    pub(crate) from_peers: Inbox<Message>,
    pub(crate) from_clients: Inbox<(Rc<ClientConnection>, Asked)>,
    /// Peers whose addresses have refused a connection since the latest turn.
    pub(crate) refused: RefCell<BTreeSet<NodeId>>,
    pub(crate) control: Arc<Control>,
    pub(crate) links: Vec<Link>,
    pub(crate) accepted: RefCell<Accepted>,
    pub(crate) clients: RefCell<Clients>,
    pub(crate) problems: RefCell<Problems>,
    /// One has occurred that watchers of the status have not seen.
    pub(crate) has_new_problem: Cell<bool>,
}

impl Shared {
    /// Nobody listens at the peer's address.
    pub(crate) fn peer_refused(&self, peer: NodeId) {
        self.refused.borrow_mut().insert(peer);
        self.control.wake();
    }

    /// Counts and shows a problem.
    pub(crate) fn problem(&self, kind: &'static str, describe: impl FnOnce() -> String) {
        if self.problems.borrow_mut().note(kind, describe) {
            self.has_new_problem.set(true);
            self.control.wake();
        }
    }

    /// How this replica introduces itself: under its own id, but to one whose id is taken.
    pub(crate) fn hello(&self, purpose: Purpose, node: NodeId) -> Frame {
        Frame::Hello(Hello {
            cluster: self.cluster,
            node: Some(node),
            incarnation: self.incarnation.get(),
            purpose,
            version: VERSION,
            process: self.process,
            durability: Some(self.durability),
        })
    }

    /// What is wrong with a peer of another durability mode: it would break the promises of one of the two.
    pub(crate) fn other_mode(&self, peer: NodeId, mode: Option<Durability>) -> Option<String> {
        let other = mode.filter(|mode| *mode != self.durability)?;
        Some(format!(
            "replica {} runs in the durability mode `{other}`, and this one, replica {}, in `{}`: all members of a cluster must be \
             formatted with the same --durability; format the one that is wrong anew in an empty directory",
            peer.0, self.id.0, self.durability
        ))
    }
}
