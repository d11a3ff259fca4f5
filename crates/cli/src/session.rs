//! What every client command shares: where the replicas are, a client, and a good explanation when none answers.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use viewstamped::{
    Client, ClientConfig, ClientError, ClientOptions, Completion, NodeStatus, StatusError, fetch_status,
};
use viewstamped_map::{Malformed, Operation};

use crate::failure::{EXIT_NO_QUORUM, Failure};
use crate::human::Span;
use crate::members::host_port;

/// How long a replica is given to say how it is. Ten times what a busy one needs on a local network.
pub(crate) const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the replicas serve clients.
#[derive(Args, Clone, Debug)]
pub(crate) struct Endpoints {
    /// The client addresses of the replicas, host:port, separated by commas
    #[arg(
        long,
        value_name = "ADDRESSES",
        value_delimiter = ',',
        value_parser = host_port,
        default_value = "127.0.0.1:2379,127.0.0.1:2389,127.0.0.1:2399"
    )]
    pub(crate) endpoints: Vec<String>,
}

/// The flags of a command that is a client of the group.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientFlags {
    #[command(flatten)]
    pub(crate) endpoints: Endpoints,
    /// How long a request is tried before its outcome is unknown
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) request_timeout: Span,
}

/// A client of the group together with what is needed to explain its failures.
#[derive(Clone)]
pub(crate) struct Session {
    client: Client,
    endpoints: Vec<String>,
}

impl ClientFlags {
    /// A client with up to `slots` requests outstanding.
    ///
    /// # Errors
    /// When there is no client to be made.
    pub(crate) fn connect(&self, slots: u32) -> Result<Session, Failure> {
        let mut config = ClientConfig::new(self.endpoints.endpoints.iter().cloned());
        config.options = ClientOptions { slots, request_timeout: self.request_timeout.0, ..ClientOptions::default() };
        let client = Client::connect(config).map_err(|error| {
            Failure::new("cannot make a client", error, "give the addresses with --endpoints host:port,...")
        })?;
        Ok(Session { client, endpoints: self.endpoints.endpoints.clone() })
    }
}

impl Session {
    /// The client itself.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Has the group execute an operation of the map and returns the encoded reply.
    ///
    /// # Errors
    /// When the operation cannot be encoded, or has no result.
    pub(crate) async fn execute(&self, operation: Operation<'_>) -> Result<Bytes, Failure> {
        let payload = operation.encode().map_err(|malformed| unencodable(&malformed))?;
        match self.client.execute(payload).await {
            Ok(Completion { result, .. }) => Ok(result),
            Err(error) => Err(self.explain(&error).await),
        }
    }

    /// The failure for `error`, with what the replicas say about themselves when that is the cause.
    pub(crate) async fn explain(&self, error: &ClientError) -> Failure {
        if !matches!(error, ClientError::OutcomeUnknown(_) | ClientError::NotSent(_) | ClientError::QuorumLost) {
            return Failure::new("the operation has no result", error, "");
        }
        let answers = ask_all(&self.endpoints).await;
        let why: Vec<String> = std::iter::once(error.to_string()).chain(answers.iter().map(Answer::sentence)).collect();
        let next = format!("vr status --endpoints {}", self.endpoints.join(","));
        Failure::new("the operation has no result", why.join("\n"), next).with_code(EXIT_NO_QUORUM)
    }
}

/// The failure for an operation that cannot be sent at all.
pub(crate) fn unencodable(malformed: &Malformed) -> Failure {
    Failure::new(
        "the operation cannot be sent",
        malformed,
        "use a shorter key or value; `vr kv --help` names the limits",
    )
}

/// The failure for a reply that makes no sense: another service than the map answers there.
pub(crate) fn unexpected_reply(why: impl std::fmt::Display) -> Failure {
    let next =
        "ask a group started with `vr dev` or `vr start` of the same version: `vr kv` speaks to the built-in map only";
    Failure::new("the reply is not one of the map", why, next)
}

/// What one endpoint answered when asked for its status.
pub(crate) struct Answer {
    /// Where.
    pub(crate) endpoint: String,
    /// What.
    pub(crate) status: Result<NodeStatus, StatusError>,
}

impl Answer {
    fn sentence(&self) -> String {
        match &self.status {
            Ok(status) => match &status.not_serving {
                Some(reason) => format!("{}: replica {} does not serve: {reason}", self.endpoint, status.id),
                None => format!("{}: replica {} is {} as {}", self.endpoint, status.id, status.status, status.role),
            },
            Err(error) => error.to_string(),
        }
    }
}

/// Asks all endpoints for their status at once; the answers are in the order of the endpoints.
pub(crate) async fn ask_all(endpoints: &[String]) -> Vec<Answer> {
    let mut asked = Vec::new();
    for endpoint in endpoints {
        let endpoint = endpoint.clone();
        asked.push(tokio::spawn(async move {
            let status = fetch_status(&endpoint, STATUS_TIMEOUT).await;
            Answer { endpoint, status }
        }));
    }
    let mut answers = Vec::new();
    for task in asked {
        answers.push(task.await.expect("asking does not panic"));
    }
    answers
}
