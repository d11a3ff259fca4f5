//! Makes requests as planned, in a closed or an open loop, and measures.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{LocalSet, spawn_local};

use crate::plan::{Arrivals, Plan};
use crate::processes::Processes;
use crate::recorder::Recorder;
use crate::report::{self, Meters, Report};
use crate::schedule::{Schedule, Ticker};
use crate::syscalls;
use crate::workload::{Step, Workload};

/// A store that can be asked over a number of connections.
pub trait Target: 'static {
    /// The answer to come: nothing more is to be known of it than whether it came, or else why not.
    type Answer: Future<Output = Result<(), String>> + 'static;

    /// Makes a request on one of the connections at once.
    fn ask(&self, connection: usize, step: Step<'_>) -> Self::Answer;
}

type Shared = Rc<RefCell<Recorder>>;

/// Loads the target as planned and measures it, and the processes that serve.
///
/// # Errors
/// Why the first request, which nothing else disturbs, has no answer.
pub async fn run<T: Target>(plan: &Plan, target: T, servers: Processes) -> Result<Report, String> {
    let target = Rc::new(target);
    LocalSet::new()
        .run_until(async {
            for connection in 0..plan.connections as usize {
                target.ask(connection, Workload::new(plan, u128::MAX).put(0)).await?;
            }
            fill(plan, &target).await?;
            let recorder = Rc::new(RefCell::new(Recorder::new(plan)));
            start(plan, &target, &recorder);
            let meters = measure(plan, &recorder, servers).await;
            recorder.borrow_mut().stop();
            let report = report::report(plan, &recorder.borrow(), &meters);
            Ok(report)
        })
        .await
}

/// How many keys are put at once before a run with reads.
const FILL_OUTSTANDING: u64 = 64;

/// Gives every key a value, so that reads find one.
async fn fill<T: Target>(plan: &Plan, target: &Rc<T>) -> Result<(), String> {
    let mut workload = Workload::new(plan, u128::MAX);
    let mut number = 0;
    while plan.reads_percent > 0 && number < plan.keyspace {
        let count = FILL_OUTSTANDING.min(plan.keyspace - number);
        let answers: Vec<T::Answer> = (number..number + count).map(|key| target.ask(0, workload.put(key))).collect();
        for answer in answers {
            answer.await?;
        }
        number += count;
    }
    Ok(())
}

fn start<T: Target>(plan: &Plan, target: &Rc<T>, recorder: &Shared) {
    match plan.arrivals {
        Arrivals::Closed { clients, pipeline } => {
            for client in 0..clients {
                for lane in 0..pipeline {
                    let workload = Workload::new(plan, u128::from(client) << 32 | u128::from(lane));
                    let connection = (client % plan.connections) as usize;
                    spawn_local(closed_loop(Rc::clone(target), connection, workload, Rc::clone(recorder)));
                }
            }
        }
        Arrivals::Open { rate } => {
            let workload = Workload::new(plan, 0);
            spawn_local(open_loop(Rc::clone(target), plan.connections as usize, rate, workload, Rc::clone(recorder)));
        }
    }
}

/// One client, or one lane of a client that keeps several requests outstanding.
async fn closed_loop<T: Target>(target: Rc<T>, connection: usize, mut workload: Workload, recorder: Shared) {
    while !recorder.borrow().is_stopped() {
        let made = Instant::now();
        let result = target.ask(connection, workload.step()).await;
        recorder.borrow_mut().answered(made, Instant::now(), result.err());
    }
}

/// Requests at their time, over all connections in turn.
async fn open_loop<T: Target>(target: Rc<T>, connections: usize, rate: u32, mut workload: Workload, recorder: Shared) {
    let mut schedule = Schedule::new(Instant::now(), rate);
    let ticker = Ticker::start(schedule.interval());
    let mut connection = 0;
    while !recorder.borrow().is_stopped() {
        ticker.ticks.notified().await;
        while let Some(due) = schedule.take_due(Instant::now()) {
            recorder.borrow_mut().made(due, Instant::now());
            connection = (connection + 1) % connections;
            let answer = target.ask(connection, workload.step());
            let recorder = Rc::clone(&recorder);
            spawn_local(async move {
                let result = answer.await;
                recorder.borrow_mut().answered(due, Instant::now(), result.err());
            });
        }
    }
}

