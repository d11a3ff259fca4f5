//! etcd's key-value API: gRPC straight on HTTP/2, so that the load takes as little as it can from the cores the nodes share
//! with it.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method, Request, Uri, header};
use prost::Message;
use tokio::net::TcpStream;
use viewstamped_load::{Step, Target};

/// `etcdserverpb.PutRequest`, the fields used.
#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `etcdserverpb.RangeRequest`, the fields used. Without `serializable` the read is linearizable.
#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

/// `etcdserverpb.StatusResponse`, the fields used.
#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// `etcdserverpb.ResponseHeader`, the fields used.
#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

/// Connections to the nodes.
pub struct Connections(Vec<Connection>);

#[derive(Clone)]
struct Connection {
    send: SendRequest<Bytes>,
    authority: String,
}

impl Connections {
    /// Opens so many connections, the first to the leader, the others to all nodes in turn. What is sent to another node takes
    /// longer than what is sent to the leader, but with many clients all nodes together take more.
    ///
    /// # Errors
    /// When a node cannot be reached or none leads.
    pub async fn open(endpoints: &[String], count: usize) -> Result<Self, String> {
        let leader = leader(endpoints).await?;
        let in_turn = endpoints[leader..].iter().chain(&endpoints[..leader]).cycle();
        let mut connections = Vec::new();
        for endpoint in in_turn.take(count) {
            connections.push(Connection::open(endpoint).await?);
        }
        Ok(Self(connections))
    }
}

/// The place of the leader among the nodes.
async fn leader(endpoints: &[String]) -> Result<usize, String> {
    for (place, endpoint) in endpoints.iter().enumerate() {
        let connection = Connection::open(endpoint).await?;
        let body = connection.call("/etcdserverpb.Maintenance/Status", framed(&())).await?;
        let status = StatusResponse::decode(message(&body)?).map_err(|error| format!("{endpoint}: {error}"))?;
        if status.header.is_some_and(|header| header.member_id == status.leader) {
            return Ok(place);
        }
    }
    Err(format!("none of {} leads", endpoints.join(",")))
}

impl Target for Connections {
    type Answer = Pin<Box<dyn Future<Output = Result<(), String>>>>;

    fn ask(&self, connection: usize, step: Step<'_>) -> Self::Answer {
        let connection = self.0[connection].clone();
        let copied = Bytes::copy_from_slice;
        let (path, request) = match step {
            Step::Put { key, value } => {
                ("/etcdserverpb.KV/Put", framed(&PutRequest { key: copied(key), value: copied(value) }))
            }
            Step::Get { key } => ("/etcdserverpb.KV/Range", framed(&RangeRequest { key: copied(key) })),
        };
        Box::pin(async move { connection.call(path, request).await.map(drop) })
    }
}

impl Connection {
    async fn open(endpoint: &str) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{endpoint}: {error}");
        let stream = TcpStream::connect(endpoint).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let (send, connection) = h2::client::handshake(stream).await.map_err(|error| failed(&error))?;
        // When it ends, its requests fail and say why.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { send, authority: endpoint.to_owned() })
    }

    /// A unary call: the body of the answer, when its status is 0.
    async fn call(mut self, path: &'static str, message: Bytes) -> Result<Bytes, String> {
        poll_fn(|context| self.send.poll_ready(context)).await.map_err(said)?;
        let (response, mut stream) = self.send.send_request(self.request(path)?, false).map_err(said)?;
        stream.send_data(message, true).map_err(said)?;
        answer(response).await
    }

    fn request(&self, path: &'static str) -> Result<Request<()>, String> {
        let uri = Uri::builder().scheme("http").authority(self.authority.as_str()).path_and_query(path);
        Request::builder()
            .method(Method::POST)
            .uri(uri.build().map_err(said)?)
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(())
            .map_err(said)
    }
}

/// Reads an answer to its end. Its status is in the trailers, or in the header of an answer without a body.
async fn answer(response: ResponseFuture) -> Result<Bytes, String> {
    let response = response.await.map_err(said)?;
    if response.headers().contains_key(STATUS) {
        check(response.headers())?;
    }
    let mut body = response.into_body();
    let mut all = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(said)?;
        body.flow_control().release_capacity(part.len()).map_err(said)?;
        all.extend_from_slice(&part);
    }
    if let Some(trailers) = body.trailers().await.map_err(said)? {
        check(&trailers)?;
    }
    Ok(all.freeze())
}

const STATUS: &str = "grpc-status";

fn check(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("none");
    match text(STATUS) {
        "0" => Ok(()),
        status => Err(format!("gRPC status {status}: {}", text("grpc-message"))),
    }
}

/// A message as gRPC sends it: a byte for no compression, four for its length.
fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(5 + length);
    out.put_u8(0);
    out.put_u32(u32::try_from(length).expect("requests are short"));
    message.encode(&mut out).expect("there is room");
    out.freeze()
}

/// The message in the body of an answer.
fn message(body: &Bytes) -> Result<&[u8], String> {
    body.get(5..).ok_or_else(|| "the answer is too short".to_owned())
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
