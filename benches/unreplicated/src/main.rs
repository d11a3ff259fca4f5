//! The replicated map without replication: one process, one thread, the same frames from the same clients, the same service
//! and state. No log, no client-table, no peers. `vr bench put --compare unreplicated` measures what replication costs.
//!
//! It reads and writes as a replica does: what has arrived on a connection is taken by one read and answered by one write. It
//! does less than a replica with one member (`vr bench put --replicas 1`), which keeps a log and a client-table, too.

use std::cell::RefCell;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use viewstamped_map::Map;
use viewstamped_protocol::codec::{self, Frame, Limits};
use viewstamped_protocol::message::{ClientReply, ClientRequest, Header};
use viewstamped_protocol::{
    ClusterId, EpochNumber, FromClient, Incarnation, NodeId, OpNumber, Operation, Service, SessionNumber, Timestamp,
    ToClient, ViewNumber,
};
use viewstamped_state::State;

fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: unreplicated HOST:PORT\nServes the map there: vr kv put --endpoints HOST:PORT key value");
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    match runtime.and_then(|runtime| LocalSet::new().block_on(&runtime, serve(&address))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot serve at {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("serving at {address}");
    let server = Rc::new(RefCell::new(Server::default()));
    loop {
        let (stream, from) = listener.accept().await?;
        let server = Rc::clone(&server);
        spawn_local(async move {
            if let Err(error) = converse(stream, &server).await {
                eprintln!("the connection from {from} ended: {error}");
            }
        });
    }
}

/// The most that is read at once, as by a replica.
const READ_BYTES: usize = 64 << 10;

/// Answers what arrives on one connection: everything that one read has brought by one write.
async fn converse(mut stream: TcpStream, server: &RefCell<Server>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut received, mut answers) = (BytesMut::new(), BytesMut::new());
    loop {
        received.reserve(READ_BYTES);
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        while let Some(frame) = codec::decode(&mut received, &Limits::default()).map_err(io::Error::other)? {
            match frame {
                Frame::Hello(_) => {}
                Frame::FromClient(request) => {
                    let reply = server.borrow_mut().answer(request).map_err(io::Error::other)?;
                    codec::encode_to_client(&reply, &mut answers);
                }
                _ => return Err(io::Error::other("it sent something that no client sends")),
            }
        }
        stream.write_all_buf(&mut answers).await?;
    }
}

/// The service with its state.
#[derive(Default)]
struct Server {
    map: Map,
    state: State,
    op: u64,
    sessions: u64,
}

impl Server {
    fn answer(&mut self, request: FromClient) -> Result<ToClient, &'static str> {
        let client = request.client;
        let body = match request.body {
            ClientRequest::Register { slots } => {
                self.sessions += 1;
                ClientReply::Registered { session: SessionNumber(self.sessions), slots }
            }
            ClientRequest::Operation { session, slot, number, payload } => {
                self.op += 1;
                let op = OpNumber(self.op);
                // What is kept of a request must not keep the whole buffer alive in which it arrived; a replica copies it, too.
                let (payload, predicted) = (Bytes::copy_from_slice(&payload), Bytes::new());
                let timestamp = Timestamp(self.op);
                let operation = Operation { op, timestamp, client, payload: &payload, predicted: &predicted };
                let result = self.map.execute(&mut self.state, operation);
                ClientReply::Reply { session, slot, number, op, result }
            }
            ClientRequest::Resume { .. } => return Err("sessions do not outlive a connection here"),
        };
        Ok(ToClient { header: HEADER, client, body })
    }
}

const HEADER: Header = Header {
    cluster: ClusterId(1),
    epoch: EpochNumber(0),
    view: ViewNumber(0),
    from: NodeId(0),
    incarnation: Incarnation(1),
};