/// Warms up, measures, waits for what is due, and counts system calls while the load goes on.
async fn measure(plan: &Plan, recorder: &Shared, servers: Processes) -> Meters {
    let changed = Rc::clone(&recorder.borrow().changed);
    tokio::time::sleep(Duration::from_millis(plan.warmup_ms)).await;
    let before = servers.usage();
    recorder.borrow_mut().begin(Instant::now());
    match plan.duration_ms {
        Some(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        None => {
            while !recorder.borrow().is_over() {
                changed.notified().await;
            }
        }
    }
    recorder.borrow_mut().end(Instant::now());
    let after = servers.usage();
    // A request that is due has an answer in the end, if only that it failed.
    while recorder.borrow().awaited > 0 {
        changed.notified().await;
    }
    let system_calls = if plan.system_calls && !servers.pids().is_empty() {
        let (start, answered) = (Instant::now(), recorder.borrow().answered);
        let counted = syscalls::count(servers.pids()).await;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let count = (recorder.borrow().answered - answered) as f64;
        Some((counted, count / start.elapsed().as_secs_f64()))
    } else {
        None
    };
    Meters { servers, before, after, system_calls }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::Pin;

    use super::*;
    use crate::plan::tests::small;

    /// Answers at once, and fails every read.
    #[derive(Default)]
    struct Instantly {
        connections: Rc<RefCell<Vec<usize>>>,
        puts: Rc<Cell<u64>>,
    }

    impl Target for Instantly {
        type Answer = Pin<Box<dyn Future<Output = Result<(), String>>>>;

        fn ask(&self, connection: usize, step: Step<'_>) -> Self::Answer {
            self.connections.borrow_mut().push(connection);
            let result = match step {
                Step::Put { .. } => {
                    self.puts.set(self.puts.get() + 1);
                    Ok(())
                }
                Step::Get { .. } => Err("no reads".to_owned()),
            };
            Box::pin(async move {
                tokio::task::yield_now().await;
                result
            })
        }
    }

    fn plan(arrivals: Arrivals, reads_percent: u32) -> Plan {
        Plan { reads_percent, count: Some(200), keyspace: 100, ..small(arrivals) }
    }

    fn run_now(plan: &Plan, target: Instantly) -> Report {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(plan, target, Processes::new(Vec::new()))).unwrap()
    }

    #[test]
    fn closed_loop_ends_when_the_count_is_reached_and_uses_all_connections() {
        let target = Instantly::default();
        let connections = Rc::clone(&target.connections);
        let report = run_now(&plan(Arrivals::Closed { clients: 4, pipeline: 2 }, 0), target);
        assert_eq!((report.operations, report.errors, report.latency_us.p50 > 0.0), (200, 0, true));
        assert!((0..2).all(|connection| connections.borrow().contains(&connection)));
        assert_eq!(report.lateness_us, None);
        let text = serde_json::to_string(&report).unwrap();
        let read: Report = serde_json::from_str(&text).unwrap();
        assert_eq!((read.plan, read.timeline.len()), (report.plan, report.timeline.len()), "no field hides another");
    }

    #[test]
    fn open_loop_makes_requests_at_their_rate() {
        let report = run_now(&plan(Arrivals::Open { rate: 2_000 }, 0), Instantly::default());
        assert_eq!(report.operations, 200);
        assert!(report.seconds > 0.09, "200 at 2,000 a second take 0.1 s, not {}", report.seconds);
        assert!(report.lateness_us.is_some());
    }

    #[test]
    fn every_key_exists_before_it_is_read_and_failures_are_counted() {
        let target = Instantly::default();
        let puts = Rc::clone(&target.puts);
        let report = run_now(&plan(Arrivals::Closed { clients: 1, pipeline: 1 }, 100), target);
        assert_eq!((report.operations, report.errors), (0, 200));
        assert_eq!(report.first_error.as_deref(), Some("no reads"));
        assert_eq!(puts.get(), 2 + 100, "one on each connection, and one for each key");
    }
}
