//! The replica: one way in, one way out.

mod io;

use viewstamped_state::State;

pub use io::{Destination, Event, Ignored, Input, Output, Report, Setup, StatusName};

use crate::crash_vector::CrashVector;
use crate::log::Log;
use crate::message::Message;
use crate::numbers::{Incarnation, NodeId, Now, OpNumber, Time, ViewNumber};
use crate::service::Service;

/// A replica of the service `S`.
#[derive(Clone, Debug)]
pub struct Replica<S> {
    service: S,
}

impl<S: Service> Replica<S> {
    /// Makes a replica. It says what it wants by [`Self::poll_output`] at once.
    pub fn new(setup: Setup, service: S, now: Now) -> Self {
        let _ = (setup, now);
        Self { service }
    }

    /// Takes one input. Never fails, whatever a peer sends.
    pub fn handle(&mut self, now: Now, input: Input) {
        let _ = (now, input, &self.service);
        unreachable!()
    }

    /// The next thing to do; `None` when there is nothing more for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        unreachable!()
    }

    /// When to come back with [`Input::Tick`]; a time in the past means at once, after other inputs had their turn.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        unreachable!()
    }

    /// What an operator wants to know.
    #[must_use]
    pub fn report(&self) -> Report {
        unreachable!()
    }

    /// The replicated state, as of `executed`.
    #[must_use]
    pub fn state(&self) -> &State {
        unreachable!()
    }

    /// What invariant checkers want to know.
    #[must_use]
    pub fn probe(&self) -> Probe<'_> {
        unreachable!()
    }
}

/// A replica's state, laid open to invariant checkers.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// Its id.
    pub id: NodeId,
    /// Its incarnation; 0 while it does not know it.
    pub incarnation: Incarnation,
    /// Its status.
    pub status: StatusName,
    /// Its view-number.
    pub view: ViewNumber,
    /// The latest view in which it was normal.
    pub log_view: ViewNumber,
    /// Its log. While recovering: what it has fetched so far, which nobody may rely on.
    pub log: &'a Log,
    /// The commit-number.
    pub commit: OpNumber,
    /// How far it has executed.
    pub executed: OpNumber,
    /// The incarnations it knows.
    pub crash_vector: &'a CrashVector,
    /// As the primary of a new view, the DOVIEWCHANGEs it holds (its own included); else empty.
    pub do_view_changes: &'a [Message],
}
