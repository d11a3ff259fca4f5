//! The tree of pages against the standard library's ordered map: small pages and long keys, so that a few steps make several levels.

mod common;

use std::collections::BTreeMap;

use proptest::prelude::*;
use viewstamped_state::{Change, PageOptions, Snapshot, State};

use common::{Step, carry_out, small_pages, step};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Carries out the step on both, which must say the same.
fn apply(state: &mut State, model: &mut Model, step: &Step) {
    match step {
        Step::Put(key, value) => {
            assert_eq!(state.put(key, value), model.insert(key.clone(), value.clone()).is_some());
        }
        Step::Insert(key, value) => {
            let existed = model.insert(key.clone(), value.clone()).is_some();
            assert_eq!(state.insert(key.clone(), value.clone()), existed);
        }
        Step::Remove(key) => assert_eq!(state.remove(key), model.remove(key).is_some()),
        Step::RemoveMany(from, count) => {
            carry_out(state, step);
            let from = if model.is_empty() { 0 } else { from.index(model.len()) };
            let keys: Vec<Vec<u8>> = model.keys().skip(from).take(*count).cloned().collect();
            keys.iter().for_each(|key| assert!(model.remove(key).is_some()));
        }
        Step::Snapshot => {}
    }
}

fn assert_same(state: &State, model: &Model) {
    let pairs = || model.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
    assert!(state.range(..).eq(pairs()));
    assert!(state.range(..).rev().eq(pairs().rev()));
    assert_eq!((state.len(), state.range(..).len()), (model.len(), model.len()));
    assert_eq!(state.bytes(), pairs().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>());
    for (rank, (key, value)) in pairs().enumerate() {
        assert_eq!((state.get(key), state.rank(key)), (Some(value), rank));
        assert_eq!(state.count(key..), model.len() - rank);
    }
}

/// A key, its old value and its new one.
type Changed = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

fn brute_difference(old: &Model, new: &Model) -> Vec<Changed> {
    let keys: std::collections::BTreeSet<&Vec<u8>> = old.keys().chain(new.keys()).collect();
    let change = |key: &Vec<u8>| (key.clone(), old.get(key).cloned(), new.get(key).cloned());
    keys.into_iter().map(change).filter(|(_, old, new)| old != new).collect()
}

fn assert_difference(old: (&State, &Model), new: (&State, &Model)) {
    let owned =
        |change: Change<'_>| (change.key.to_vec(), change.old.map(<[u8]>::to_vec), change.new.map(<[u8]>::to_vec));
    let found: Vec<_> = old.0.difference(new.0).map(owned).collect();
    assert_eq!(found, brute_difference(old.1, new.1));
    assert_eq!(old.0 == new.0, old.1 == new.1);
}

proptest! {
    #[test]
    fn pages_hold_what_an_ordered_map_holds(steps in prop::collection::vec(step(), 0..400)) {
        let (mut state, mut model) = (small_pages(), Model::new());
        let mut snapshots: Vec<(Snapshot, Model)> = Vec::new();
        for step in &steps {
            apply(&mut state, &mut model, step);
            if matches!(step, Step::Snapshot) {
                assert_same(&state, &model);
                snapshots.push((state.snapshot(), model.clone()));
            }
        }
        assert_same(&state, &model);
        for (snapshot, then) in &snapshots {
            assert_same(snapshot, then);
            assert_difference((snapshot, then), (&state, &model));
            assert_difference((&state, &model), (snapshot, then));
        }
    }

    #[test]
    fn roots_follow_from_the_operations_alone(steps in prop::collection::vec(step(), 0..400)) {
        let (mut plain, mut watched, mut model) = (small_pages(), small_pages(), Model::new());
        let (mut snapshots, mut kept) = (Vec::new(), true);
        for step in &steps {
            apply(&mut plain, &mut model.clone(), step);
            apply(&mut watched, &mut model, step);
            if matches!(step, Step::Snapshot) {
                // One of the two is looked at on the way, and every second time a snapshot is kept.
                let root = watched.root();
                kept = !kept;
                if kept {
                    snapshots.push((watched.snapshot(), root));
                }
            }
        }
        prop_assert_eq!(plain.root(), watched.root());
        prop_assert!(plain.difference(&watched).next().is_none());
        for (snapshot, root) in &snapshots {
            prop_assert_eq!(snapshot.root(), *root);
        }
    }

    #[test]
    fn differences_are_found_between_states_that_share_nothing(
        left in prop::collection::vec(step(), 0..200),
        right in prop::collection::vec(step(), 0..200),
        is_hashed: bool,
    ) {
        let run = |steps: &[Step]| {
            let (mut state, mut model) = (small_pages(), Model::new());
            steps.iter().for_each(|step| apply(&mut state, &mut model, step));
            if is_hashed {
                let _ = state.root();
            }
            (state, model)
        };
        let ((left, left_model), (right, right_model)) = (run(&left), run(&right));
        assert_difference((&left, &left_model), (&right, &right_model));
    }
}

