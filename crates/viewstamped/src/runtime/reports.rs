//! What the threads beside the replica's tell it: inputs for the replica, and what went wrong.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use viewstamped_protocol::Input;

use super::control::Control;
use crate::error::NodeError;

/// What another thread has to say.
#[derive(Debug)]
pub(crate) enum Report {
    /// Something the replica waits for.
    Input(Input),
    /// Something an operator should know; the replica goes on.
    Problem {
        /// Under what it is counted.
        kind: &'static str,
        /// What happened, why, and what to do.
        text: String,
    },
    /// The replica must not go on.
    Failed(NodeError),
}

/// Reports on their way to the turn. Bounded by what the replica has asked for.
#[derive(Debug)]
pub(crate) struct Reports {
    waiting: Mutex<VecDeque<Report>>,
    control: Arc<Control>,
}

impl Reports {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self { waiting: Mutex::default(), control }
    }

    /// Hands over a report, and wakes the turn.
    pub(crate) fn send(&self, report: Report) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(report);
        self.control.wake();
    }

    pub(crate) fn next(&self) -> Option<Report> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Starts a thread whose panic stops the replica, as one on its own thread does.
pub(crate) fn watched<T: Send + 'static>(
    name: &'static str,
    reports: Arc<Reports>,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, NodeError> {
    let watch = Watch { name, reports };
    let run = move || {
        let _watch = watch;
        run()
    };
    let failed = |error| NodeError::System { message: format!("cannot start the {name} thread: {error}") };
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed)
}

struct Watch {
    name: &'static str,
    reports: Arc<Reports>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            let message = format!("the {} thread panicked", self.name);
            self.reports.send(Report::Failed(NodeError::Panicked { message }));
        }
    }
}
