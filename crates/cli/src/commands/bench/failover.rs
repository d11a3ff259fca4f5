//! `vr bench failover`: how long nothing is written when the primary fails.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use viewstamped_load::median;
use viewstamped_map::Operation;

use super::own::OwnGroup;
use crate::failure::{Failure, Outcome};
use crate::human::Span;
use crate::output::{self, OutputFormat};
use crate::session::Session;

/// Take the primary away again and again, and measure how long nothing is written
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Starts a group of its own on this machine and clients that put all the time, each waiting for its answer. Then, again and
again: waits until all replicas are well, takes the primary away, waits until writes go on, brings it back, waits until
all are well. The gap is the longest time without an answer from the moment the primary is taken away until all are
well again, so that a gap made by the one that comes back counts, too.

Examples:
  vr bench failover
  vr bench failover --kills 20 --by stop -o json
  vr bench failover --replicas 5 --kills 100")]
pub(super) struct Failover {
    /// How many replicas the group has
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=31))]
    replicas: u16,
    /// How often the primary is taken away
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kills: u32,
    /// How it is taken away
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    by: By,
    /// How many clients write
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    clients: u32,
    /// How long a write is tried before its outcome is unknown
    #[arg(long, value_name = "TIME", default_value = "10s")]
    request_timeout: Span,
    /// How to show the result
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// How a primary is taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum By {
    /// SIGKILL: it is gone and starts again without its memory
    #[default]
    Kill,
    /// SIGSTOP: it stands still and goes on later as if nothing had happened
    Stop,
}

/// What was measured. The JSON of `vr bench failover -o json`.
#[derive(Debug, Serialize)]
struct Outages {
    replicas: u16,
    by: By,
    clients: u32,
    /// The longest gap of each outage, in the order in which they were.
    gaps_ms: Vec<f64>,
    median_ms: f64,
    max_ms: f64,
    /// Writes without a result.
    errors: u64,
}

/// When writes were answered.
struct Answers {
    last: Instant,
    longest_gap: Duration,
    answered: u64,
    errors: u64,
    changed: Rc<Notify>,
}

impl Answers {
    /// Forgets the gaps so far. The gap to come counts from the last answer.
    fn begin(&mut self) {
        self.longest_gap = Duration::ZERO;
    }

    fn note(&mut self, now: Instant, is_answered: bool) {
        if !is_answered {
            self.errors += 1;
            return;
        }
        self.longest_gap = self.longest_gap.max(now.duration_since(self.last));
        self.last = now;
        self.answered += 1;
        self.changed.notify_one();
    }
}

/// Writes before the primary is taken away, so that the group is at work; and after, so that it is at work again.
const STEADY_WRITES: u64 = 100;
/// How long writes may stand still before the measurement is given up.
const GIVE_UP: Duration = Duration::from_secs(60);

impl Failover {
    pub(super) async fn run(self) -> Outcome {
        let mut group = OwnGroup::start(self.replicas).await?;
        let outages = LocalSet::new().run_until(self.measure(&mut group)).await;
        group.stop().await;
        let outages = outages?;
        match self.output {
            OutputFormat::Json => output::json(&outages)?,
            OutputFormat::Table => output::line(format_args!(
                "failover: {} replicas, {} clients; {} outages: the longest gap without a write was {:.0} ms in the median,\n\
                 {:.0} ms at most; {} errors",
                outages.replicas,
                outages.clients,
                outages.gaps_ms.len(),
                outages.median_ms,
                outages.max_ms,
                outages.errors
            ))?,
        }
        Ok(0)
    }

