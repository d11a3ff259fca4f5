//! A client that knows only one replica: whatever that one answers must be true.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use viewstamped::{Bytes, Client, ClientConfig};
use viewstamped_map::{Operation, Reply};

use crate::group::{Group, client_address};
use crate::hosts::Host;
use crate::load::put;

const KEY: &str = "read by one who asks the wrong replica";
const OLD: &str = "stale";
const NEW: &str = "new";

/// How many reads are on their way at once, and how long each may go unanswered. No answer is no lie.
const READS: usize = 3;
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads one key from one replica, on a thread that goes on step by step.
pub struct Reader {
    steps: mpsc::Sender<()>,
    done: std::sync::mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Reader {
    /// Writes the old value and opens a session through the replica `id`, which must be the primary.
    pub fn open(group: &Group, id: usize) -> Self {
        let (steps, wanted) = mpsc::channel(1);
        let (finished, done) = std::sync::mpsc::channel();
        let endpoints = group.endpoints();
        let thread = group.network.spawn_inside(Host::Observer, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
            runtime.block_on(read(client_address(id), endpoints, wanted, finished));
        });
        let reader = Self { steps, done, thread };
        reader.wait();
        reader
    }

    /// Writes the new value through whoever is primary now, then sends reads to the replica and does not wait for them.
    pub fn begin_to_read(&self) {
        self.steps.blocking_send(()).expect("the thread runs");
        self.wait();
    }

    /// Every read is answered with the new value, or not at all.
    pub fn assert_not_stale(self) {
        self.steps.blocking_send(()).expect("the thread runs");
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    fn wait(&self) {
        self.done.recv().expect("the group serves");
    }
}

async fn read(
    replica: String,
    group: Vec<String>,
    mut wanted: mpsc::Receiver<()>,
    finished: std::sync::mpsc::Sender<()>,
) {
    let mut config = ClientConfig::new([replica]);
    config.options.request_timeout = READ_TIMEOUT;
    let client = Client::connect(config).expect("a client");
    client.execute(put(KEY, OLD)).await.expect("the primary serves");
    finished.send(()).expect("the test waits");

    wanted.recv().await.expect("the test goes on");
    let writer = Client::connect(ClientConfig::new(group)).expect("a client");
    writer.execute(put(KEY, NEW)).await.expect("the group serves");
    let reads: Vec<_> = (0..READS).map(|_| client.submit(get(KEY))).collect();
    finished.send(()).expect("the test waits");

    wanted.recv().await.expect("the test goes on");
    for read in reads {
        let Ok(completion) = read.await else { continue };
        let reply = Reply::decode(&completion.result).expect("a reply of the map");
        assert_eq!(reply, Reply::Value(Some(NEW.as_bytes())), "it was overwritten before this was asked");
    }
}

fn get(key: &str) -> Bytes {
    Operation::Get { key: key.as_bytes() }.encode().expect("a short key")
}
