//! Services that keep their data in a form of their own, and page it themselves (5.1).
//!
//! Most services keep all they have in the [`State`], which is pages already. One whose data does not fit a map, an array, a sketch,
//! an index with its own layout, is a [`PagedService`] instead: it works on its own memory, and when a checkpoint is due it hands
//! over the pages that have changed since the last one. [`SelfPaging`] makes a [`Service`] of it; checkpoints, comparison of states
//! and transfer of the pages that differ work as for any other.

use bytes::Bytes;
use viewstamped_state::State;

use crate::numbers::{OpNumber, Timestamp};
use crate::service::{Contributions, Operation, Service};

/// A deterministic program that keeps its replicated data in its own memory, in pages that it numbers.
///
/// What [`Service`] says of determinism holds for this one, and for the pages too: which pages there are, and what they hold, must
/// follow from the operations alone.
pub trait PagedService {
    /// Executes a committed operation and returns the reply: see [`Service::execute`].
    ///
    /// A panic is caught. What was changed before it stays, at every replica alike: there is no older state to go back to.
    fn execute(&mut self, operation: Operation<'_>) -> Bytes;

    /// Answers a read without changing anything (6.3).
    fn query(&self, query: &[u8]) -> Bytes {
        let _ = query;
        Bytes::new()
    }

    /// Rejects a malformed operation before it is ordered: see [`Service::validate`].
    ///
    /// # Errors
    /// Why the operation must not be ordered.
    fn validate(&self, payload: &[u8]) -> Result<(), String> {
        let _ = payload;
        Ok(())
    }

    /// Chooses the value for the non-deterministic part of an operation (4.4): see [`Service::predict`].
    fn predict(&mut self, payload: &[u8], wall: Timestamp, seed: u64) -> Bytes {
        let _ = (payload, wall, seed);
        Bytes::new()
    }

    /// 5.1: "makes an upcall to the application, requesting it to take a checkpoint". Puts the pages that have changed since the last
    /// call, or since [`restore`](Self::restore). Called after operation `op`, at every replica.
    fn take_checkpoint(&mut self, op: OpNumber, pages: &mut PageSetMut<'_>);

    /// Replaces all data by that of a checkpoint; without pages, by nothing.
    fn restore(&mut self, pages: PageSet<'_>);
}

/// The pages of a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct PageSet<'a>(&'a State);

impl<'a> PageSet<'a> {
    /// The page with this number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&'a [u8]> {
        self.0.get(&number.to_be_bytes())
    }

    /// All pages by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let number = |key: &[u8]| u64::from_be_bytes(key.try_into().expect("only pages are put"));
        self.0.range(..).map(move |(key, page)| (number(key), page))
    }
}

/// The pages of the checkpoint before, to be changed into those of this one.
#[derive(Debug)]
pub struct PageSetMut<'a>(&'a mut State);

impl PageSetMut<'_> {
    /// Gives a page this content, of any length; some KiB are best.
    pub fn put(&mut self, number: u64, page: &[u8]) {
        self.0.put(&number.to_be_bytes(), page);
    }

    /// Removes a page.
    pub fn remove(&mut self, number: u64) {
        self.0.remove(&number.to_be_bytes());
    }
}

/// Makes a [`Service`] of a [`PagedService`].
#[derive(Clone, Debug)]
pub struct SelfPaging<S> {
    service: S,
    /// An up-call has begun and not ended: if the state is said to be restored now, the service has panicked.
    is_called: bool,
}

impl<S> SelfPaging<S> {
    /// The service that pages for itself. It starts with nothing.
    pub fn new(service: S) -> Self {
        Self { service, is_called: false }
    }
}

impl<S: PagedService> SelfPaging<S> {
    fn call<T>(&mut self, call: impl FnOnce(&mut S) -> T) -> T {
        self.is_called = true;
        let result = call(&mut self.service);
        self.is_called = false;
        result
    }
}