    async fn measure(&self, group: &mut OwnGroup) -> Result<Outages, Failure> {
        let changed = Rc::new(Notify::new());
        let answers = Rc::new(RefCell::new(Answers {
            last: Instant::now(),
            longest_gap: Duration::ZERO,
            answered: 0,
            errors: 0,
            changed: Rc::clone(&changed),
        }));
        let session = group.client(self.request_timeout).connect(self.clients)?;
        for client in 0..self.clients {
            spawn_local(write(session.clone(), client, Rc::clone(&answers)));
        }
        let mut gaps_ms = Vec::new();
        for number in 1..=self.kills {
            let primary = group.wait_until_healthy().await?;
            wait_for_writes(&answers, &changed).await?;
            answers.borrow_mut().begin();
            self.take_away(group, primary).await?;
            wait_for_writes(&answers, &changed).await?;
            self.bring_back(group, primary).await?;
            group.wait_until_healthy().await?;
            wait_for_writes(&answers, &changed).await?;
            let gap_ms = answers.borrow().longest_gap.as_secs_f64() * 1_000.0;
            if self.output == OutputFormat::Table {
                output::line(format_args!("  {number:>4}: replica {primary} was taken away: {gap_ms:>7.1} ms"))?;
            }
            gaps_ms.push(gap_ms);
        }
        let max_ms = gaps_ms.iter().copied().fold(0.0, f64::max);
        let errors = answers.borrow().errors;
        let (replicas, by, clients, median_ms) = (self.replicas, self.by, self.clients, median(gaps_ms.clone()));
        Ok(Outages { replicas, by, clients, gaps_ms, median_ms, max_ms, errors })
    }

    async fn take_away(&self, group: &mut OwnGroup, id: usize) -> Result<(), Failure> {
        match self.by {
            By::Kill => group.replica(id).kill().await,
            By::Stop => signal("-STOP", group.replica(id).pid()).await?,
        }
        Ok(())
    }

    async fn bring_back(&self, group: &mut OwnGroup, id: usize) -> Result<(), Failure> {
        match self.by {
            By::Kill => group.replica(id).spawn(),
            By::Stop => signal("-CONT", group.replica(id).pid()).await,
        }
    }
}

/// One client: puts one key again and again.
async fn write(session: Session, client: u32, answers: Rc<RefCell<Answers>>) {
    let key = format!("failover/{client}");
    let payload = Operation::Put { key: key.as_bytes(), value: &[b'v'; 128] }.encode().expect("a short key and value");
    loop {
        let result = session.client().submit(payload.clone()).await;
        answers.borrow_mut().note(Instant::now(), result.is_ok());
        // A client that cannot even send fails at once; others must have their turn.
        tokio::task::yield_now().await;
    }
}

/// Waits until so many more writes are answered that the group is at work.
async fn wait_for_writes(answers: &Rc<RefCell<Answers>>, changed: &Notify) -> Result<(), Failure> {
    let enough = answers.borrow().answered + STEADY_WRITES;
    let wait = async {
        while answers.borrow().answered < enough {
            changed.notified().await;
        }
    };
    tokio::time::timeout(GIVE_UP, wait).await.map_err(|_| {
        let why = format!("fewer than {STEADY_WRITES} writes were answered within {} s", GIVE_UP.as_secs());
        Failure::new("the group does not serve any more", why, "run `vr dev`, do the same by hand, and see `vr status`")
    })
}

/// Sends a signal by its name to a process of ours.
async fn signal(name: &str, pid: u32) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(format!("cannot send {name} to process {pid}"), why, "");
    let ended = Command::new("kill").args([name, &pid.to_string()]).status().await;
    let ended = ended.map_err(|error| failed(error.to_string()))?;
    if ended.success() { Ok(()) } else { Err(failed(format!("kill {ended}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gap_runs_from_the_last_answer_before_the_primary_is_gone() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let (last, longest_gap, changed) = (start, Duration::ZERO, Rc::default());
        let mut answers = Answers { last, longest_gap, answered: 0, errors: 0, changed };
        answers.note(at(900), true);
        answers.begin();
        answers.note(at(1_000), false);
        answers.note(at(1_300), true);
        answers.note(at(1_350), true);
        assert_eq!(answers.longest_gap, Duration::from_millis(400));
        assert_eq!((answers.answered, answers.errors), (3, 1));
    }
}
