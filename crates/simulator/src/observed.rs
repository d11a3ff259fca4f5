//! The user's service with a witness beside it: every up-call is noted, so that replicas can be compared call by call.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use viewstamped_protocol::{ClientId, Contributions, OpNumber, Operation, Service, Timestamp};
use viewstamped_state::{Root, State};
use xxhash_rust::xxh3::xxh3_64;

/// How often the whole state is compared, in operations. Every 16th: a root costs the hashes of what changed since the last one.
const ROOT_INTERVAL_OPS: u64 = 16;

/// One call of `Service::execute` and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UpCall {
    /// The operation executed.
    pub(crate) op: OpNumber,
    /// Who asked.
    pub(crate) client: ClientId,
    /// The replicated clock.
    pub(crate) timestamp: Timestamp,
    /// The digest of what was asked.
    pub(crate) payload: u64,
    /// The digest of the value predicted for it.
    pub(crate) predicted: u64,
    /// The digest of the reply.
    pub(crate) reply: u64,
    /// The root of the state afterwards, for some operations.
    pub(crate) root: Option<Root>,
}

/// The digest by which payloads and replies are compared.
pub(crate) fn digest_of(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The up-calls of one replica since they were last looked at.
pub(crate) type UpCalls = Rc<RefCell<Vec<UpCall>>>;

/// What passes between a simulation and a service it watches, beside the up-calls.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    /// The service is to be dropped at its next checkpoint.
    pub(crate) is_doomed: Cell<bool>,
    /// The service was dropped.
    pub(crate) was_dropped: Cell<bool>,
    /// The root of the state from which it was restored last.
    pub(crate) restored: Cell<Option<Root>>,
}

/// A service whose up-calls are noted, and that can be dropped and restored at any checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Observed<S> {
    service: S,
    /// As it was before the first up-call.
    fresh: S,
    calls: UpCalls,
    strings: Rc<Strings>,
}

impl<S: Clone> Observed<S> {
    /// Notes the calls of `service` in `calls`.
    pub(crate) fn new(service: S, calls: UpCalls, strings: Rc<Strings>) -> Self {
        Self { fresh: service.clone(), service, calls, strings }
    }
}

impl<S: Service + Clone> Service for Observed<S> {
    fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes {
        let (op, client, timestamp) = (operation.op, operation.client, operation.timestamp);
        let (payload, predicted) = (digest_of(operation.payload), digest_of(operation.predicted));
        let reply = self.service.execute(state, operation);
        let root = op.0.is_multiple_of(ROOT_INTERVAL_OPS).then(|| state.root());
        self.calls.borrow_mut().push(UpCall {
            op,
            client,
            timestamp,
            payload,
            predicted,
            reply: digest_of(&reply),
            root,
        });
        reply
    }

    fn query(&self, state: &State, query: &[u8]) -> Bytes {
        self.service.query(state, query)
    }

    fn validate(&self, payload: &[u8]) -> Result<(), String> {
        self.service.validate(payload)
    }

    fn predict(&mut self, payload: &[u8], wall: Timestamp, seed: u64) -> Bytes {
        self.service.predict(payload, wall, seed)
    }

    fn asks_backups(&self, payload: &[u8]) -> bool {
        self.service.asks_backups(payload)
    }

    fn combine(&self, payload: &[u8], contributions: Contributions<'_>) -> Bytes {
        self.service.combine(payload, contributions)
    }

    /// Whoever has all its state where it belongs does not notice that it was dropped; what it has elsewhere is lost (I-STATE).
    fn take_checkpoint(&mut self, state: &mut State, op: OpNumber) {
        self.service.take_checkpoint(state, op);
        if self.strings.is_doomed.take() {
            self.service = self.fresh.clone();
            self.service.restored(state);
            self.strings.was_dropped.set(true);
        }
    }

    fn restored(&mut self, state: &State) {
        self.strings.restored.set(Some(state.root()));
        self.service.restored(state);
    }
}
