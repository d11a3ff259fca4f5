//! Clients that mean no good, or know no better: many connections to one replica's client port, each doing the same thing over
//! and over.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use viewstamped::{Bytes, ClientId, ClusterId, EpochNumber, Incarnation, SessionNumber};
use viewstamped_map::Operation;
use viewstamped_protocol::codec::{self, Frame, Hello, Limits, Purpose, VERSION};
use viewstamped_protocol::message::{ClientReply, ClientRequest};
use viewstamped_protocol::{FromClient, RequestNumber};

use crate::group::{Group, client_address};
use crate::hosts::Host;
use crate::load::put;
use crate::support::eventually;

/// How long one who was disconnected waits before it comes again.
const RETURN_PAUSE: Duration = Duration::from_millis(20);

/// Connections that are attended to until this is dropped.
pub struct Flood {
    is_over: Arc<AtomicBool>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

/// What has happened to all connections together.
#[derive(Default)]
pub struct Counts {
    opened: AtomicUsize,
    ended: AtomicUsize,
    /// Whatever an attack counts.
    pub done: AtomicUsize,
}

impl Flood {
    /// Opens so many connections to replica `id`; each runs `attack` from the start again whenever it ends.
    pub fn start<A, F>(group: &Group, id: usize, connections: usize, attack: A) -> Self
    where
        A: Fn(TcpStream, Arc<Counts>) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (is_over, counts) = (Arc::<AtomicBool>::default(), Arc::<Counts>::default());
        let (stop, shared) = (Arc::clone(&is_over), Arc::clone(&counts));
        let thread = group.network.spawn_inside(Host::Client, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
            runtime.block_on(async {
                let mut tasks = JoinSet::new();
                let attack = Arc::new(attack);
                for _ in 0..connections {
                    tasks.spawn(repeat(client_address(id), Arc::clone(&attack), Arc::clone(&shared)));
                }
                while !stop.load(Ordering::Relaxed) {
                    sleep(RETURN_PAUSE).await;
                }
                tasks.shutdown().await;
            });
        });
        Self { is_over, counts, thread: Some(thread) }
    }

    /// Waits until so many connections have been opened, counting those that came again.
    pub fn wait_for_opened(&self, count: usize) {
        self.wait("connections are opened", |counts| counts.opened.load(Ordering::Relaxed) >= count);
    }

    /// Waits until so many connections have ended.
    pub fn wait_for_ended(&self, count: usize) {
        self.wait("connections are ended", |counts| counts.ended.load(Ordering::Relaxed) >= count);
    }

    /// Waits until the attacks have counted so much.
    pub fn wait_for_done(&self, count: usize) {
        self.wait("the flood rises", |counts| counts.done.load(Ordering::Relaxed) >= count);
    }

    fn wait(&self, what: &str, is_reached: impl Fn(&Counts) -> bool) {
        eventually(what, || is_reached(&self.counts));
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn repeat<A, F>(address: String, attack: Arc<A>, counts: Arc<Counts>)
where
    A: Fn(TcpStream, Arc<Counts>) -> F,
    F: Future<Output = io::Result<()>>,
{
    loop {
        if let Ok(stream) = TcpStream::connect(&address).await {
            counts.opened.fetch_add(1, Ordering::Relaxed);
            // Being disconnected is what it is about.
            let _ = attack(stream, Arc::clone(&counts)).await;
            counts.ended.fetch_add(1, Ordering::Relaxed);
        }
        sleep(RETURN_PAUSE).await;
    }
}

/// Says hello and then nothing any more.
pub async fn be_idle(mut stream: TcpStream, _: Arc<Counts>) -> io::Result<()> {
    stream.write_all(&hello()).await?;
    stream.read_to_end(&mut Vec::new()).await.map(|_| ())
}

/// Never says hello.
pub async fn say_nothing(mut stream: TcpStream, _: Arc<Counts>) -> io::Result<()> {
    stream.read_to_end(&mut Vec::new()).await.map(|_| ())
}

/// Announces a message of the largest size, sends three quarters of it at once and then a byte now and then.
pub fn begin_a_large_message(
    operation_bytes_max: usize,
) -> impl Fn(TcpStream, Arc<Counts>) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> + Send + Sync {
    let message = frame(Frame::FromClient(request(1, 1, 0, 1, vec![b'x'; operation_bytes_max].into())));
    let at_once = message.len() / 4 * 3;
    let begin = [hello(), message[..at_once].to_vec()].concat();
    let rest = Bytes::from(message).slice(at_once..);
    move |mut stream, counts| {
        let (begin, rest) = (begin.clone(), rest.clone());
        Box::pin(async move {
            stream.write_all(&begin).await?;
            counts.done.fetch_add(begin.len(), Ordering::Relaxed);
            for byte in &rest {
                sleep(Duration::from_millis(100)).await;
                stream.write_all(&[*byte]).await?;
            }
            Ok(())
        })
    }
}

/// Reads one key in all its slots, and none of the answers.
pub fn ask_and_never_read(
    key: &'static str,
) -> impl Fn(TcpStream, Arc<Counts>) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> + Send + Sync {
    move |mut stream, _| {
        Box::pin(async move {
            let (client, session) = register(&mut stream).await?;
            let get = Operation::Get { key: key.as_bytes() }.encode().expect("a short key");
            for number in 1.. {
                let requests = (0..SLOTS)
                    .flat_map(|slot| frame(Frame::FromClient(request(client, session.0, slot, number, get.clone()))));
                stream.write_all(&requests.collect::<Vec<u8>>()).await?;
                // Time to be disconnected.
                sleep(Duration::from_millis(500)).await;
            }
            Ok(())
        })
    }
}

/// Writes as fast as the replica reads, and does not wait for answers.
pub async fn write_without_waiting(mut stream: TcpStream, counts: Arc<Counts>) -> io::Result<()> {
    let (client, session) = register(&mut stream).await?;
    let (mut read, mut write) = stream.into_split();
    let answers = tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    let flood = async {
        for number in 1.. {
            let requests = (0..SLOTS).flat_map(|slot| {
                let payload = put(&format!("flood/{client}/{slot}"), "a value that is written over and over again");
                frame(Frame::FromClient(request(client, session.0, slot, number, payload)))
            });
            write.write_all(&requests.collect::<Vec<u8>>()).await?;
            counts.done.fetch_add(SLOTS as usize, Ordering::Relaxed);
        }
        Ok(())
    };
    let result = flood.await;
    answers.abort();
    result
}

/// The requests that one who floods has outstanding in its session.
const SLOTS: u32 = 64;

/// Says hello and opens a session.
async fn register(stream: &mut TcpStream) -> io::Result<(u128, SessionNumber)> {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let client = NEXT.fetch_add(1, Ordering::Relaxed) as u128;
    stream.write_all(&hello()).await?;
    let register = ClientRequest::Register { slots: SLOTS };
    stream.write_all(&frame(Frame::FromClient(from_client(client, register)))).await?;
    let mut buffer = BytesMut::new();
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some(frame) = codec::decode(&mut buffer, &Limits::default()).map_err(io::Error::other)? {
            let Frame::ToClient(answer) = frame else { continue };
            return match answer.body {
                ClientReply::Registered { session, .. } => Ok((client, session)),
                other => Err(io::Error::other(format!("no session: {other:?}"))),
            };
        }
    }
}

fn request(client: u128, session: u64, slot: u32, number: u64, payload: Bytes) -> FromClient {
    let (session, number) = (SessionNumber(session), RequestNumber(number));
    from_client(client, ClientRequest::Operation { session, slot, number, payload })
}

fn from_client(client: u128, body: ClientRequest) -> FromClient {
    FromClient { cluster: ClusterId::default(), epoch: EpochNumber::ZERO, client: ClientId(client), body }
}

fn hello() -> Vec<u8> {
    let (cluster, incarnation) = (ClusterId::default(), Incarnation::ZERO);
    frame(Frame::Hello(Hello {
        cluster,
        node: None,
        incarnation,
        purpose: Purpose::Client,
        version: VERSION,
        process: 0,
        durability: None,
    }))
}

fn frame(frame: Frame) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    codec::encode(&frame, &mut bytes);
    bytes.to_vec()
}
