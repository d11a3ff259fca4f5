//! The event queue: what happens next, by time and, within one instant, in the order of scheduling.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use viewstamped_protocol::Time;

/// Where an event waits. The events themselves stay put in `slots`; only these small keys move.
///
/// From the highest bits down: 64 of the time, 32 of the sequence number, 32 of the slot. A number is compared in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u128);

impl Key {
    fn new(time: Time, sequence: u32, slot: u32) -> Self {
        Self(u128::from(time.0) << 64 | u128::from(sequence) << 32 | u128::from(slot))
    }

    fn time(self) -> Time {
        Time((self.0 >> 64) as u64)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lowest quarter is the slot")]
    fn slot(self) -> u32 {
        self.0 as u32
    }
}

/// Events in the order in which they happen.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    keys: BinaryHeap<Reverse<Key>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    sequence: u32,
}

impl<E> Schedule<E> {
    /// A queue without events.
    pub(crate) fn new() -> Self {
        Self { keys: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    /// Lets `event` happen at `time`, after everything already scheduled for then.
    pub(crate) fn at(&mut self, time: Time, event: E) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("far fewer than 2^32 events wait at once")
        });
        self.slots[slot as usize] = Some(event);
        self.keys.push(Reverse(Key::new(time, self.sequence, slot)));
        self.sequence = self.sequence.checked_add(1).expect("a run has far fewer than 2^32 events");
    }

    /// Takes out the next event and when it happens.
    pub(crate) fn pop(&mut self) -> Option<(Time, E)> {
        let Reverse(key) = self.keys.pop()?;
        let event = self.slots[key.slot() as usize].take().expect("a key names a waiting event");
        self.free.push(key.slot());
        Some((key.time(), event))
    }

    /// When the next event happens.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.keys.peek().map(|Reverse(key)| key.time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_of_scheduling() {
        let mut schedule = Schedule::new();
        for (time, event) in [(5, "late"), (1, "first"), (1, "second"), (3, "middle")] {
            schedule.at(Time(time), event);
        }
        assert_eq!(schedule.next_time(), Some(Time(1)));
        let order: Vec<&str> = std::iter::from_fn(|| schedule.pop()).map(|(_, event)| event).collect();
        assert_eq!(order, ["first", "second", "middle", "late"]);
    }

    #[test]
    fn room_is_used_again() {
        let mut schedule = Schedule::new();
        for round in 0..100 {
            schedule.at(Time(round), round);
            assert_eq!(schedule.pop(), Some((Time(round), round)));
        }
        assert_eq!(schedule.slots.len(), 1);
    }
}
