//! The state against the standard library's ordered map, step by step.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;
use proptest::prelude::*;
use viewstamped_state::{Root, Snapshot, State};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Snapshot,
}

/// Few short keys over few letters, so that steps meet each other and prefixes of keys are keys.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0, b'a', b'b', 255]), 0..4)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..6)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (key(), value()).prop_map(|(key, value)| Step::Insert(key, value)),
        3 => key().prop_map(Step::Remove),
        1 => Just(Step::Snapshot),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![key().prop_map(Bound::Included), key().prop_map(Bound::Excluded), Just(Bound::Unbounded)]
}

fn borrowed(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

fn apply(state: &mut State, model: &mut Model, step: &Step) {
    match step {
        Step::Insert(key, value) => {
            let existed = model.insert(key.clone(), value.clone()).is_some();
            assert_eq!(state.insert(key.clone(), value.clone()), existed);
        }
        Step::Remove(key) => assert_eq!(state.remove(key), model.remove(key).is_some()),
        Step::Snapshot => {}
    }
}

fn assert_same(state: &State, model: &Model) {
    let pairs = || model.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
    assert!(state.range(..).eq(pairs()));
    assert!(state.range(..).rev().eq(pairs().rev()));
    assert_eq!(state.first(), pairs().next());
    assert_eq!(state.last(), pairs().next_back());
    assert_eq!((state.len(), state.is_empty()), (model.len(), model.is_empty()));
    assert_eq!(state.bytes(), pairs().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>());
    for (key, value) in pairs() {
        assert_eq!(state.get(key), Some(value));
        assert!(state.contains(key));
    }
}

proptest! {
    #[test]
    fn a_state_holds_what_an_ordered_map_holds(steps in prop::collection::vec(step(), 0..60)) {
        let (mut state, mut model) = (State::default(), Model::new());
        let mut snapshots: Vec<(Snapshot, Root, Model)> = Vec::new();
        for step in &steps {
            apply(&mut state, &mut model, step);
            assert_same(&state, &model);
            if matches!(step, Step::Snapshot) {
                snapshots.push((state.snapshot(), state.root(), model.clone()));
            }
        }
        for (snapshot, root, model) in &snapshots {
            assert_same(snapshot, model);
            prop_assert_eq!(snapshot.root(), *root);
        }
    }

    #[test]
    fn ranges_counts_and_ranks_agree_with_an_ordered_map(
        pairs in prop::collection::btree_map(key(), value(), 0..40),
        start in bound(),
        end in bound(),
        probe in key(),
    ) {
        let state: State = pairs.clone().into_iter().collect();
        let bounds = (borrowed(&start), borrowed(&end));
        let expected: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_slice()))
            .filter(|(key, _)| RangeBounds::<[u8]>::contains(&bounds, *key))
            .collect();
        prop_assert!(state.range(bounds).eq(expected.iter().copied()));
        prop_assert!(state.range(bounds).rev().eq(expected.iter().copied().rev()));
        prop_assert_eq!(state.count(bounds), expected.len());
        prop_assert_eq!(state.rank(&probe), pairs.keys().filter(|key| **key < probe).count());
        prop_assert_eq!(state.get(&probe), pairs.get(&probe).map(Vec::as_slice));
    }

    #[test]
    fn states_are_equal_exactly_when_contents_are(
        left in prop::collection::vec(step(), 0..8),
        right in prop::collection::vec(step(), 0..8),
    ) {
        let run = |steps: &[Step]| {
            let (mut state, mut model) = (State::default(), Model::new());
            steps.iter().for_each(|step| apply(&mut state, &mut model, step));
            (state, model)
        };
        let ((left, left_model), (right, right_model)) = (run(&left), run(&right));
        prop_assert!(left.root() != right.root() || left_model == right_model);
        prop_assert_eq!(left == right, left_model == right_model);
    }
}

#[test]
fn both_ends_of_a_range_meet_in_the_middle() {
    let state: State = [("a", "1"), ("b", "2"), ("c", "3")].into_iter().collect();
    let mut range = state.range(..);
    assert_eq!(range.next().map(|(key, _)| key), Some(b"a".as_slice()));
    assert_eq!(range.next_back().map(|(key, _)| key), Some(b"c".as_slice()));
    assert_eq!(range.next().map(|(key, _)| key), Some(b"b".as_slice()));
    assert_eq!((range.next(), range.next_back()), (None, None));
}

/// The root is compared between machines and releases: it changes only together with the structure version.
#[test]
fn the_root_of_a_given_state_is_fixed() {
    let state: State = [("key", "value"), ("other", "")].into_iter().collect();
    assert_eq!(viewstamped_state::STRUCTURE_VERSION, 2);
    assert_eq!(state.root().to_string(), "100d93c916956a1757f5e0a03debf5b34c18e176663cbb07885f169ea928b827");
}

#[test]
fn a_small_value_does_not_keep_its_receive_buffer_alive() {
    let buffer = Bytes::from(vec![7u8; 1 << 20]);
    let mut state = State::default();
    state.insert(buffer.slice(..8), buffer.slice(8..16));
    assert!(buffer.is_unique(), "the state holds no part of the buffer");
    assert_eq!(state.get(&[7; 8]), Some([7u8; 8].as_slice()));
}

#[test]
fn a_large_buffer_of_ones_own_is_taken_over_without_a_copy() {
    let value = vec![1u8; 10_000];
    let place = value.as_ptr();
    let mut state = State::default();
    state.insert("key", value);
    assert_eq!(state.get(b"key").map(<[u8]>::as_ptr), Some(place));
}
