//! What the clients ask for, and how to tell whether the answers are right. A service of one's own needs one of these to be tested.

use std::collections::BTreeMap;

use bytes::Bytes;
use viewstamped_map::{Operation, Reply};
use viewstamped_protocol::Service;
use viewstamped_protocol::random::Random;

use crate::checkers::Violation;
use crate::drawing::{self, DrawingMap};
use crate::history::{History, Invocation};
use crate::linearizability::{self, Model, Span, Verdict};
use crate::options::Settings;
use crate::random::Draw;

/// The requests of a run on some service.
pub trait Workload {
    /// The service under test.
    type Service: Service + Clone;

    /// Draws the mix of requests of a seed.
    fn draw(random: &mut Random) -> Self;

    /// A new instance of the service, for one replica.
    fn service(&self) -> Self::Service;

    /// Whether the service does the same everywhere. If it does not on purpose, replicas may diverge, and are not held to do the same.
    fn is_deterministic(&self) -> bool {
        true
    }

    /// The next request of any client.
    fn next_request(&mut self, random: &mut Random) -> Bytes;

    /// Checks all answers of a run. Returns how many parts of the history were too hard to decide.
    ///
    /// # Errors
    /// Which answer cannot be right.
    fn check(&self, history: &History, settings: &Settings) -> Result<u64, Violation>;
}

/// Puts, deletes, gets and swaps on a few keys of the map service, checked for linearizability key by key; in some seeds also draws,
/// to which several replicas contribute.
#[derive(Clone, Debug)]
pub struct MapWorkload {
    keys: u64,
    /// How often each operation is chosen, in the order put, delete, get, swap, draw.
    weights: [u64; 5],
    value_bytes: usize,
    /// Makes every value written a different one.
    written: u64,
    /// Makes every draw a different request.
    drawn: u64,
    /// The value last asked to be written, by key: what a swap expects.
    latest: BTreeMap<u64, u64>,
}

impl Workload for MapWorkload {
    type Service = DrawingMap;

    fn draw(random: &mut Random) -> Self {
        Self {
            // Few keys are contended; many have pages of their own, under several levels of others.
            keys: if random.strikes(16_384) { random.between(100, 1_000) } else { random.between(2, 12) },
            weights: [
                random.between(1, 8),
                random.between(0, 3),
                random.between(1, 8),
                random.between(0, 6),
                random.below(4).saturating_sub(1),
            ],
            value_bytes: usize::try_from(random.magnitude(8, 256)).expect("small"),
            written: 0,
            drawn: 0,
            latest: BTreeMap::new(),
        }
    }

    fn service(&self) -> DrawingMap {
        DrawingMap
    }

    fn next_request(&mut self, random: &mut Random) -> Bytes {
        let number = random.below(self.keys);
        let key = format!("key{number}");
        let key = key.as_bytes();
        let mut chosen = random.below(self.weights.iter().sum());
        let choice = self.weights.iter().position(|weight| {
            let here = chosen < *weight;
            chosen = chosen.saturating_sub(*weight);
            here
        });
        let before = self.latest.get(&number).map(|written| self.value(*written));
        let operation = match choice.expect("below the sum of the weights") {
            0 => Operation::Put { key, value: &self.fresh_value(number) }.encode(),
            1 => Operation::Delete { key }.encode(),
            2 => Operation::Get { key }.encode(),
            4 => {
                self.drawn += 1;
                return drawing::draw(self.drawn);
            }
            _ => {
                let value = self.fresh_value(number);
                Operation::CompareAndSwap { key, expected: before.as_deref(), value: Some(&value) }.encode()
            }
        };
        operation.expect("keys and values are short")
    }

    fn check(&self, history: &History, settings: &Settings) -> Result<u64, Violation> {
        drawing::check(history.invocations().iter().filter_map(drawing::answer).collect())?;
        let mut keys: BTreeMap<Vec<u8>, Vec<Span<&Invocation>>> = BTreeMap::new();
        for invocation in history.invocations().iter().filter(|invocation| !drawing::is_draw(&invocation.payload)) {
            keys.entry(key_of(&invocation.payload).to_vec()).or_default().push(Span {
                call: invocation,
                invoked: invocation.invoked,
                returned: invocation.outcome.as_ref().map(|outcome| outcome.returned),
                hint: invocation.op.map_or(u64::MAX, |op| op.0),
            });
        }
        let mut undecided = 0;
        for (key, spans) in keys {
            match linearizability::check(&MapModel, &spans, settings.linearization_steps_max) {
                Verdict::Linearizable => {}
                Verdict::Undecided => undecided += 1,
                Verdict::Impossible { stuck } => return Err(impossible(&key, spans[stuck].call)),
            }
        }
        Ok(undecided)
    }
}

impl MapWorkload {
    fn fresh_value(&mut self, key: u64) -> Vec<u8> {
        self.written += 1;
        self.latest.insert(key, self.written);
        self.value(self.written)
    }

    fn value(&self, written: u64) -> Vec<u8> {
        let mut value = written.to_be_bytes().to_vec();
        value.resize(self.value_bytes, b'.');
        value
    }
}

fn key_of(payload: &[u8]) -> &[u8] {
    match Operation::decode(payload) {
        Ok(
            Operation::Put { key, .. }
            | Operation::Delete { key }
            | Operation::Get { key }
            | Operation::CompareAndSwap { key, .. },
        ) => key,
        Ok(Operation::List { .. }) | Err(_) => unreachable!("the workload sends no such request"),
    }
}

fn impossible(key: &[u8], invocation: &Invocation) -> Violation {
    let operation = Operation::decode(&invocation.payload);
    let reply = invocation.outcome.as_ref().map(|outcome| Reply::decode(&outcome.result));
    let key = String::from_utf8_lossy(key);
    let place = invocation.op.map_or_else(String::new, |op| format!(" at {op}"));
    let sentence =
        format!("no order of the operations on {key} explains that {operation:?}{place} was answered {reply:?}");
    Violation { checker: "I-LIN", sentence }
}

/// What the map does to a single key.
struct MapModel;

impl<'a> Model<&'a Invocation> for MapModel {
    type State = Option<&'a [u8]>;

    fn initial(&self) -> Self::State {
        None
    }

    fn apply(&self, state: &Self::State, invocation: &&'a Invocation) -> Option<Self::State> {
        let operation = Operation::decode(&invocation.payload).ok()?;
        let (expected, next) = match operation {
            Operation::Put { value, .. } => (Reply::Done { existed: state.is_some() }, Some(value)),
            Operation::Delete { .. } => (Reply::Done { existed: state.is_some() }, None),
            Operation::Get { .. } => (Reply::Value(*state), *state),
            Operation::CompareAndSwap { expected, value, .. } if *state == expected => (Reply::Swapped, value),
            Operation::CompareAndSwap { .. } => (Reply::NotSwapped { current: *state }, *state),
            Operation::List { .. } => return None,
        };
        let is_possible =
            invocation.outcome.as_ref().is_none_or(|outcome| Reply::decode(&outcome.result) == Ok(expected));
        is_possible.then_some(next)
    }
}
