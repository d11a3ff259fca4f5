//! Fetching a state from another: it is the same in everything, and what is there already is not asked for.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use viewstamped_state::{BadPart, Fetch, Place, Snapshot, State};

use common::{Step, carry_out, small_pages, step};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn run(state: &mut State, steps: &[Step]) -> Vec<Snapshot> {
    let mut snapshots = Vec::new();
    for step in steps {
        if matches!(step, Step::Snapshot) {
            snapshots.push(state.snapshot());
        }
        carry_out(state, step);
    }
    snapshots
}

fn fetch_of(source: &State, own: &State) -> Fetch {
    Fetch::new(source.root(), *source.options(), own.snapshot())
}

/// Asks the source for everything, one part after the other.
fn complete(fetch: &mut Fetch, source: &State) -> State {
    while let Some(place) = fetch.next() {
        let part = source.part(&place).expect("the source has it");
        assert_eq!(fetch.give(&place, part), Ok(true), "{place}");
    }
    let state = fetch.state().expect("nothing is missing");
    let progress = fetch.progress();
    assert_eq!((progress.parts_missing, fetch.asked().count()), (0, 0));
    assert_eq!((progress.keys, progress.bytes), (source.len() as u64, source.bytes()));
    assert_eq!((progress.keys_total, progress.bytes_total), (progress.keys, progress.bytes));
    state
}

fn assert_same_everywhere(fetched: &State, source: &State, later: &[Step]) {
    assert_eq!((fetched.root(), fetched.bytes(), fetched.len()), (source.root(), source.bytes(), source.len()));
    assert!(fetched.range(..).eq(source.range(..)));
    // The hashes of the pages were noted, not computed: others who fetch it compute them.
    let mut again = fetch_of(fetched, &small_pages());
    assert_eq!(complete(&mut again, fetched).root(), source.root());
    let (mut fetched, mut source) = (fetched.clone(), source.clone());
    for step in later {
        carry_out(&mut fetched, step);
        carry_out(&mut source, step);
        assert_eq!(fetched.root(), source.root());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_fetched_state_is_the_same_and_stays_the_same(
        shared in prop::collection::vec(step(), 0..150),
        theirs in prop::collection::vec(step(), 0..100),
        ours in prop::collection::vec(step(), 0..100),
        later in prop::collection::vec(step(), 0..60),
    ) {
        let mut own = small_pages();
        run(&mut own, &shared);
        let mut source = own.clone();
        let _snapshots = run(&mut source, &theirs);
        run(&mut own, &ours);
        let (own_root, own_model) = (own.root(), own.range(..).map(|(key, value)| (key.to_vec(), value.to_vec())).collect::<Model>());
        let mut fetch = fetch_of(&source, &own);
        let fetched = complete(&mut fetch, &source);
        assert_same_everywhere(&fetched, &source, &later);
        prop_assert_eq!(own.root(), own_root);
        prop_assert!(own.range(..).eq(own_model.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))));
    }

    #[test]
    fn parts_may_come_in_any_order_twice_or_not_at_all(
        steps in prop::collection::vec(step(), 0..200),
        window in 1..20usize,
        fates in prop::collection::vec((any::<prop::sample::Index>(), 0..5u8), 0..200),
    ) {
        let mut source = small_pages();
        run(&mut source, &steps);
        let mut fetch = fetch_of(&source, &small_pages());
        let (mut on_the_way, mut fates) = (Vec::new(), fates.into_iter());
        while fetch.state().is_none() {
            while on_the_way.len() < window && let Some(place) = fetch.next() {
                on_the_way.push(place);
            }
            if on_the_way.is_empty() {
                prop_assert!(fetch.asked().next().is_some(), "something was lost");
                fetch.ask_all_again();
                continue;
            }
            let (at, fate) = fates.next().map_or((0, 3), |(at, fate)| (at.index(on_the_way.len()), fate));
            let place = on_the_way.swap_remove(at);
            let part = source.part(&place).expect("the source has it");
            match fate {
                0 => {}
                1 => fetch.ask_again(&place),
                2 => {
                    prop_assert!(fetch.give(&place, part.clone()).is_ok());
                    prop_assert_eq!(fetch.give(&place, part), Ok(false));
                }
                _ => prop_assert!(fetch.give(&place, part).is_ok()),
            }
        }
        prop_assert_eq!(fetch.next(), None);
        prop_assert_eq!(fetch.state().map(|state| state.root()), Some(source.root()));
    }

    #[test]
    fn places_are_read_as_they_were_written(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Some((place, rest)) = Place::decode(&bytes) {
            let mut again = Vec::new();
            place.encode(&mut again);
            prop_assert_eq!(again.len(), place.encoded_bytes());
            again.extend_from_slice(rest);
            prop_assert_eq!(again, bytes);
        }
    }
}

