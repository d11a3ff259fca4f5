//! What goes wrong outside: counted, logged at most once a second for each kind, and shown in the status.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often one kind of problem is logged, so that a flood of garbage does not become a flood of log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// How long a problem that does not come back stays in the status.
const RECENT: Duration = Duration::from_secs(60);

/// Problems with peers and clients.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    counts: BTreeMap<&'static str, u64>,
    logged: BTreeMap<&'static str, Instant>,
    latest: Option<(Instant, String)>,
}

impl Problems {
    /// Counts a problem of this kind; `describe` says what happened, why, and what to do. Returns whether it is in the status now.
    pub(crate) fn note(&mut self, kind: &'static str, describe: impl FnOnce() -> String) -> bool {
        *self.counts.entry(kind).or_default() += 1;
        let now = Instant::now();
        if self.logged.get(kind).is_some_and(|logged| now.duration_since(*logged) < LOG_INTERVAL) {
            return false;
        }
        self.logged.insert(kind, now);
        let text = describe();
        tracing::warn!(kind, "{text}");
        self.latest = Some((now, text));
        true
    }

    /// How often each kind occurred.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().map(|(kind, count)| (*kind, *count))
    }

    /// The latest problem, unless it is long ago.
    pub(crate) fn recent(&self) -> Option<&str> {
        self.latest.as_ref().filter(|(at, _)| at.elapsed() < RECENT).map(|(_, text)| text.as_str())
    }
}
