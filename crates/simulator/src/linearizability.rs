//! Is there one order of all operations that explains every answer? The search of Wing and Gong with Lowe's memory of visited
//! configurations, as in Porcupine; the caller splits the history into independent parts (one per key) first.

use std::collections::BTreeSet;

/// What operations do, one after the other.
///
/// A call `C` is an operation together with its result; a call whose result is unknown accepts any.
pub trait Model<C> {
    /// Everything later results depend on.
    type State: Clone + Ord;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `call`, if its result is possible in `state`.
    fn apply(&self, state: &Self::State, call: &C) -> Option<Self::State>;
}

/// One operation as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span<C> {
    /// What was asked and answered.
    pub call: C,
    /// When it was asked. All moments of a history are distinct.
    pub invoked: u64,
    /// When it was answered; `None` when nobody knows whether it took effect, and it may still.
    pub returned: Option<u64>,
    /// A guess at its place in the order. Makes a correct history quick to confirm; never changes the verdict.
    pub hint: u64,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An order exists.
    Linearizable,
    /// No order exists. The search never got past the return of the span with this index.
    Impossible {
        /// An index into the history.
        stuck: usize,
    },
    /// The search took more steps than it was allowed.
    Undecided,
}

/// Searches for an order of `history` that respects real time and the model, in at most `steps_max` steps.
pub fn check<C, M: Model<C>>(model: &M, history: &[Span<C>], steps_max: u64) -> Verdict {
    let mut order: Vec<usize> = (0..history.len()).collect();
    order.sort_by_key(|&span| history[span].invoked);
    Search { model, history, order, done: Done::new(history.len()), visited: BTreeSet::new() }.run(steps_max)
}

/// One step of the search that may be taken back: the state, and which candidates are still to try from it.
struct Frame<S> {
    state: S,
    candidates: Vec<usize>,
    tried: usize,
}

struct Search<'a, C, M: Model<C>> {
    model: &'a M,
    history: &'a [Span<C>],
    /// The spans by time of invocation.
    order: Vec<usize>,
    done: Done,
    /// Configurations that lead nowhere, or that are being searched.
    visited: BTreeSet<(Vec<u64>, M::State)>,
}

impl<C, M: Model<C>> Search<'_, C, M> {
    fn run(mut self, steps_max: u64) -> Verdict {
        let mut remaining = self.history.iter().filter(|span| span.returned.is_some()).count();
        let (mut best, mut stuck) = (usize::MAX, 0);
        let mut frames = vec![self.frame(self.model.initial())];
        let mut path: Vec<usize> = Vec::new();
        for _ in 0..steps_max {
            if remaining == 0 {
                return Verdict::Linearizable;
            }
            if remaining < best {
                best = remaining;
                stuck = self.first_return().expect("an answered operation remains");
            }
            if let Some((span, state)) = self.advance(frames.last_mut().expect("the first frame stays")) {
                remaining -= usize::from(self.history[span].returned.is_some());
                path.push(span);
                frames.push(self.frame(state));
                continue;
            }
            frames.pop();
            let Some(span) = path.pop() else { return Verdict::Impossible { stuck } };
            self.done.clear(span);
            remaining += usize::from(self.history[span].returned.is_some());
        }
        Verdict::Undecided
    }

    /// Takes the next possible candidate of the frame: marks it done, and returns it with the state it leads to.
    fn advance(&mut self, frame: &mut Frame<M::State>) -> Option<(usize, M::State)> {
        while let Some(&span) = frame.candidates.get(frame.tried) {
            frame.tried += 1;
            let Some(state) = self.model.apply(&frame.state, &self.history[span].call) else { continue };
            self.done.set(span);
            if self.visited.insert((self.done.words.clone(), state.clone())) {
                return Some((span, state));
            }
            self.done.clear(span);
        }
        None
    }

    /// The operations that may come next: those invoked before the first of the others returned.
    fn frame(&mut self, state: M::State) -> Frame<M::State> {
        let horizon = self.first_return().and_then(|span| self.history[span].returned).unwrap_or(u64::MAX);
        let mut candidates: Vec<usize> = self.order[self.done.leading(&self.order)..]
            .iter()
            .copied()
            .take_while(|&span| self.history[span].invoked < horizon)
            .filter(|&span| !self.done.has(span))
            .collect();
        candidates.sort_by_key(|&span| self.history[span].hint);
        Frame { state, candidates, tried: 0 }
    }

    /// The operation not yet done that returned first.
    fn first_return(&self) -> Option<usize> {
        let mut first: Option<usize> = None;
        let mut earliest = u64::MAX;
        for &span in &self.order[self.done.leading(&self.order)..] {
            if self.history[span].invoked > earliest {
                break;
            }
            if let Some(returned) = self.history[span].returned
                && returned < earliest
                && !self.done.has(span)
            {
                (first, earliest) = (Some(span), returned);
            }
        }
        first
    }
}

/// The set of operations already placed.
struct Done {
    words: Vec<u64>,
}

impl Done {
    fn new(count: usize) -> Self {
        Self { words: vec![0; count.div_ceil(64)] }
    }

    fn has(&self, span: usize) -> bool {
        self.words[span / 64] >> (span % 64) & 1 == 1
    }