/// Keys of 16 bytes with values of 64, in small pages.
fn numbers(count: u32) -> State {
    let mut state = small_pages();
    for number in 0..count {
        state.put(&name(number * 7_919 % count), &[b'v'; 64]);
    }
    state
}

fn name(number: u32) -> Vec<u8> {
    format!("{number:016}").into_bytes()
}

#[test]
fn only_what_differs_is_asked_for() {
    let own = numbers(5_000);
    let mut source = own.clone();
    source.put(&name(1_234), b"another");
    source.put(&name(4_321), b"value");
    source.remove(&name(17));
    let mut fetch = fetch_of(&source, &own);
    assert_same_everywhere(&complete(&mut fetch, &source), &source, &[]);
    let progress = fetch.progress();
    assert!((8..=20).contains(&progress.parts_fetched), "three paths of pages, and the top: {progress:?}");
    assert!(progress.bytes_fetched < 20 * 600, "{progress:?}");
    assert!(progress.bytes_reused > source.bytes() / 100 * 95, "{progress:?}");

    // A state that one has is known by the top alone.
    let mut fetch = fetch_of(&own, &own);
    complete(&mut fetch, &own);
    assert_eq!(fetch.progress().parts_fetched, 1);
}

#[test]
fn few_places_are_known_and_missing_at_any_time() {
    let (source, window) = (numbers(20_000), 16);
    let mut fetch = fetch_of(&source, &small_pages());
    let mut most = 0;
    while fetch.state().is_none() {
        while fetch.asked().count() < window && fetch.next().is_some() {}
        let place = fetch.asked().next().expect("something is missing").clone();
        let part = source.part(&place).expect("the source has it");
        assert_eq!(fetch.give(&place, part), Ok(true));
        most = most.max(fetch.progress().parts_missing);
    }
    // Nine children are below a page, and six pages below each other.
    assert!(most < 6 * 9 * window as u64, "{most}");
    assert!(fetch.progress().parts_fetched > 4_000);
}

/// Values longer than a piece, beside keys that change.
fn with_long_fields() -> State {
    let mut state = numbers(300);
    for (number, length) in [(10, 200_000), (11, 65_536), (12, 65_537), (200, 1_000)] {
        let value: Vec<u8> = (0..length as u32).map(|at| (at / 3) as u8).collect();
        state.put(&[name(number), vec![b'-'; 100]].concat(), &value);
        state.put(&[name(number), b"!".to_vec()].concat(), &value[1..]);
    }
    state
}

#[test]
fn long_fields_come_in_pieces_and_are_used_again() {
    let own = with_long_fields();
    let mut fetch = fetch_of(&own, &small_pages());
    let fetched = complete(&mut fetch, &own);
    assert_same_everywhere(&fetched, &own, &[]);
    assert_eq!(fetched.part(&Place::top()), own.part(&Place::top()));
    let parts = fetch.progress().parts_fetched;

    // The page of a long field changes, the field does not.
    let mut source = own.clone();
    for number in [10, 11, 12, 200] {
        source.put(&name(number), b"something else");
    }
    let mut fetch = fetch_of(&source, &own);
    assert_same_everywhere(&complete(&mut fetch, &source), &source, &[]);
    let progress = fetch.progress();
    assert!(progress.bytes_fetched < 20_000 && progress.parts_fetched < parts / 4, "{progress:?}");
}

/// Asks for at most so many parts; none may be one that was given before.
fn give_new_parts(fetch: &mut Fetch, source: &State, most: u32, given: &mut BTreeSet<Bytes>) {
    for _ in 0..most {
        let Some(place) = fetch.next() else { break };
        let part = source.part(&place).expect("the source has it");
        assert!(given.insert(part.clone()), "{place} was fetched before");
        assert_eq!(fetch.give(&place, part), Ok(true), "{place}");
    }
}

