//! What may be done to a state: keys and values of all kinds, and small pages, so that a few steps make several levels.

use proptest::prelude::*;
use viewstamped_state::{PageOptions, State};

#[derive(Clone, Debug)]
pub enum Step {
    Put(Vec<u8>, Vec<u8>),
    Insert(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    /// Removes keys from the one of this rank on.
    RemoveMany(prop::sample::Index, usize),
    Snapshot,
}

pub fn small_pages() -> State {
    State::with_options(PageOptions::new(PageOptions::PAGE_BYTES_MIN).expect("the smallest pages are allowed"))
}

/// Keys that share long prefixes, keys that are prefixes of keys, and keys too long for a page.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let letters = prop::sample::select(vec![0, b'a', 255]);
    prop_oneof![
        8 => (0..300u32).prop_map(|number| format!("{number:020}").into_bytes()),
        3 => (0..40u32, 0..3u8).prop_map(|(number, more)| [&number.to_be_bytes()[..], &vec![0; more.into()]].concat()),
        3 => prop::collection::vec(letters, 0..8),
        1 => (0..9u8, 30..40usize).prop_map(|(number, more)| [&[b'k'; 30][..], &vec![number; more]].concat()),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![4 => 0..20usize, 3 => Just(16usize), 2 => 100..129usize, 1 => 129..400usize];
    (any::<u8>(), length).prop_map(|(byte, length)| vec![byte; length])
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (key(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (key(), value()).prop_map(|(key, value)| Step::Insert(key, value)),
        5 => key().prop_map(Step::Remove),
        1 => (any::<prop::sample::Index>(), 1..60usize).prop_map(|(from, count)| Step::RemoveMany(from, count)),
        1 => Just(Step::Snapshot),
    ]
}

/// Does what the step says.
pub fn carry_out(state: &mut State, step: &Step) {
    match step {
        Step::Put(key, value) => _ = state.put(key, value),
        Step::Insert(key, value) => _ = state.insert(key.clone(), value.clone()),
        Step::Remove(key) => _ = state.remove(key),
        Step::RemoveMany(from, count) => {
            let from = if state.is_empty() { 0 } else { from.index(state.len()) };
            let keys: Vec<Vec<u8>> = state.range(..).skip(from).take(*count).map(|(key, _)| key.to_vec()).collect();
            keys.iter().for_each(|key| assert!(state.remove(key)));
        }
        Step::Snapshot => {}
    }
}