impl<S: PagedService> Service for SelfPaging<S> {
    fn execute(&mut self, _: &mut State, operation: Operation<'_>) -> Bytes {
        self.call(|service| service.execute(operation))
    }

    fn query(&self, _: &State, query: &[u8]) -> Bytes {
        self.service.query(query)
    }

    fn validate(&self, payload: &[u8]) -> Result<(), String> {
        self.service.validate(payload)
    }

    fn predict(&mut self, payload: &[u8], wall: Timestamp, seed: u64) -> Bytes {
        self.call(|service| service.predict(payload, wall, seed))
    }

    fn combine(&self, _: &[u8], contributions: Contributions<'_>) -> Bytes {
        contributions.values.concat().into()
    }

    fn take_checkpoint(&mut self, state: &mut State, op: OpNumber) {
        self.call(|service| service.take_checkpoint(op, &mut PageSetMut(state)));
    }

    fn restored(&mut self, state: &State) {
        // After a panic the state is that of the last checkpoint, and operations have been executed and answered since.
        if !std::mem::take(&mut self.is_called) {
            self.service.restore(PageSet(state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::ClientId;
    use crate::service::guarded;

    /// Counts bytes.
    #[derive(Clone, Default)]
    struct Counts {
        counts: Vec<u64>,
        is_changed: bool,
    }

    impl PagedService for Counts {
        fn execute(&mut self, operation: Operation<'_>) -> Bytes {
            self.counts.resize(256, 0);
            self.is_changed = true;
            for byte in operation.payload {
                self.counts[usize::from(*byte)] += 1;
            }
            assert_ne!(&operation.payload[..], b"poison");
            Bytes::from(self.counts[usize::from(operation.payload[0])].to_string())
        }

        fn take_checkpoint(&mut self, _: OpNumber, pages: &mut PageSetMut<'_>) {
            if std::mem::take(&mut self.is_changed) {
                let page: Vec<u8> = self.counts.iter().flat_map(|count| count.to_le_bytes()).collect();
                pages.put(0, &page);
            }
        }

        fn restore(&mut self, pages: PageSet<'_>) {
            let page = pages.get(0).unwrap_or_default();
            self.counts = page.as_chunks().0.iter().map(|count| u64::from_le_bytes(*count)).collect();
        }
    }

    fn execute(service: &mut SelfPaging<Counts>, state: &mut State, payload: &'static [u8]) -> Bytes {
        let payload = Bytes::from_static(payload);
        let (op, client, timestamp, predicted) = (OpNumber(1), ClientId(1), Timestamp(1), &Bytes::new());
        service.execute(state, Operation { op, timestamp, client, payload: &payload, predicted })
    }

    #[test]
    fn what_a_checkpoint_took_is_restored_elsewhere() {
        let (mut service, mut state) = (SelfPaging::new(Counts::default()), State::default());
        assert_eq!(execute(&mut service, &mut state, b"aab"), "2");
        assert!(state.is_empty(), "it works on its own memory");
        service.take_checkpoint(&mut state, OpNumber(1));
        let mut other = SelfPaging::new(Counts::default());
        other.restored(&state);
        assert_eq!(execute(&mut other, &mut state, b"a"), "3");
        assert_eq!(PageSet(&state).iter().map(|(number, page)| (number, page.len())).collect::<Vec<_>>(), [(0, 2_048)]);
    }

    /// The state is that of the last checkpoint: to go back to it after a panic would undo what was executed and answered since.
    #[test]
    fn a_panic_undoes_nothing() {
        let (mut service, mut state) = (SelfPaging::new(Counts::default()), State::default());
        execute(&mut service, &mut state, b"a");
        assert!(guarded(|| execute(&mut service, &mut state, b"poison")).is_err());
        service.restored(&state);
        assert_eq!(execute(&mut service, &mut state, b"a"), "2");
        service.restored(&State::default());
        assert_eq!(execute(&mut service, &mut state, b"a"), "1", "a state that was fetched replaces all");
    }
}
