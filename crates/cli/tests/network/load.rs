//! A steady load of writes by the real client, and what it saw: when each write was acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use viewstamped::{Bytes, Client, ClientConfig};
use viewstamped_map::Operation;

use crate::group::Group;
use crate::hosts::Host;
use crate::support::eventually;

/// How many writes are outstanding at a time, and how long each writer rests after an answer: some hundred writes a second,
/// so that an outage shows to a few milliseconds and the machine is not the bottleneck.
const WRITERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(4);

/// Writers on the client's host. They end when this is dropped.
pub struct Load {
    journal: Arc<Journal>,
    thread: Option<JoinHandle<()>>,
}

/// What was acknowledged.
#[derive(Default)]
struct Journal {
    acknowledged: Mutex<Vec<Acknowledged>>,
    is_over: AtomicBool,
}

/// A write that the group has acknowledged.
struct Acknowledged {
    key: String,
    sent: Instant,
    at: Instant,
}

impl Load {
    /// Starts to write, and waits until writes are acknowledged.
    pub fn start(group: &Group) -> Self {
        let journal = Arc::<Journal>::default();
        let (endpoints, shared) = (group.endpoints(), Arc::clone(&journal));
        let thread = group.network.spawn_inside(Host::Client, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
            runtime.block_on(write(ClientConfig::new(endpoints), shared));
        });
        let load = Self { journal, thread: Some(thread) };
        load.wait_for_progress(Instant::now());
        load
    }

    /// Waits until a write is acknowledged that was sent after `since`, and returns when it was.
    pub fn wait_for_progress(&self, since: Instant) -> Instant {
        let mut at = None;
        eventually("writes are acknowledged", || {
            let acknowledged = self.journal.acknowledged.lock().expect("no panic");
            at = acknowledged.iter().find(|write| write.sent > since).map(|write| write.at);
            at.is_some()
        });
        at.expect("just found")
    }

    /// The longest time without an acknowledgement between `from` and the latest one.
    pub fn longest_gap(&self, from: Instant) -> Duration {
        let acknowledged = self.journal.acknowledged.lock().expect("no panic");
        let times = acknowledged.iter().map(|write| write.at).filter(|at| *at >= from);
        let (mut latest, mut longest) = (from, Duration::ZERO);
        for at in times {
            longest = longest.max(at.duration_since(latest));
            latest = at;
        }
        longest
    }

    /// How many writes were acknowledged in the latest second.
    pub fn acknowledged_lately(&self) -> usize {
        let now = Instant::now();
        let acknowledged = self.journal.acknowledged.lock().expect("no panic");
        acknowledged.iter().rev().take_while(|write| now.duration_since(write.at) < Duration::from_secs(1)).count()
    }

    /// Lets time pass and makes sure that writes are acknowledged after it.
    pub fn go_on_for(&self, time: Duration) {
        thread::sleep(time);
        self.wait_for_progress(Instant::now());
    }

    /// Ends the load and waits until all replicas agree; every key that was acknowledged must be there.
    pub fn assert_nothing_lost(mut self, group: &Group) {
        self.end();
        group.wait_until_settled();
        let exported = group.export();
        let pairs: BTreeMap<&str, &str> = exported.lines().filter_map(|line| line.split_once('\t')).collect();
        let acknowledged = self.journal.acknowledged.lock().expect("no panic");
        assert!(!acknowledged.is_empty());
        for Acknowledged { key, .. } in acknowledged.iter() {
            assert_eq!(pairs.get(key.as_str()), Some(&value_of(key).as_str()), "{key} was acknowledged");
        }
    }

    fn end(&mut self) {
        self.journal.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there fails the test by what it does not do.
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

fn value_of(key: &str) -> String {
    format!("value of {key}")
}

async fn write(config: ClientConfig, journal: Arc<Journal>) {
    let client = Client::connect(config).expect("a client");
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write_keys(writer, client.clone(), Arc::clone(&journal)));
    }
    while !journal.is_over.load(Ordering::Relaxed) {
        tokio::time::sleep(PAUSE).await;
    }
    // What is outstanding may never be answered.
    writers.shutdown().await;
}

/// Writes one new key after the other.
async fn write_keys(writer: usize, client: Client, journal: Arc<Journal>) {
    for number in 0.. {
        let key = format!("writer{writer}/{number:06}");
        let sent = Instant::now();
        if client.execute(put(&key, &value_of(&key))).await.is_ok() {
            let write = Acknowledged { key, sent, at: Instant::now() };
            journal.acknowledged.lock().expect("no panic").push(write);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A PUT as the map takes it.
pub fn put(key: &str, value: &str) -> Bytes {
    Operation::Put { key: key.as_bytes(), value: value.as_bytes() }.encode().expect("a short key and value")
}
