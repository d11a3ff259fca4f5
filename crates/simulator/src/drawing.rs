//! The map with one operation more, whose value replicas draw together before it is ordered (4.4).

use bytes::{BufMut, Bytes, BytesMut};
use viewstamped_map::Map;
use viewstamped_protocol::{Contributions, OpNumber, Operation, Service, Timestamp};
use viewstamped_state::State;

use crate::checkers::{Checked, Violation, hold};
use crate::history::Invocation;

const NAME: &str = "I-CLOCK";

/// No operation of the map begins with this.
const DRAW: u8 = 0xff;

/// Everything drawn, folded together: what it is depends on each value and on their order.
const DRAWN: &[u8] = b"drawn";

/// The map, and draws: requests that begin with a byte no operation of the map begins with.
#[derive(Clone, Copy, Debug, Default)]
pub struct DrawingMap;

/// The request for a draw; its number makes it differ from all others.
pub(crate) fn draw(number: u64) -> Bytes {
    let mut payload = BytesMut::from(&[DRAW][..]);
    payload.put_u64(number);
    payload.freeze()
}

/// Whether the request is for a draw.
pub(crate) fn is_draw(payload: &[u8]) -> bool {
    payload.first() == Some(&DRAW)
}

impl Service for DrawingMap {
    /// Answers a draw with the replicated clock and the value, which is also folded into the state: a replica that executes
    /// another value than the others has another state for ever.
    fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes {
        if !is_draw(operation.payload) {
            return Map.execute(state, operation);
        }
        let mut drawn = state.get(DRAWN).unwrap_or_default().to_vec();
        drawn.extend_from_slice(operation.predicted);
        state.insert(Bytes::from_static(DRAWN), crate::observed::digest_of(&drawn).to_be_bytes().to_vec());
        let mut reply = BytesMut::new();
        reply.put_u64(operation.timestamp.0);
        reply.put_slice(operation.predicted);
        reply.freeze()
    }

    fn query(&self, state: &State, query: &[u8]) -> Bytes {
        Map.query(state, query)
    }

    fn validate(&self, payload: &[u8]) -> Result<(), String> {
        if is_draw(payload) { Ok(()) } else { Map.validate(payload) }
    }

    fn predict(&mut self, payload: &[u8], _wall: Timestamp, seed: u64) -> Bytes {
        if is_draw(payload) { seed.to_be_bytes().to_vec().into() } else { Bytes::new() }
    }

    fn asks_backups(&self, payload: &[u8]) -> bool {
        is_draw(payload)
    }

    /// How many contributed, and what.
    fn combine(&self, _payload: &[u8], contributions: Contributions<'_>) -> Bytes {
        let count = u8::try_from(contributions.values.len()).expect("groups are small");
        [&[count][..], &contributions.values.concat()].concat().into()
    }
}

/// The place and the answer of a draw that was answered.
pub(crate) fn answer(invocation: &Invocation) -> Option<(OpNumber, &[u8])> {
    let outcome = invocation.outcome.as_ref().filter(|_| is_draw(&invocation.payload))?;
    Some((invocation.op?, &outcome.result))
}

/// I-CLOCK: the replicated clock rises with the order of the operations (N9), and a value has as many contributions as it says.
pub(crate) fn check(mut answers: Vec<(OpNumber, &[u8])>) -> Checked {
    answers.sort_unstable();
    let mut before = (OpNumber::ZERO, 0);
    for (op, reply) in answers {
        let parts = reply.split_first_chunk().and_then(|(clock, value)| Some((clock, value.split_first()?)));
        let Some((clock, (count, values))) = parts else {
            return Err(Violation { checker: NAME, sentence: format!("the draw at {op} was answered {reply:?}") });
        };
        let clock = u64::from_be_bytes(*clock);
        hold!(NAME, clock > before.1, "the clock shows {clock} at {op}, after {} at {}", before.1, before.0);
        let is_complete = *count > 0 && values.len() == 8 * usize::from(*count);
        hold!(NAME, is_complete, "{count} replicas contributed {values:?} to the draw at {op}");
        before = (op, clock);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(clock: u64, count: u8) -> Vec<u8> {
        [&clock.to_be_bytes()[..], &[count], &[7; 16]].concat()
    }

    #[test]
    fn a_clock_that_runs_backwards_is_noticed() {
        let (early, late) = (reply(10, 2), reply(11, 2));
        assert_eq!(check(vec![(OpNumber(5), &late), (OpNumber(3), &early)]), Ok(()));
        assert!(check(vec![(OpNumber(5), &early), (OpNumber(3), &late)]).is_err());
        assert!(check(vec![(OpNumber(5), &late), (OpNumber(3), &late)]).is_err());
    }

    #[test]
    fn a_value_without_its_contributions_is_noticed() {
        for count in [0, 1, 3] {
            assert!(check(vec![(OpNumber(3), &reply(10, count))]).is_err());
        }
    }
}
