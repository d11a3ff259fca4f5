//! The async client: the client proxy of the protocol on TCP connections.

mod connection;
mod core;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use viewstamped_protocol::client::{ClientError, Completion, ENDPOINTS_MAX, Unavailable};
use viewstamped_protocol::{ClientId, ClientOptions, ClusterId, OpNumber, SessionNumber};

pub(crate) use self::connection::introduction;
use self::core::Shared;
use crate::error::ConnectError;

/// What a client is made from.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The client addresses of the replicas, `host:port`, in any order: all of them, so that any may fail.
    pub endpoints: Vec<String>,
    /// The cluster; `None` takes the cluster of the replica that answers first.
    pub cluster: Option<ClusterId>,
    /// Timeouts and slots.
    pub options: ClientOptions,
    /// Timeouts and limits of the connections.
    pub connections: ConnectionOptions,
    /// The session to take over after a crash of this client (4.5); `None` opens a new one.
    pub resume: Option<SessionHandle>,
}

impl ClientConfig {
    /// A client of the replicas at `endpoints`, with default options.
    pub fn new<I: IntoIterator<Item: Into<String>>>(endpoints: I) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            cluster: None,
            options: ClientOptions::default(),
            connections: ConnectionOptions::default(),
            resume: None,
        }
    }
}

/// Timeouts and limits of a client's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// How long connecting to a replica may take. Default 1 s.
    pub connect_timeout: Duration,
    /// The first pause before a replica is dialed again. Default 20 ms, doubled by each failure.
    pub reconnect_backoff: Duration,
    /// The longest pause before a replica is dialed again. Default 500 ms.
    pub reconnect_backoff_max: Duration,
    /// How long a replica may acknowledge nothing that was sent before its connection is given up. Default 3 s.
    pub silence_timeout: Duration,
    /// The most bytes queued for one replica. Default 32 MiB; beyond it messages are dropped, and sent again later.
    pub queue_bytes_max: usize,
    /// The largest frame accepted from a replica, in bytes: the largest result and a little more. Default 64 MiB.
    pub frame_bytes_max: usize,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            reconnect_backoff: Duration::from_millis(20),
            reconnect_backoff_max: Duration::from_millis(500),
            silence_timeout: Duration::from_secs(3),
            queue_bytes_max: 32 << 20,
            frame_bytes_max: 64 << 20,
        }
    }
}

/// What a client remembers to take its session over after a crash (4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionHandle {
    /// The client-id.
    pub client: ClientId,
    /// The session.
    pub session: SessionNumber,
}

/// A client of the group. Clones share one session; any number of requests may be outstanding, as many as the session has
/// slots are sent at a time, the rest wait here. Its connections close when the last clone and the last [`Pending`] are gone.
#[derive(Clone)]
pub struct Client {
    owner: Arc<Owner>,
}

/// Closes the client when the last handle is dropped.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Client {
    /// Makes a client on the current tokio runtime. Connects in the background, and again whenever a connection is lost.
    ///
    /// # Errors
    /// When there are no endpoints or too many, no slots are asked for, or outside a tokio runtime.
    pub fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        if config.endpoints.is_empty() {
            return Err(ConnectError::NoEndpoints);
        }
        if config.endpoints.len() > ENDPOINTS_MAX {
            return Err(ConnectError::TooManyEndpoints { given: config.endpoints.len() });
        }
        if config.options.slots == 0 {
            return Err(ConnectError::NoSlots);
        }
        let runtime = Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let shared = Shared::new(config)?;
        runtime.spawn(core::drive(Arc::clone(&shared)));
        Ok(Self { owner: Arc::new(Owner(shared)) })
    }

    /// Has the group execute an operation, exactly once, and returns its result.
    ///
    /// # Errors
    /// When there is no answer within the request timeout (the operation may or may not be executed), or it was refused.
    pub async fn execute(&self, payload: impl Into<Bytes>) -> Result<Completion, ClientError> {
        self.submit(payload).await
    }

    /// Submits an operation at once and returns its future result: what is submitted before the next wait goes out together.
    /// The operation is executed whether or not the result is awaited.
    pub fn submit(&self, payload: impl Into<Bytes>) -> Pending {
        let result = self.owner.0.submit(payload.into());
        Pending { result, _owner: Arc::clone(&self.owner) }
    }

    /// The session, once it is open: keep it to `resume` after a crash. Changes when the session is lost.
    #[must_use]
    pub fn session(&self) -> Option<SessionHandle> {
        self.owner.0.session()
    }

    /// The causal token: the largest op-number of any result seen (6.3.2).
    #[must_use]
    pub fn token(&self) -> OpNumber {
        self.owner.0.token()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("session", &self.session()).finish_non_exhaustive()
    }
}

/// The future result of a submitted operation.
#[must_use = "the result says whether the operation was executed"]
pub struct Pending {
    result: oneshot::Receiver<Result<Completion, ClientError>>,
    _owner: Arc<Owner>,
}

impl Future for Pending {
    type Output = Result<Completion, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender is gone without a word only when the runtime of the client was shut down.
        let result = ready!(Pin::new(&mut self.result).poll(context));
        Poll::Ready(result.unwrap_or(Err(ClientError::OutcomeUnknown(Unavailable::NoAnswer))))
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}
