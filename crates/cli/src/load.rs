//! A closed-loop load of puts and what it measures.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::LocalSet;
use viewstamped::{ClientError, NodeStatus};
use viewstamped_map::Operation;
use viewstamped_protocol::random::Random;

use crate::failure::Failure;
use crate::processes::{Processes, Usage};
use crate::session::{Answer, ClientFlags, Session, ask_all, unencodable};

/// What is to be done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Clients that wait for an answer before they go on.
    pub(crate) clients: u32,
    /// Requests each client keeps outstanding.
    pub(crate) pipeline: u32,
    /// Connections, and sessions, they share.
    pub(crate) connections: u32,
    /// How long to measure, unless a count is given.
    pub(crate) seconds: Option<u64>,
    /// How many requests to measure.
    pub(crate) count: Option<u64>,
    /// How long to load before measuring.
    pub(crate) warmup_ms: u64,
    /// Bytes.
    pub(crate) key_size: u32,
    /// Bytes.
    pub(crate) value_size: u32,
    /// Different keys.
    pub(crate) keyspace: u64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What was done.
    #[serde(flatten)]
    pub(crate) plan: Plan,
    /// The size of the group.
    pub(crate) replicas: usize,
    /// What a commit waits for.
    pub(crate) durability: String,
    /// How long it was measured.
    pub(crate) seconds: f64,
    /// Requests answered.
    pub(crate) operations: u64,
    /// Requests without a result.
    pub(crate) errors: u64,
    /// Operations a second.
    pub(crate) throughput: u64,
    /// From making a request to its answer.
    pub(crate) latency_us: Latency,
    /// The longest time in which nothing was answered.
    pub(crate) longest_gap_ms: f64,
    /// CPU of this process.
    pub(crate) client_cpu_seconds_per_100k: f64,
    /// CPU and memory of the replicas, when they run on this machine.
    pub(crate) servers: Option<Servers>,
}

/// Percentiles in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

/// What the replicas used.
#[derive(Debug, Serialize)]
pub(crate) struct Servers {
    pub(crate) processes: usize,
    pub(crate) cpu_seconds_per_100k: f64,
    pub(crate) resident_max_mib: f64,
}

/// Loads the group as planned.
///
/// # Errors
/// When the group does not answer at all, or a process cannot be measured.
pub(crate) async fn run(plan: Plan, flags: &ClientFlags, pids: &[u32]) -> Result<Report, Failure> {
    let answers = ask_all(&flags.endpoints.endpoints).await;
    let servers = Processes::of(pids, &answers)?;
    let slots = (plan.clients * plan.pipeline).div_ceil(plan.connections);
    let sessions = (0..plan.connections).map(|_| flags.connect(slots)).collect::<Result<Vec<_>, _>>()?;
    prove_alive(&sessions, &plan).await?;

    let recorder = Rc::new(RefCell::new(Recorder::new(plan.count)));
    let local = LocalSet::new();
    for client in 0..plan.clients {
        for lane in 0..plan.pipeline {
            let session = sessions[(client % plan.connections) as usize].clone();
            let seed = u128::from(client) << 32 | u128::from(lane);
            local.spawn_local(client_loop(session, Workload::new(&plan, seed), Rc::clone(&recorder)));
        }
    }
    let (before, after) = local.run_until(measure(&plan, &recorder, &servers)).await;
    let recorder = Rc::try_unwrap(recorder).map_or_else(|shared| shared.borrow().clone(), RefCell::into_inner);
    Ok(report(plan, &recorder, &answers, &servers, &before, &after))
}

/// Fails early, with an explanation, when nobody serves.
async fn prove_alive(sessions: &[Session], plan: &Plan) -> Result<(), Failure> {
    for session in sessions {
        let payload = Workload::new(plan, u128::MAX).next_payload()?;
        if let Err(error) = session.client().execute(payload).await {
            return Err(session.explain(&error).await);
        }
    }
    Ok(())
}

/// Warms up, measures, and stops the clients.
async fn measure(plan: &Plan, recorder: &Rc<RefCell<Recorder>>, servers: &Processes) -> (Usage, Usage) {
    tokio::time::sleep(Duration::from_millis(plan.warmup_ms)).await;
    let before = servers.usage();
    recorder.borrow_mut().begin();
    match plan.seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => {
            let finished = Rc::clone(&recorder.borrow().finished);
            finished.notified().await;
        }
    }
    recorder.borrow_mut().end();
    (before, servers.usage())
}

/// One client, or one lane of a client that keeps several requests outstanding.
async fn client_loop(session: Session, mut workload: Workload, recorder: Rc<RefCell<Recorder>>) {
    while !recorder.borrow().is_over() {
        let payload = workload.next_payload().expect("the first request was encodable");
        let sent = Instant::now();
        let result = session.client().submit(payload).await;
        recorder.borrow_mut().record(sent, result.err().as_ref());
    }
}

/// Makes random puts.
struct Workload {
    random: Random,
    keyspace: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

const KEY_PREFIX: &[u8] = b"bench/";
const KEY_DIGITS: usize = 10;

impl Workload {
    fn new(plan: &Plan, seed: u128) -> Self {
        let mut random = Random::new(seed);
        let mut key = KEY_PREFIX.to_vec();
        key.resize(plan.key_size as usize, b'-');
        let value = (0..plan.value_size).map(|_| b'a' + u8::try_from(random.below(26)).expect("below 26")).collect();
        Self { random, keyspace: plan.keyspace, key, value }
    }

