//! The client proxy behind a lock: whoever submits or receives drives it; one task keeps its time and writes.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use viewstamped_protocol::client::{
    Client as Proxy, ClientError, ClientOutput, ClientSetup, Completion, Endpoint, Ticket,
};
use viewstamped_protocol::codec;
use viewstamped_protocol::{ClientId, OpNumber, Time, ToClient};

use super::connection;
use super::{ClientConfig, ConnectionOptions, SessionHandle};
use crate::error::ConnectError;
use crate::runtime::clock::Clock;
use crate::runtime::random_bits;
use crate::runtime::send_queue::{Flushed, SendQueue};

type Answer = oneshot::Sender<Result<Completion, ClientError>>;

/// What all handles and tasks of a client share.
pub(super) struct Shared {
    pub(super) options: ConnectionOptions,
    pub(super) addresses: Vec<String>,
    clock: Clock,
    core: Mutex<Core>,
    /// Wakes the task that keeps the time.
    wake: Notify,
    /// Wakes the task of each connection: there is something to send, or the socket takes no more for now.
    pub(super) wanted: Vec<Notify>,
}

struct Core {
    proxy: Proxy,
    waiting: HashMap<Ticket, Answer>,
    outlets: Vec<Outlet>,
    /// When the proxy will be looked at again by itself.
    armed: Option<Time>,
    is_closed: bool,
}

#[derive(Default)]
struct Outlet {
    queue: SendQueue,
    socket: Option<Arc<OwnedWriteHalf>>,
    is_blocked: bool,
}

impl Shared {
    pub(super) fn new(config: ClientConfig) -> Result<Arc<Self>, ConnectError> {
        let clock = Clock::start();
        let count = config.endpoints.len();
        let (fresh_id, seed) =
            (random_bits().map_err(ConnectError::Random)?, random_bits().map_err(ConnectError::Random)?);
        let setup = ClientSetup {
            cluster: config.cluster,
            client: config.resume.map_or(ClientId(fresh_id), |resume| resume.client),
            endpoints: count,
            resume: config.resume.map(|resume| resume.session),
            options: config.options,
            seed,
        };
        let core = Core {
            proxy: Proxy::new(setup, clock.monotonic()),
            waiting: HashMap::new(),
            outlets: (0..count).map(|_| Outlet::default()).collect(),
            armed: None,
            is_closed: false,
        };
        Ok(Arc::new(Self {
            options: config.connections,
            addresses: config.endpoints,
            clock,
            core: Mutex::new(core),
            wake: Notify::new(),
            wanted: (0..count).map(|_| Notify::new()).collect(),
        }))
    }

    pub(super) fn submit(&self, payload: Bytes) -> oneshot::Receiver<Result<Completion, ClientError>> {
        let (answer, result) = oneshot::channel();
        let mut core = self.lock();
        let ticket = core.proxy.submit(self.clock.monotonic(), payload);
        core.waiting.insert(ticket, answer);
        drop(core);
        // The task writes what all callers of this moment submit by one system call.
        self.wake.notify_one();
        result
    }

    pub(super) fn session(&self) -> Option<SessionHandle> {
        let core = self.lock();
        core.proxy.session().map(|session| SessionHandle { client: core.proxy.id(), session })
    }

    pub(super) fn token(&self) -> OpNumber {
        self.lock().proxy.token()
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
    }

    /// Takes what one read has brought from an endpoint.
    pub(super) fn receive(&self, from: Endpoint, messages: impl Iterator<Item = ToClient>) {
        let now = self.clock.monotonic();
        let mut core = self.lock();
        for message in messages {
            core.proxy.handle(now, from, message);
        }
        self.perform_outputs(&mut core);
        if core.proxy.next_deadline().is_some_and(|deadline| core.armed.is_none_or(|armed| deadline < armed)) {
            self.wake.notify_one();
        }
    }