#[test]
fn what_was_fetched_is_used_for_another_root() {
    let mut source = with_long_fields();
    for interrupted in 0..120 {
        let (mut fetch, mut given) = (fetch_of(&source, &numbers(100)), BTreeSet::new());
        give_new_parts(&mut fetch, &source, interrupted, &mut given);
        let fetched = fetch.progress();
        source.put(&name(interrupted), b"new");
        source.put(&name(299 - interrupted), &[b'n'; 64]);
        fetch = fetch.retarget(source.root());
        assert_eq!((fetch.target(), fetch.progress().keys_total), (source.root(), 0));
        give_new_parts(&mut fetch, &source, u32::MAX, &mut given);
        let state = fetch.state().expect("nothing is missing");
        assert_same_everywhere(&state, &source, &[]);
        assert_eq!(fetch.progress().parts_fetched, given.len() as u64);
        assert!(fetch.progress().bytes_fetched >= fetched.bytes_fetched);
    }
}

#[test]
fn a_fetch_for_another_root_can_be_interrupted_many_times() {
    let mut source = with_long_fields();
    let mut fetch = fetch_of(&source, &small_pages());
    let mut rounds = 0;
    while fetch.state().is_none() {
        for _ in 0..12 {
            let Some(place) = fetch.next() else { break };
            fetch.give(&place, source.part(&place).expect("the source has it")).expect("it is right");
        }
        rounds += 1;
        if fetch.state().is_none() {
            source.put(&name(rounds), b"changed");
            fetch = fetch.retarget(source.root());
        }
    }
    assert!(rounds > 10, "it was interrupted often: {rounds}");
    assert_eq!(fetch.state().map(|state| state.root()), Some(source.root()));
}

#[test]
fn every_flipped_bit_is_found_and_changes_nothing() {
    let mut source = with_long_fields();
    for number in 20..290 {
        source.remove(&name(number));
    }
    let mut fetch = fetch_of(&source, &small_pages());
    while let Some(place) = fetch.next() {
        let part = source.part(&place).expect("the source has it");
        let before = fetch.clone();
        let step = (part.len() * 8 / 2_000).max(1);
        for bit in (0..part.len() * 8).step_by(step) {
            let mut damaged = part.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(fetch.give(&place, damaged.into()), Err(BadPart::WrongHash), "{place}, bit {bit}");
        }
        for cut in [0, 1, part.len() / 2, part.len() - 1] {
            assert_eq!(fetch.give(&place, part.slice(..cut)), Err(BadPart::WrongHash), "{place}, cut at {cut}");
        }
        let longer = Bytes::from([&part[..], &[0]].concat());
        assert_eq!(fetch.give(&place, longer), Err(BadPart::WrongHash), "{place}");
        assert_eq!(fetch, before);
        assert_eq!(fetch.give(&place, part), Ok(true));
    }
    assert_eq!(fetch.state().map(|state| state.root()), Some(source.root()));
}

#[test]
fn pages_of_another_size_are_refused() {
    let source = State::default();
    let mut fetch = Fetch::new(source.root(), *small_pages().options(), source.snapshot());
    let top = fetch.next().expect("the top is missing");
    let part = source.part(&top).expect("the source has it");
    assert_eq!(fetch.give(&top, part), Err(BadPart::OtherPageBytes { page_bytes: 4_096 }));
}

#[test]
fn there_is_no_part_where_there_is_no_page() {
    let state = with_long_fields();
    let places = [&[1, 1, 0xFF, 0xFF][..], &[1, 0], &[2, 0, 0, 0, 0, 0, 0, 0], &[2, 1, 9, 0, 0, 0, 0, 0, 0, 0]];
    let [no_child, root, no_leaf, no_field] = places.map(|bytes| Place::decode(bytes).expect("it is a place").0);
    assert_eq!(no_child.to_string(), "page 65535");
    assert!(state.part(&root).is_some());
    assert_eq!([no_child, no_leaf, no_field].map(|place| state.part(&place)), [None, None, None]);
}
