//! Storing the pages of a state, following it with what changes, and loading it.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use viewstamped_state::{BadPart, LoadError, PageRef, Place, Root, State};

use common::{Step, carry_out, small_pages, step};

/// What a disk would have: pages, and fields with the number of times they are named.
#[derive(Clone, Debug, Default, PartialEq)]
struct Store {
    pages: BTreeMap<[u8; 32], Bytes>,
    fields: BTreeMap<[u8; 32], (Bytes, usize)>,
}

impl Store {
    fn of(state: &State) -> Self {
        let mut store = Self::default();
        state.pages().for_each(|page| store.add(page));
        store
    }

    fn add(&mut self, page: PageRef<'_>) {
        assert!(page.children().all(|child| self.pages.contains_key(&child)), "those below it were there before");
        assert_eq!(page.height() == 0, page.children().len() == 0);
        let is_new = self.pages.insert(page.hash(), page.encoding().into()).is_none();
        assert!(is_new, "a page lies in a state once: {page:?}");
        for field in page.fields() {
            self.fields.entry(field.hash).or_insert_with(|| (field.bytes.clone(), 0)).1 += 1;
        }
    }

    fn remove(&mut self, page: PageRef<'_>) {
        assert!(self.pages.remove(&page.hash()).is_some(), "it was there: {page:?}");
        for field in page.fields() {
            let (_, count) = self.fields.get_mut(&field.hash).expect("it was there");
            *count -= 1;
            if *count == 0 {
                self.fields.remove(&field.hash);
            }
        }
    }

    fn load(&self, root: Root, top: Bytes) -> Result<State, LoadError<String>> {
        let options = *small_pages().options();
        let read = |hash: &[u8; 32]| {
            let field = || self.fields.get(hash).map(|(bytes, _)| bytes);
            let part = self.pages.get(hash).or_else(field).or((*hash == root.0).then_some(&top));
            part.cloned().ok_or_else(|| "there is no such part".to_owned())
        };
        State::load(root, options, read)
    }
}

fn top(state: &State) -> Bytes {
    state.part(&Place::top()).expect("every state has a top")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_store_follows_a_state_by_what_differs(steps in prop::collection::vec(step(), 0..300)) {
        let mut state = small_pages();
        let (mut store, mut before) = (Store::of(&state), state.snapshot());
        for step in &steps {
            carry_out(&mut state, step);
            if matches!(step, Step::Snapshot) {
                // What is added need not have below it what is only removed later: first all additions.
                state.pages_not_in(&before).for_each(|page| store.add(page));
                before.pages_not_in(&state).for_each(|page| store.remove(page));
                before = state.snapshot();
                prop_assert_eq!(&store, &Store::of(&state));
                let loaded = store.load(state.root(), top(&state)).expect("everything is there");
                prop_assert!(loaded.range(..).eq(state.range(..)));
                prop_assert_eq!(loaded.root(), state.root());
                prop_assert_eq!(&Store::of(&loaded), &store);
            }
        }
    }

    #[test]
    fn what_differs_is_found_between_states_that_share_nothing(
        left in prop::collection::vec(step(), 0..150),
        right in prop::collection::vec(step(), 0..150),
    ) {
        let [left, right] = [left, right].map(|steps| {
            let mut state = small_pages();
            steps.iter().for_each(|step| carry_out(&mut state, step));
            state
        });
        let mut store = Store::of(&left);
        let known = store.pages.clone();
        let added = right.pages_not_in(&left).filter(|page| !known.contains_key(&page.hash()));
        added.for_each(|page| store.add(page));
        left.pages_not_in(&right).for_each(|page| store.remove(page));
        prop_assert_eq!(store, Store::of(&right));
    }
}

#[test]
fn a_loaded_state_goes_on_like_the_stored_one() {
    let mut state = small_pages();
    for number in 0..3_000u32 {
        state.put(&(number * 7_919 % 3_000).to_be_bytes(), &vec![1; 20 + number as usize % 200]);
    }
    let mut loaded = Store::of(&state).load(state.root(), top(&state)).expect("everything is there");
    for number in 0..3_000u32 {
        let key = (number * 31 % 3_500).to_be_bytes();
        let carry_out = |state: &mut State| match number % 3 {
            0 => state.remove(&key),
            _ => state.put(&key, &vec![2; number as usize % 150]),
        };
        assert_eq!(carry_out(&mut loaded), carry_out(&mut state));
        assert!(number % 10 != 0 || loaded.root() == state.root(), "after {number}");
    }
}

#[test]
fn whatever_is_damaged_is_not_loaded() {
    let mut state = small_pages();
    for number in 0..200u32 {
        state.put(&number.to_be_bytes(), &vec![7; number as usize * 3]);
    }
    let (store, top, root) = (Store::of(&state), top(&state), state.root());
    assert_eq!(store.load(root, top.clone()), Ok(state));
    assert_eq!(store.load(root, top.slice(1..)), Err(LoadError::Bad { hash: root.0, why: BadPart::WrongHash }));
    for (hash, page) in &store.pages {
        let mut damaged = store.clone();
        damaged.pages.insert(*hash, [&page[..page.len() - 1], &[page[page.len() - 1] ^ 1]].concat().into());
        let bad = LoadError::Bad { hash: *hash, why: BadPart::WrongHash };
        assert_eq!(damaged.load(root, top.clone()), Err(bad));
        damaged.pages.remove(hash);
        assert_eq!(damaged.load(root, top.clone()), Err(LoadError::Read("there is no such part".to_owned())));
    }
    for (hash, (field, count)) in &store.fields {
        let mut damaged = store.clone();
        damaged.fields.insert(*hash, (field.slice(1..), *count));
        let bad = LoadError::Bad { hash: *hash, why: BadPart::WrongHash };
        assert_eq!(damaged.load(root, top.clone()), Err(bad));
    }
    assert!(store.pages.len() > 20 && store.fields.len() > 50);
}