    fn next_payload(&mut self) -> Result<Bytes, Failure> {
        let mut number = self.random.below(self.keyspace);
        for digit in self.key[KEY_PREFIX.len()..KEY_PREFIX.len() + KEY_DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).expect("a digit");
            number /= 10;
        }
        Operation::Put { key: &self.key, value: &self.value }.encode().map_err(|malformed| unencodable(&malformed))
    }
}

/// Collects what the clients see while it is measured.
#[derive(Clone)]
struct Recorder {
    latencies_ns: Histogram<u64>,
    wanted: Option<u64>,
    operations: u64,
    errors: u64,
    phase: Phase,
    last_answer: Instant,
    longest_gap: Duration,
    finished: Rc<tokio::sync::Notify>,
}

#[derive(Clone, Copy)]
enum Phase {
    WarmUp,
    Measuring { since: Instant },
    Over { took: Duration },
}

/// The range and precision of the histogram: up to 10 minutes, to three digits.
const LATENCY_MAX_NS: u64 = 600_000_000_000;

impl Recorder {
    fn new(wanted: Option<u64>) -> Self {
        Self {
            latencies_ns: Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are in order"),
            wanted,
            operations: 0,
            errors: 0,
            phase: Phase::WarmUp,
            last_answer: Instant::now(),
            longest_gap: Duration::ZERO,
            finished: Rc::default(),
        }
    }

    fn begin(&mut self) {
        let since = Instant::now();
        self.phase = Phase::Measuring { since };
        self.last_answer = since;
    }

    fn end(&mut self) {
        if let Phase::Measuring { since } = self.phase {
            let now = Instant::now();
            self.longest_gap = self.longest_gap.max(now.duration_since(self.last_answer));
            self.phase = Phase::Over { took: now.duration_since(since) };
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    /// Counts what is answered while it is measured; a request from before counts from when it was sent.
    fn record(&mut self, sent: Instant, error: Option<&ClientError>) {
        if !matches!(self.phase, Phase::Measuring { .. }) {
            return;
        }
        if error.is_some() {
            self.errors += 1;
        } else {
            let now = Instant::now();
            let nanos = u64::try_from(now.duration_since(sent).as_nanos()).unwrap_or(u64::MAX);
            self.latencies_ns.saturating_record(nanos.max(1));
            self.longest_gap = self.longest_gap.max(now.duration_since(self.last_answer));
            self.last_answer = now;
            self.operations += 1;
        }
        if self.wanted.is_some_and(|wanted| self.operations + self.errors >= wanted) {
            self.end();
            self.finished.notify_one();
        }
    }

    fn seconds(&self) -> f64 {
        if let Phase::Over { took } = self.phase { took.as_secs_f64() } else { 0.0 }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]
fn report(
    plan: Plan,
    recorder: &Recorder,
    answers: &[Answer],
    servers: &Processes,
    before: &Usage,
    after: &Usage,
) -> Report {
    let statuses: Vec<&NodeStatus> = answers.iter().filter_map(|answer| answer.status.as_ref().ok()).collect();
    let micros = |nanos: u64| nanos as f64 / 1_000.0;
    let quantile = |quantile| micros(recorder.latencies_ns.value_at_quantile(quantile));
    let per_100k = |seconds: f64| seconds * 100_000.0 / recorder.operations.max(1) as f64;
    let seconds = recorder.seconds();
    Report {
        plan,
        replicas: statuses.iter().map(|status| status.members.len()).max().unwrap_or(0),
        durability: statuses.first().map(|status| status.durability.clone()).unwrap_or_default(),
        seconds,
        operations: recorder.operations,
        errors: recorder.errors,
        throughput: (recorder.operations as f64 / seconds.max(1e-9)) as u64,
        latency_us: Latency {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            max: micros(recorder.latencies_ns.max()),
        },
        longest_gap_ms: recorder.longest_gap.as_secs_f64() * 1_000.0,
        client_cpu_seconds_per_100k: per_100k(after.own_cpu_seconds - before.own_cpu_seconds),
        servers: (!servers.is_empty()).then(|| Servers {
            processes: servers.len(),
            cpu_seconds_per_100k: per_100k(after.cpu_seconds - before.cpu_seconds),
            resident_max_mib: after.resident_max_bytes as f64 / f64::from(1 << 20),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            clients: 1,
            pipeline: 1,
            connections: 1,
            seconds: None,
            count: Some(2),
            warmup_ms: 0,
            key_size: 64,
            value_size: 128,
            keyspace: 3,
        }
    }

    #[test]
    fn workload_has_keys_and_values_of_the_sizes_asked_for() {
        let mut workload = Workload::new(&plan(), 1);
        let mut keys = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let payload = workload.next_payload().unwrap();
            let Operation::Put { key, value } = Operation::decode(&payload).unwrap() else { panic!("a put") };
            assert_eq!((key.len(), value.len()), (64, 128));
            keys.insert(key.to_vec());
        }
        assert_eq!(keys.len(), 3);
    }

    #[test]
    fn only_what_is_answered_while_measuring_counts() {
        let mut recorder = Recorder::new(Some(2));
        recorder.record(Instant::now(), None);
        recorder.begin();
        recorder.record(Instant::now(), None);
        recorder.record(Instant::now(), Some(&ClientError::SessionLost));
        recorder.record(Instant::now(), None);
        assert!(recorder.is_over());
        assert_eq!((recorder.operations, recorder.errors), (1, 1));
        assert_eq!(recorder.latencies_ns.len(), 1);
    }
}
