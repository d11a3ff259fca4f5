//! What checkpoints and transfers of a state cost.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use viewstamped_state::{Fetch, Place, State};

use crate::measure::{Keys, fill, median};
use crate::{Options, Work, name};

/// How many operations lie between two checkpoints.
const CHECKPOINT_OPS: u64 = 65_536;

/// Prints a line for each thing that the work is about.
pub fn print(work: Work, keys: u64, options: &Options) {
    let mut state: State = fill(keys, options, true);
    let _ = state.root();
    let lines = match work {
        Work::Checkpoint => checkpoint(&mut state, keys, options),
        Work::Changes => changes(&mut state, keys, options),
        Work::Load => load(&state),
        _ => fetch(&state),
    };
    for (what, milliseconds, amount) in lines {
        println!("{keys:>9}  {:<16} {what:<24} {milliseconds:>9.1} ms  {amount}", name(work));
    }
}

type Line = (&'static str, f64, String);

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Overwrites random keys, others in every round.
fn overwrite(state: &mut State, names: &Keys, round: usize, options: &Options) {
    let mut value = vec![b'w'; options.value_bytes];
    value[0] = round as u8;
    names.range(round as u64 * CHECKPOINT_OPS, CHECKPOINT_OPS).for_each(|key| _ = state.put(key, &value));
}

fn checkpoint(state: &mut State, keys: u64, options: &Options) -> Vec<Line> {
    let names = Keys::new(keys, options.key_bytes, true);
    let [mut writing, mut hashing, mut dropping] = [const { Vec::new() }; 3];
    for round in 0..options.rounds {
        let snapshot = state.snapshot();
        let start = Instant::now();
        overwrite(state, &names, round, options);
        writing.push(milliseconds(start.elapsed()));
        let start = Instant::now();
        let _ = state.root();
        hashing.push(milliseconds(start.elapsed()));
        let start = Instant::now();
        drop(snapshot);
        dropping.push(milliseconds(start.elapsed()));
    }
    vec![
        ("65,536 overwrites", median(writing), "most of them copy a page that the snapshot shares".to_owned()),
        ("their root", median(hashing), String::new()),
        ("dropping the one before", median(dropping), String::new()),
    ]
}

fn changes(state: &mut State, keys: u64, options: &Options) -> Vec<Line> {
    let names = Keys::new(keys, options.key_bytes, true);
    let (mut finding, mut encoding, mut pages, mut bytes) = (Vec::new(), Vec::new(), 0, 0);
    for round in 0..options.rounds {
        let before = state.snapshot();
        overwrite(state, &names, round, options);
        let _ = state.root();
        let start = Instant::now();
        pages = state.pages_not_in(&before).count() + before.pages_not_in(state).count();
        finding.push(milliseconds(start.elapsed()));
        let start = Instant::now();
        bytes = state.pages_not_in(&before).map(|page| page.encoding().len()).sum();
        encoding.push(milliseconds(start.elapsed()));
    }
    let found = format!("{pages} pages, new and old");
    let encoded = format!("{} MB", bytes / 1_000_000);
    vec![("finding both", median(finding), found), ("encoding the new ones", median(encoding), encoded)]
}

fn load(state: &State) -> Vec<Line> {
    let mut store: HashMap<[u8; 32], Bytes> = HashMap::new();
    let root = state.root();
    store.insert(root.0, state.part(&Place::top()).expect("every state has a top"));
    state.pages().for_each(|page| drop(store.insert(page.hash(), page.encoding().into())));
    let bytes: usize = store.values().map(Bytes::len).sum();
    let start = Instant::now();
    let loaded = State::load(root, *state.options(), |hash| store.get(hash).cloned().ok_or(()));
    let time = milliseconds(start.elapsed());
    assert_eq!(loaded.expect("everything is there").root(), root);
    vec![("from memory", time, format!("{} MB", bytes / 1_000_000))]
}

fn fetch(source: &State) -> Vec<Line> {
    let mut fetch = Fetch::new(source.root(), *source.options(), State::default().snapshot());
    let (mut giving, start) = (Duration::ZERO, Instant::now());
    while let Some(place) = fetch.next() {
        let asked = Instant::now();
        let part = source.part(&place).expect("the source has it");
        giving += asked.elapsed();
        fetch.give(&place, part).expect("it is right");
    }
    let taking = start.elapsed() - giving;
    assert_eq!(fetch.state().expect("nothing is missing").root(), source.root());
    let progress = fetch.progress();
    let amount = format!("{} parts, {} MB", progress.parts_fetched, progress.bytes_fetched / 1_000_000);
    vec![("its source", milliseconds(giving), amount), ("who fetches", milliseconds(taking), String::new())]
}