    fn set(&mut self, span: usize) {
        self.words[span / 64] |= 1 << (span % 64);
    }

    fn clear(&mut self, span: usize) {
        self.words[span / 64] &= !(1 << (span % 64));
    }

    /// How many spans at the start of `order` are done, in whole steps of the search's choosing.
    fn leading(&self, order: &[usize]) -> usize {
        order.iter().take_while(|&&span| self.has(span)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register that starts at 0.
    struct Register;

    #[derive(Clone, Copy)]
    enum Call {
        Write(u32),
        Read(u32),
        Swap { expected: u32, new: u32, swapped: bool },
    }

    impl Model<Call> for Register {
        type State = u32;

        fn initial(&self) -> u32 {
            0
        }

        fn apply(&self, state: &u32, call: &Call) -> Option<u32> {
            match *call {
                Call::Write(value) => Some(value),
                Call::Read(value) => (value == *state).then_some(*state),
                Call::Swap { expected, new, swapped } => {
                    ((expected == *state) == swapped).then_some(if swapped { new } else { *state })
                }
            }
        }
    }

    fn span(call: Call, invoked: u64, returned: impl Into<Option<u64>>) -> Span<Call> {
        Span { call, invoked, returned: returned.into(), hint: invoked }
    }

    fn verdict(history: &[Span<Call>]) -> Verdict {
        check(&Register, history, 1_000_000)
    }

    #[test]
    fn the_empty_history_is_linearizable() {
        assert_eq!(verdict(&[]), Verdict::Linearizable);
    }

    #[test]
    fn concurrent_operations_may_take_effect_in_any_order() {
        let history = [span(Call::Write(1), 1, 10), span(Call::Read(0), 2, 3), span(Call::Read(1), 4, 5)];
        assert_eq!(verdict(&history), Verdict::Linearizable);
    }

    #[test]
    fn a_stale_read_is_impossible() {
        let history = [span(Call::Write(1), 1, 2), span(Call::Read(0), 3, 4)];
        assert_eq!(verdict(&history), Verdict::Impossible { stuck: 1 });
    }

    #[test]
    fn a_value_once_read_does_not_vanish() {
        let history = [span(Call::Write(1), 1, 10), span(Call::Read(1), 2, 3), span(Call::Read(0), 4, 5)];
        assert_eq!(verdict(&history), Verdict::Impossible { stuck: 2 });
    }

    #[test]
    fn a_lost_write_is_impossible() {
        let history = [span(Call::Write(1), 1, 2), span(Call::Write(2), 3, 4), span(Call::Read(1), 5, 6)];
        assert_eq!(verdict(&history), Verdict::Impossible { stuck: 2 });
    }

    #[test]
    fn an_operation_of_unknown_outcome_may_take_effect_late_or_never() {
        let pending = span(Call::Write(1), 1, None);
        assert_eq!(verdict(&[pending.clone(), span(Call::Read(0), 2, 3)]), Verdict::Linearizable);
        assert_eq!(
            verdict(&[pending.clone(), span(Call::Read(0), 2, 3), span(Call::Read(1), 4, 5)]),
            Verdict::Linearizable
        );
        let twice = [pending, span(Call::Read(1), 2, 3), span(Call::Write(2), 4, 5), span(Call::Read(1), 6, 7)];
        assert_eq!(verdict(&twice), Verdict::Impossible { stuck: 3 }, "it takes effect once");
    }

    #[test]
    fn an_operation_of_unknown_outcome_does_not_take_effect_before_it_was_asked() {
        let history = [span(Call::Read(1), 1, 2), span(Call::Write(1), 3, None)];
        assert_eq!(verdict(&history), Verdict::Impossible { stuck: 0 });
    }

    #[test]
    fn only_one_of_two_swaps_from_the_same_value_succeeds() {
        let swap = |new, invoked, returned, swapped| span(Call::Swap { expected: 0, new, swapped }, invoked, returned);
        assert_eq!(verdict(&[swap(1, 1, 4, true), swap(2, 2, 3, false)]), Verdict::Linearizable);
        assert_eq!(verdict(&[swap(1, 1, 4, true), swap(2, 2, 3, true)]), Verdict::Impossible { stuck: 0 });
    }

    #[test]
    fn a_wrong_hint_never_changes_the_verdict() {
        let writes = (1..=6).map(|value| span(Call::Write(value), u64::from(value), 100 + u64::from(value)));
        let mut history: Vec<Span<Call>> = writes.chain([span(Call::Read(3), 200, 201)]).collect();
        for span in &mut history {
            span.hint = u64::MAX - span.invoked;
        }
        assert_eq!(verdict(&history), Verdict::Linearizable);
        history.push(span(Call::Read(4), 300, 301));
        assert_eq!(verdict(&history), Verdict::Impossible { stuck: 7 });
    }

    #[test]
    fn the_search_gives_up_in_time() {
        let mut history: Vec<Span<Call>> =
            (1..=30).map(|value| span(Call::Write(value), u64::from(value), 100)).collect();
        for (place, span) in history.iter_mut().enumerate() {
            span.returned = Some(100 + place as u64);
        }
        history.push(span(Call::Read(99), 200, 201));
        assert_eq!(check(&Register, &history, 1_000), Verdict::Undecided);
    }
}
