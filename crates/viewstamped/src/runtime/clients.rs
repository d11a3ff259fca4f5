//! The connections of clients, and on which of them each client is reached.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::BytesMut;
use tokio::task::AbortHandle;
use viewstamped_protocol::ClientId;

use super::outlet::Outlet;

/// The most client-ids reached through one connection: a gateway needs few. The one longest known is forgotten for a new one.
const CLIENTS_PER_CONNECTION_MAX: usize = 1_024;

/// One connection of a client, or of a gateway for several.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    number: u64,
    /// From where.
    pub(crate) address: SocketAddr,
    outlet: Rc<Outlet>,
    reader: OnceCell<AbortHandle>,
    speakers: RefCell<VecDeque<ClientId>>,
    is_dirty: Cell<bool>,
}

/// All connections of clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    next_number: u64,
    connections: BTreeMap<u64, Rc<ClientConnection>>,
    routes: HashMap<ClientId, Rc<ClientConnection>>,
    dirty: Vec<Rc<ClientConnection>>,
}

/// Whether a client can be sent more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It is queued.
    Queued,
    /// The client is not connected here.
    Unreachable,
    /// The client does not read: it has been disconnected.
    CutOff(SocketAddr),
}

impl ClientConnection {
    /// Names the task that reads the connection: it ends with the connection.
    pub(crate) fn read_by(&self, reader: AbortHandle) {
        self.reader.set(reader).expect("one task reads a connection");
    }
}

impl Clients {
    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.connections.len()
    }

    /// Adds a connection; [`ClientConnection::read_by`] says next which task reads it.
    pub(crate) fn add(&mut self, address: SocketAddr, outlet: Rc<Outlet>) -> Rc<ClientConnection> {
        let number = self.next_number;
        self.next_number += 1;
        let connection = Rc::new(ClientConnection {
            number,
            address,
            outlet,
            reader: OnceCell::new(),
            speakers: RefCell::default(),
            is_dirty: Cell::new(false),
        });
        self.connections.insert(number, Rc::clone(&connection));
        connection
    }

    /// Forgets a connection and closes it.
    pub(crate) fn remove(&mut self, connection: &Rc<ClientConnection>) {
        if self.connections.remove(&connection.number).is_none() {
            return;
        }
        for client in connection.speakers.borrow().iter() {
            self.forget_route(*client, connection);
        }
        connection.outlet.disconnect();
        if let Some(reader) = connection.reader.get() {
            reader.abort();
        }
    }

    /// Notes that `client` speaks on this connection: its answers go there from now on.
    pub(crate) fn heard(&mut self, client: ClientId, connection: &Rc<ClientConnection>) {
        if self.routes.get(&client).is_some_and(|route| Rc::ptr_eq(route, connection)) {
            return;
        }
        if !self.connections.contains_key(&connection.number) {
            return;
        }
        let mut speakers = connection.speakers.borrow_mut();
        if !speakers.contains(&client) {
            speakers.push_back(client);
        }
        if speakers.len() > CLIENTS_PER_CONNECTION_MAX
            && let Some(oldest) = speakers.pop_front()
        {
            self.forget_route(oldest, connection);
        }
        self.routes.insert(client, Rc::clone(connection));
    }

    /// Queues a frame for a client.
    pub(crate) fn send(&mut self, client: ClientId, limit: usize, encode: impl FnOnce(&mut BytesMut)) -> Delivery {
        let Some(connection) = self.routes.get(&client).cloned() else { return Delivery::Unreachable };
        self.send_on(&connection, limit, encode)
    }

    /// Queues a frame on a connection. One whose queue exceeds `limit` bytes is closed.
    pub(crate) fn send_on(
        &mut self,
        connection: &Rc<ClientConnection>,
        limit: usize,
        encode: impl FnOnce(&mut BytesMut),
    ) -> Delivery {
        connection.outlet.append(encode);
        if connection.outlet.bytes() > limit {
            // What the socket takes now does not count: one turn may answer a great deal.
            connection.outlet.flush();
        }
        if connection.outlet.bytes() > limit {
            self.remove(connection);
            return Delivery::CutOff(connection.address);
        }
        if !connection.is_dirty.replace(true) {
            self.dirty.push(Rc::clone(connection));
        }
        Delivery::Queued
    }

    /// Writes what this turn has queued: one write for each connection.
    pub(crate) fn flush(&mut self) {
        for connection in self.dirty.drain(..) {
            connection.is_dirty.set(false);
            connection.outlet.flush();
        }
    }

    fn forget_route(&mut self, client: ClientId, connection: &Rc<ClientConnection>) {
        if self.routes.get(&client).is_some_and(|route| Rc::ptr_eq(route, connection)) {
            self.routes.remove(&client);
        }
    }
}
