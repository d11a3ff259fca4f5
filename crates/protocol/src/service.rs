//! The service contract: what the replicated program must provide, and what it may rely on (2.3, 4.1, 4.4).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use viewstamped_state::State;

use crate::numbers::{ClientId, OpNumber, Timestamp};

/// A committed operation, as the service executes it.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// Its place in the order of all operations.
    pub op: OpNumber,
    /// The replicated clock in nanoseconds since 1970: the same at every replica, larger than at every earlier operation.
    pub timestamp: Timestamp,
    /// The client that asked.
    pub client: ClientId,
    /// The operation with its arguments, as the client sent it.
    pub payload: &'a Bytes,
    /// The value chosen for the non-deterministic part (4.4); empty when there is none.
    pub predicted: &'a Bytes,
}

/// A deterministic program whose state is replicated.
///
/// All replicated state lives in the [`State`] handed to each call. The same operations in the same order must give the same
/// state and the same replies on every replica: no clock, no random source, no iteration over hash maps. What must be
/// non-deterministic is chosen before the operation is ordered and arrives in [`Operation::predicted`] and
/// [`Operation::timestamp`].
pub trait Service {
    /// Executes a committed operation and returns the reply. Must not fail: a failure is a reply like any other.
    ///
    /// A panic is caught, or one request could bring down every replica in turn, and the data with them. The client is told, what
    /// was changed before the panic stays (at every replica alike, if the service is deterministic), and [`restored`] is called,
    /// because the service's own fields may be half changed.
    ///
    /// [`restored`]: Self::restored
    fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes;

    /// Answers a read without changing anything (6.3): it cannot, for it gets the state to read only.
    ///
    /// ```compile_fail,E0596
    /// # use bytes::Bytes;
    /// # use viewstamped_protocol::{Operation, Service};
    /// # use viewstamped_state::State;
    /// struct Counter;
    /// impl Service for Counter {
    ///     # fn execute(&mut self, _: &mut State, _: Operation<'_>) -> Bytes { Bytes::new() }
    ///     fn query(&self, state: &State, query: &[u8]) -> Bytes {
    ///         state.insert(query.to_vec(), Bytes::new());
    ///         Bytes::new()
    ///     }
    /// }
    /// ```
    fn query(&self, state: &State, query: &[u8]) -> Bytes {
        let _ = (state, query);
        Bytes::new()
    }

    /// Rejects a malformed operation before it is ordered. The reason goes to the client.
    ///
    /// # Errors
    /// Why the operation must not be ordered.
    fn validate(&self, payload: &[u8]) -> Result<(), String> {
        let _ = payload;
        Ok(())
    }

    /// Chooses the value for the non-deterministic part of an operation, at the primary (4.4).
    fn predict(&mut self, payload: &[u8], wall: Timestamp, seed: u64) -> Bytes {
        let _ = (payload, wall, seed);
        Bytes::new()
    }

    /// Rebuilds what the service derives from the state, after the state was replaced as a whole.
    fn restored(&mut self, state: &State) {
        let _ = state;
    }
}

/// Makes an up-call; what a panic of the service said, if it panics.
pub(crate) fn guarded<T>(up_call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(up_call)).map_err(|panic| panic_message(&*panic))
}

/// What a panic said.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}
