//! Shrinking: of everything a failing seed does, what is needed for it to fail?
//!
//! Takes away whole dimensions of failure, then single faults, then requests and events, as long as the same invariant is still
//! violated. What is left is settings: they replay like any others.

use crate::dimension::{DIMENSIONS, Rate};
use crate::options::Settings;
use crate::workload::Workload;
use crate::{Outcome, run_workload};

/// A failure with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest settings with which the seed still violates the same invariant.
    pub settings: Settings,
    /// What comes of them.
    pub outcome: Outcome,
    /// How many runs it took.
    pub runs: u64,
}

/// Shrinks a failing seed in at most `runs_max` runs; `None` if it does not fail.
#[must_use]
pub fn shrink<W: Workload>(seed: u64, settings: &Settings, runs_max: u64) -> Option<Shrunk> {
    let outcome = run_workload::<W>(seed, settings, None);
    let checker = outcome.failure.as_ref()?.checker.clone();
    let mut search = Search { seed, checker, runs_max, best: Shrunk { settings: settings.clone(), outcome, runs: 1 } };
    search.drop_dimensions::<W>();
    search.spare_faults::<W>();
    search.shorten::<W>(|settings| &mut settings.requests_max);
    search.shorten::<W>(|settings| &mut settings.events_max);
    search.spare_faults::<W>();
    Some(search.best)
}

/// The most lines of an explanation: what a person reads in one go.
pub const EXPLANATION_LINES_MAX: usize = 80;

/// How many of them may be messages.
const MESSAGES_MAX: usize = 40;

/// The end of a run in few lines: the last faults and changes of status, and the last messages.
#[must_use]
pub fn explain<W: Workload>(seed: u64, settings: &Settings) -> Vec<String> {
    let mut lines = Vec::new();
    let _ = run_workload::<W>(seed, settings, Some(&mut |line| lines.push(line.to_owned())));
    let (mut messages, mut others) = (MESSAGES_MAX, EXPLANATION_LINES_MAX - MESSAGES_MAX);
    let mut kept: Vec<String> = Vec::new();
    for line in lines.into_iter().rev() {
        let room = if line.contains("->") { &mut messages } else { &mut others };
        if *room > 0 {
            *room -= 1;
            kept.push(line);
        }
    }
    kept.reverse();
    kept
}

struct Search {
    seed: u64,
    checker: String,
    runs_max: u64,
    best: Shrunk,
}

impl Search {
    /// Whether the seed still fails in the same way; then these settings are the best so far.
    fn still_fails<W: Workload>(&mut self, settings: Settings) -> bool {
        if self.best.runs >= self.runs_max {
            return false;
        }
        self.best.runs += 1;
        let outcome = run_workload::<W>(self.seed, &settings, None);
        let fails = outcome.failure.as_ref().is_some_and(|failure| failure.checker == self.checker);
        if fails {
            self.best = Shrunk { settings, outcome, runs: self.best.runs };
        }
        fails
    }

    fn drop_dimensions<W: Workload>(&mut self) {
        for dimension in DIMENSIONS {
            let mut settings = self.best.settings.clone();
            settings.rates.retain(|(other, _)| other != dimension);
            settings.rates.push((*dimension, Rate::Off));
            self.still_fails::<W>(settings);
        }
    }

    /// Spares ever smaller groups of faults.
    fn spare_faults<W: Workload>(&mut self) {
        let mut size = self.best.outcome.faults.next_power_of_two();
        while size > 0 {
            let mut first = 0;
            while first < self.best.outcome.faults {
                let mut settings = self.best.settings.clone();
                let before = settings.spared.len();
                settings.spared.extend(first..(first + size).min(self.best.outcome.faults));
                if settings.spared.len() > before {
                    self.still_fails::<W>(settings);
                }
                first += size;
            }
            size /= 2;
        }
    }

    /// Halves a limit, then takes smaller parts of it away.
    fn shorten<W: Workload>(&mut self, limit: fn(&mut Settings) -> &mut u64) {
        for part in [2, 2, 2, 4, 4, 8, 16] {
            let mut settings = self.best.settings.clone();
            let limit = limit(&mut settings);
            *limit -= limit.div_ceil(part);
            self.still_fails::<W>(settings);
        }
    }
}