fn numbers(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("{number:032}").into_bytes()).collect()
}

#[test]
fn everything_can_be_deleted_in_any_direction() {
    let keys = numbers(2_000);
    let middle_out = |at: usize| if at.is_multiple_of(2) { 1_000 + at / 2 } else { 999 - at / 2 };
    let orders: [Vec<usize>; 4] = [
        (0..2_000).collect(),
        (0..2_000).rev().collect(),
        (0..2_000).map(|at| at * 7_919 % 2_000).collect(),
        (0..2_000).map(middle_out).collect(),
    ];
    let empty = small_pages();
    for insertions in &orders {
        let mut full = small_pages();
        insertions.iter().for_each(|at| assert!(!full.put(&keys[*at], b"value")));
        assert!(full.range(..).map(|(key, _)| key).eq(&keys));
        for removals in &orders {
            let mut state = full.clone();
            removals.iter().for_each(|at| assert!(state.remove(&keys[*at])));
            assert_eq!((state.len(), state.bytes(), state.root()), (0, 0, empty.root()));
            assert_eq!((state.first(), state.last(), state.range(..).next()), (None, None, None));
        }
        assert_eq!(full.len(), 2_000);
    }
}

#[test]
fn fields_longer_than_a_page_are_held_beside_it() {
    let mut state = small_pages();
    let lengths = [0, 1, 31, 32, 33, 127, 128, 129, 511, 512, 513, 70_000, 1 << 20];
    let mut model = Model::new();
    for (at, key_bytes) in lengths.iter().enumerate() {
        for value_bytes in lengths {
            let key = vec![u8::try_from(at).expect("few lengths"); *key_bytes];
            state.put(&key, &vec![1; value_bytes]);
            state.insert(key.clone(), vec![2; value_bytes]);
            model.insert(key, vec![2; value_bytes]);
        }
        let other = [&vec![7; *key_bytes][..], b"other"].concat();
        state.put(&other, b"");
        model.insert(other, Vec::new());
    }
    assert_same(&state, &model);
    let root = state.snapshot().root();
    for key in model.keys() {
        assert!(state.remove(key));
    }
    assert!(state.is_empty());
    assert_ne!(state.root(), root);
}

#[test]
fn many_keys_with_one_head_are_told_apart() {
    let mut state = State::default();
    let mut model = Model::new();
    for number in 0..500u32 {
        let key = [b"a".repeat(usize::from(number % 2 == 0)), b"same".to_vec(), number.to_be_bytes().to_vec()].concat();
        state.put(&key, &key);
        model.insert(key.clone(), key);
    }
    for zeros in 0..20 {
        let key = [b"same".to_vec(), vec![0; zeros]].concat();
        state.put(&key, b"zeros");
        model.insert(key, b"zeros".to_vec());
    }
    assert_same(&state, &model);
}

#[test]
fn states_with_different_pages_never_have_one_root() {
    let large =
        State::with_options(PageOptions::new(PageOptions::PAGE_BYTES_MAX).expect("the largest pages are allowed"));
    assert_eq!(small_pages(), large);
    assert_ne!(small_pages().root(), large.root());
    assert!(PageOptions::new(PageOptions::PAGE_BYTES_MIN - 1).is_err());
    assert!(PageOptions::new(PageOptions::PAGE_BYTES_MAX + 1).is_err());
}

#[test]
fn snapshots_are_hashed_by_another_thread_while_the_map_moves_on() {
    fn can_be_shared<T: Send + Sync>() {}
    can_be_shared::<Snapshot>();
    let (mut moving, mut still) = (State::default(), State::default());
    for round in 0..30u32 {
        let snapshot = moving.snapshot();
        let write = |state: &mut State| {
            for number in 0..2_000u32 {
                let key = (number * 7_919 % 50_000 + round).to_be_bytes();
                if number % 5 == 0 {
                    state.remove(&key)
                } else {
                    state.put(&key, &[round as u8; 40])
                };
            }
        };
        let (root, difference) = std::thread::scope(|scope| {
            let hashing = scope.spawn(|| snapshot.root());
            write(&mut moving);
            let difference = snapshot.difference(&moving).count();
            (hashing.join().expect("a root can be made"), difference)
        });
        assert_eq!(root, still.root(), "round {round}");
        assert_eq!(difference, snapshot.difference(&moving).count());
        write(&mut still);
    }
    assert_eq!(moving.root(), still.root());
}
