//! The connections that peers have dialed to this replica: one for each purpose of each peer, the newest.

use std::collections::BTreeMap;

use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::AbortHandle;
use viewstamped_protocol::codec::Purpose;
use viewstamped_protocol::{Incarnation, NodeId};

/// What peers have dialed.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    connections: BTreeMap<(NodeId, bool), Connection>,
    next_number: u64,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    incarnation: Incarnation,
    socket: OwnedWriteHalf,
    reader: Option<AbortHandle>,
}

/// Names a connection to [`Accepted::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    peer: NodeId,
    is_bulk: bool,
    number: u64,
}

impl Accepted {
    /// Takes a connection in place of the previous one of the same peer and purpose, which is closed.
    ///
    /// Refuses one whose sender is an older incarnation than the one connected: it is a ghost.
    pub(crate) fn add(
        &mut self,
        peer: NodeId,
        purpose: Purpose,
        incarnation: Incarnation,
        socket: OwnedWriteHalf,
    ) -> Option<Ticket> {
        let key = (peer, purpose == Purpose::Bulk);
        if self
            .connections
            .get(&key)
            .is_some_and(|old| old.incarnation > incarnation && incarnation > Incarnation::ZERO)
        {
            return None;
        }
        self.next_number += 1;
        let number = self.next_number;
        let connection = Connection { number, incarnation, socket, reader: None };
        if let Some(reader) = self.connections.insert(key, connection).and_then(|old| old.reader) {
            reader.abort();
        }
        Some(Ticket { peer, is_bulk: key.1, number })
    }

    /// Names the task that reads the connection: it ends when a newer connection replaces it.
    pub(crate) fn read_by(&mut self, ticket: Ticket, reader: AbortHandle) {
        if let Some(connection) = self.find(ticket) {
            connection.reader = Some(reader);
        }
    }

    /// Forgets a connection that ended, unless a newer one has replaced it.
    pub(crate) fn remove(&mut self, ticket: Ticket) {
        if self.find(ticket).is_some() {
            self.connections.remove(&(ticket.peer, ticket.is_bulk));
        }
    }

    /// Answers on the connection that `peer` dialed, for a peer that nobody can dial because it does not know its address
    /// yet. Small answers only: what the socket does not take is lost.
    pub(crate) fn answer(&mut self, peer: NodeId, frame: &[u8]) {
        let Some(connection) = self.connections.get(&(peer, false)) else { return };
        let written = connection.socket.try_write(frame);
        if !matches!(written, Ok(count) if count == frame.len()) {
            self.connections
                .remove(&(peer, false))
                .and_then(|connection| connection.reader)
                .inspect(AbortHandle::abort);
        }
    }

    fn find(&mut self, ticket: Ticket) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(&(ticket.peer, ticket.is_bulk))?;
        (connection.number == ticket.number).then_some(connection)
    }
}
