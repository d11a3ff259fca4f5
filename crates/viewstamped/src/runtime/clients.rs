//! The connections of clients, and on which of them each client is reached.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::AbortHandle;
use viewstamped_protocol::ClientId;

use super::outlet::Outlet;
use super::unfinished::Unfinished;
use crate::config::TransportOptions;

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
    /// Its place among those that are amid a message.
    pub(crate) unfinished: Cell<Option<u64>>,
}

/// All connections of clients.
#[derive(Debug)]
pub(crate) struct Clients {
    limits: TransportOptions,
    next_number: u64,
    connections: BTreeMap<u64, Rc<ClientConnection>>,
    routes: HashMap<ClientId, Rc<ClientConnection>>,
    dirty: Vec<Rc<ClientConnection>>,
    /// The bytes queued for all of them.
    queued: Rc<Cell<usize>>,
    unfinished: Unfinished,
}

/// Whether a client can be sent more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It is queued.
    Queued,
    /// The client is not connected here.
    Unreachable,
    /// This client does not read, and too much waits for it: it has been disconnected.
    CutOff(SocketAddr),
}

impl ClientConnection {
    /// Names the task that reads the connection: it ends with the connection.
    pub(crate) fn read_by(&self, reader: AbortHandle) {
        self.reader.set(reader).expect("one task reads a connection");
    }
}

impl Clients {
    pub(crate) fn new(limits: TransportOptions) -> Self {
        Self {
            limits,
            next_number: 0,
            connections: BTreeMap::new(),
            routes: HashMap::new(),
            dirty: Vec::new(),
            queued: Rc::default(),
            unfinished: Unfinished::default(),
        }
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.connections.len()
    }

    /// Adds a connection; [`ClientConnection::read_by`] says next which task reads it.
    pub(crate) fn add(&mut self, address: SocketAddr, socket: OwnedWriteHalf) -> Rc<ClientConnection> {
        let outlet = Rc::new(Outlet::counted_in(&self.queued));
        outlet.connect(Arc::new(socket));
        let number = self.next_number;
        self.next_number += 1;
        let connection = Rc::new(ClientConnection {
            number,
            address,
            outlet,
            reader: OnceCell::new(),
            speakers: RefCell::default(),
            is_dirty: Cell::new(false),
            unfinished: Cell::new(None),
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
        self.unfinished.forget(connection);
        connection.outlet.close();
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
        self.routes.insert(client, Rc::clone(connection));
        let is_one_of_many = speakers.len() > 1 && self.routes.len() > self.limits.clients_max;
        if (is_one_of_many || speakers.len() > self.limits.connection_clients_max)
            && let Some(oldest) = speakers.pop_front()
        {
            self.forget_route(oldest, connection);
        }
    }

    /// Notes that a connection has begun a message and not completed it, and how much memory that takes so far. Returns whose
    /// connection was closed because all such messages take too much.
    pub(crate) fn unfinished(&mut self, connection: &Rc<ClientConnection>, bytes: usize) -> Option<SocketAddr> {
        self.unfinished.note(connection, bytes);
        let oldest = self.unfinished.oldest_beyond(self.limits.client_unfinished_bytes_max)?;
        self.remove(&oldest);
        Some(oldest.address)
    }

    /// Notes that the message which a connection had begun is complete.
    pub(crate) fn finished(&mut self, connection: &ClientConnection) {
        self.unfinished.forget(connection);
    }

    /// Queues a frame for a client.
    pub(crate) fn send(&mut self, client: ClientId, encode: impl FnOnce(&mut BytesMut)) -> Delivery {
        let Some(connection) = self.routes.get(&client).cloned() else { return Delivery::Unreachable };
        self.send_on(&connection, encode)
    }

    /// Queues a frame on a connection. One whose queue is too long is closed; when all of them together are, the longest.
    pub(crate) fn send_on(
        &mut self,
        connection: &Rc<ClientConnection>,
        encode: impl FnOnce(&mut BytesMut),
    ) -> Delivery {
        if !self.connections.contains_key(&connection.number) {
            return Delivery::Unreachable;
        }
        connection.outlet.append(encode);
        if !connection.is_dirty.replace(true) {
            self.dirty.push(Rc::clone(connection));
        }
        if let Some(too_slow) = self.too_slow(connection) {
            self.remove(&too_slow);
            return Delivery::CutOff(too_slow.address);
        }
        Delivery::Queued
    }

    /// Who is to be disconnected because of what was just queued on a connection.
    fn too_slow(&self, connection: &Rc<ClientConnection>) -> Option<Rc<ClientConnection>> {
        let is_too_long = || connection.outlet.bytes() > self.limits.client_queue_bytes_max;
        let are_too_long = || self.queued.get() > self.limits.client_queues_bytes_max;
        if is_too_long() || are_too_long() {
            // What the socket takes now does not count: one turn may answer a great deal.
            connection.outlet.flush();
        }
        if is_too_long() {
            return Some(Rc::clone(connection));
        }
        let longest = || self.connections.values().max_by_key(|connection| connection.outlet.bytes());
        if are_too_long() { longest().cloned() } else { None }
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
