//! The clients: the real client proxy, what it has outstanding, and how it crashes.

use std::collections::BTreeMap;

use bytes::Bytes;
use viewstamped_protocol::client::{Client, ClientSetup, Ticket};
use viewstamped_protocol::{ClientId, ClientOptions, ClusterId, SessionNumber, Time};

/// One client and its proxy.
#[derive(Debug)]
pub(crate) struct Actor {
    proxy: Client,
    setup: ClientSetup,
    /// The session and the client-id it belongs to: what a careful client remembers across a crash (4.5).
    remembered: Option<(ClientId, SessionNumber)>,
    /// Requests in the proxy: their numbers in the history.
    outstanding: BTreeMap<Ticket, usize>,
    /// When the proxy is woken next.
    pub(crate) timer: Option<Time>,
    /// How often this client has crashed.
    pub(crate) generation: u32,
    /// Requests answered so far.
    pub(crate) answered: u64,
    /// Whether it takes part at all.
    pub(crate) is_active: bool,
}

impl Actor {
    /// A client that knows all `endpoints` replicas.
    pub(crate) fn new(
        cluster: ClusterId,
        client: ClientId,
        endpoints: usize,
        options: ClientOptions,
        seed: u128,
        now: Time,
    ) -> Self {
        let setup = ClientSetup { cluster: Some(cluster), client, endpoints, resume: None, options, seed };
        Self {
            proxy: Client::new(setup, now),
            setup,
            remembered: None,
            outstanding: BTreeMap::new(),
            timer: None,
            generation: 0,
            answered: 0,
            is_active: true,
        }
    }

    /// The proxy.
    pub(crate) fn proxy(&mut self) -> &mut Client {
        &mut self.proxy
    }

    /// When the proxy wants to be woken.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.proxy.next_deadline()
    }

    /// Whether the client would send another request now.
    pub(crate) fn may_submit(&self) -> bool {
        self.is_active && (self.outstanding.len() as u64) < u64::from(self.setup.options.slots)
    }

    /// Whether requests are outstanding.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.outstanding.is_empty()
    }

    /// Submits the request with this number in the history.
    pub(crate) fn submit(&mut self, now: Time, payload: Bytes, number: usize) {
        let ticket = self.proxy.submit(now, payload);
        self.outstanding.insert(ticket, number);
    }

    /// A request is done; returns its number in the history.
    pub(crate) fn completed(&mut self, ticket: Ticket) -> usize {
        self.outstanding.remove(&ticket).expect("a proxy completes each request once")
    }

    /// Remembers the session, for a crash.
    pub(crate) fn session_opened(&mut self, session: SessionNumber) {
        self.remembered = Some((self.proxy.id(), session));
    }

    /// Whether there is a session to take over after a crash.
    pub(crate) fn remembers(&self) -> bool {
        self.remembered.is_some()
    }

    /// Loses everything but, when `resume`, the session; otherwise goes on under a fresh `client` id.
    pub(crate) fn crash(&mut self, now: Time, resume: bool, client: ClientId, seed: u128) {
        self.outstanding.clear();
        self.generation += 1;
        self.timer = None;
        let remembered = self.remembered.filter(|_| resume);
        if !resume {
            self.remembered = None;
        }
        let client = remembered.map_or(client, |(client, _)| client);
        self.setup = ClientSetup { client, resume: remembered.map(|(_, session)| session), seed, ..self.setup };
        self.proxy = Client::new(self.setup, now);
    }
}
