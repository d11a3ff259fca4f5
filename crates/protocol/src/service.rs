//! The service contract: what the replicated program must provide, and what it may rely on (2.3, 4.1, 4.4).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use viewstamped_state::State;

use crate::numbers::{ClientId, OpNumber, Timestamp};

/// The largest value predicted for an operation, in bytes, and the largest contribution to one. 16 KiB: a value is a clock or a
/// random number, and even all contributions of the largest group fit in a frame beside their operation.
pub const PREDICTED_BYTES_MAX: usize = 16 << 10;

/// A committed operation, as the service executes it.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// Its place in the order of all operations.
    pub op: OpNumber,
    /// The replicated clock in nanoseconds since 1970: the same at every replica, larger than at every earlier operation.
    ///
    /// It is the wall clock of the primary that ordered the operation, or one more than the timestamp before if that clock was
    /// behind. So it never runs backwards, whatever the wall clocks do and whoever is primary; it stands almost still until a
    /// clock that is behind has caught up.
    pub timestamp: Timestamp,
    /// The client that asked.
    pub client: ClientId,
    /// The operation with its arguments, as the client sent it.
    pub payload: &'a Bytes,
    /// The value chosen for the non-deterministic part (4.4); empty when there is none.
    pub predicted: &'a Bytes,
}

/// What replicas predict for one operation (4.4): the answers of backups and the primary's own value.
#[derive(Clone, Copy, Debug)]
pub struct Contributions<'a> {
    /// The values, each of another replica, in the order of their node ids; one of them is the primary's own.
    pub values: &'a [Bytes],
    /// How many the paper asks for: f + 1.
    pub wanted: usize,
}

impl Contributions<'_> {
    /// Whether f backups answered; if not, the deadline has passed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.values.len() >= self.wanted
    }
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

    /// Chooses the value for the non-deterministic part of an operation, at the primary, before the operation is ordered (4.4).
    /// At most [`PREDICTED_BYTES_MAX`] bytes. A backup is called, too, when it is asked to contribute.
    ///
    /// `wall` is this machine's clock, which may jump and be wrong; `seed` is random.
    fn predict(&mut self, payload: &[u8], wall: Timestamp, seed: u64) -> Bytes {
        let _ = (payload, wall, seed);
        Bytes::new()
    }

    /// Whether backups have to contribute to the value for this operation: the pre-step of 4.4. It costs a round trip, for
    /// this operation and no other.
    fn asks_backups(&self, payload: &[u8]) -> bool {
        let _ = payload;
        false
    }

    /// Computes the value for an operation from what f backups and the primary itself predicted, at the primary (4.4). At most
    /// [`PREDICTED_BYTES_MAX`] bytes. Must be deterministic: a function of its arguments.
    ///
    /// When fewer backups answered in time, there are fewer values. A service that cannot do with fewer says so in the value,
    /// and refuses when it executes the operation. The default is all values, one after the other.
    fn combine(&self, payload: &[u8], contributions: Contributions<'_>) -> Bytes {
        let _ = payload;
        contributions.values.concat().into()
    }

    /// 5.1: "makes an upcall to the application, requesting it to take a checkpoint". The state is kept as it is when this returns,
    /// and costs nothing to keep.
    ///
    /// A service whose state is all in `state` has nothing to do. One that keeps its data in its own form writes to `state` what has
    /// changed since the last call, in pages of its choice, and reads it back when it is [`restored`](Self::restored). Called after
    /// operation `op` at every replica: what is written must follow from the operations alone. See
    /// [`SelfPaging`](crate::self_paging::SelfPaging).
    fn take_checkpoint(&mut self, state: &mut State, op: OpNumber) {
        let _ = (state, op);
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
