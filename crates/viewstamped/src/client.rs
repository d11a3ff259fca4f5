//! The async client: the client proxy of the protocol on TCP connections.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use viewstamped_protocol::client::{ClientError, Completion};
use viewstamped_protocol::{ClientId, ClientOptions, ClusterId, OpNumber, SessionNumber};

use crate::error::ConnectError;

/// What a client is made from.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The client addresses of the replicas, `host:port`, in any order; a few of them suffice to start, all are best.
    pub endpoints: Vec<String>,
    /// The cluster; `None` takes the cluster of the replica that answers first.
    pub cluster: Option<ClusterId>,
    /// Timeouts and slots.
    pub options: ClientOptions,
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
            resume: None,
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
/// slots are sent at a time, the rest wait here.
#[derive(Clone, Debug)]
pub struct Client {}

impl Client {
    /// Makes a client on the current tokio runtime. Connects in the background, and again whenever a connection is lost.
    ///
    /// # Errors
    /// When there are no endpoints, or outside a tokio runtime.
    pub fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        let _ = config;
        Err(ConnectError::NoEndpoints)
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
        let _ = payload.into();
        Pending {}
    }

    /// The session, once it is open: keep it to `resume` after a crash.
    #[must_use]
    pub fn session(&self) -> Option<SessionHandle> {
        None
    }

    /// The causal token: the largest op-number of any result seen (6.3.2).
    #[must_use]
    pub fn token(&self) -> OpNumber {
        OpNumber::ZERO
    }
}

/// The future result of a submitted operation.
#[derive(Debug)]
#[must_use = "the result says whether the operation was executed"]
pub struct Pending {}

impl Future for Pending {
    type Output = Result<Completion, ClientError>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Err(ClientError::OutcomeUnknown))
    }
}