    /// A connection to the endpoint is up: what waits goes out.
    pub(super) fn connected(&self, endpoint: Endpoint, socket: Arc<OwnedWriteHalf>) {
        let mut core = self.lock();
        core.outlets[endpoint.0].socket = Some(socket);
        self.flush(&mut core, endpoint.0);
    }

    /// There is no connection to the endpoint; what waits for it is lost, and asked elsewhere if it was the primary's.
    pub(super) fn disconnected(&self, endpoint: Endpoint) {
        let mut core = self.lock();
        core.outlets[endpoint.0] = Outlet::default();
        core.proxy.on_unreachable(self.clock.monotonic(), endpoint);
        drop(core);
        // The task sends what the proxy wants, and looks at its deadlines.
        self.wake.notify_one();
    }

    /// The socket takes more. Returns whether everything is written.
    pub(super) fn writable(&self, endpoint: Endpoint) -> bool {
        let mut core = self.lock();
        core.outlets[endpoint.0].is_blocked = false;
        self.flush(&mut core, endpoint.0);
        !core.outlets[endpoint.0].is_blocked
    }

    fn perform_outputs(&self, core: &mut Core) {
        while let Some(output) = core.proxy.poll_output() {
            match output {
                ClientOutput::Send { to, message } => {
                    let outlet = &mut core.outlets[to.0];
                    if outlet.queue.bytes() < self.options.queue_bytes_max {
                        outlet.queue.append(|buffer| codec::encode_from_client(&message, buffer));
                    }
                }
                ClientOutput::Completed { ticket, result } => {
                    // Nobody waits when the caller has dropped the future: the operation was executed all the same.
                    core.waiting.remove(&ticket).map(|answer| answer.send(result));
                }
                ClientOutput::SessionOpened { session, slots } => {
                    tracing::debug!(session = session.0, slots, "session opened");
                }
            }
        }
        for index in 0..core.outlets.len() {
            self.flush(core, index);
        }
    }

    fn flush(&self, core: &mut Core, index: usize) {
        let outlet = &mut core.outlets[index];
        if outlet.queue.bytes() == 0 || outlet.is_blocked {
            return;
        }
        let Some(socket) = &outlet.socket else {
            self.wanted[index].notify_one();
            return;
        };
        // The reader of a broken connection meets the same error and gives the connection up.
        if let Flushed::Blocked = outlet.queue.flush(socket) {
            outlet.is_blocked = true;
            self.wanted[index].notify_one();
        }
    }

    /// Keeps the proxy's time, and writes what was submitted. Returns when to come back; `None` when the client is closed.
    fn turn(&self) -> Option<Option<Instant>> {
        let mut core = self.lock();
        if core.is_closed {
            return None;
        }
        let now = self.clock.monotonic();
        if core.proxy.next_deadline().is_some_and(|deadline| deadline <= now) {
            core.proxy.tick(now);
        }
        self.perform_outputs(&mut core);
        core.armed = core.proxy.next_deadline();
        Some(core.armed.map(|deadline| self.clock.instant(deadline)))
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        // Who panicked has left the proxy in an unknown state: nobody may go on with it.
        self.core.lock().expect("no invariant of the client proxy is broken")
    }
}

/// Runs the client until it is closed.
pub(super) async fn drive(shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    for index in 0..shared.addresses.len() {
        connections.spawn(connection::keep(Arc::clone(&shared), Endpoint(index)));
    }
    let mut alarm = pin!(sleep_until(Instant::now().into()));
    let mut armed: Option<Instant> = None;
    while let Some(deadline) = shared.turn() {
        if let Some(deadline) = deadline
            && armed.is_none_or(|armed| deadline < armed)
        {
            alarm.as_mut().reset(deadline.into());
            armed = Some(deadline);
        }
        tokio::select! {
            biased;
            () = shared.wake.notified() => {}
            () = &mut alarm, if armed.is_some() => armed = None,
        }
    }
}
