//! How large the file becomes.

use super::*;

/// Changes `changes` of `keys` keys, chosen evenly, and saves a checkpoint; so often.
fn saved_after(rounds: u64, keys: u64, changes: u64) -> (PageFile, u64) {
    let disk = SimulatedDisk::new();
    let (mut pages, _) = open(&disk);
    let (mut state, mut numbers) = (State::default(), Numbers(11));
    for key in 0..keys {
        state.put(&key.to_be_bytes(), &numbers.bytes(50));
    }
    let mut largest = 0;
    for round in 0..rounds {
        for _ in 0..changes {
            let (key, bytes) = (numbers.below(keys), numbers.below(100));
            state.put(&key.to_be_bytes(), &numbers.bytes(bytes));
        }
        save(&mut pages, &checkpoint(round, vec![], &state, &State::default()), 1 << 20).unwrap();
        largest = largest.max(pages.file_bytes());
    }
    (pages, largest)
}

#[test]
fn under_random_updates_the_file_stays_below_twice_what_lies_in_it() {
    for (rounds, changes) in [(300, 20), (200, 300), (60, 20_000)] {
        let (pages, largest) = saved_after(rounds, 20_000, changes);
        let used = pages.used_bytes();
        assert!(largest < used * 21 / 10, "{changes} changes: {largest} bytes for {used}");
    }
}

#[test]
fn long_values_among_short_ones_do_not_make_it_grow() {
    let disk = SimulatedDisk::new();
    let (mut pages, _) = open(&disk);
    let (mut state, mut numbers, mut largest) = (State::default(), Numbers(12), 0.0_f64);
    for round in 0..250 {
        for _ in 0..30 {
            let (key, bytes) = (numbers.below(3000), numbers.below(100));
            state.put(&key.to_be_bytes(), &numbers.bytes(bytes));
        }
        let (key, bytes) = (numbers.below(20), numbers.below(60_000));
        state.put(&key.to_be_bytes(), &numbers.bytes(bytes));
        save(&mut pages, &checkpoint(round, vec![], &state, &State::default()), 1 << 20).unwrap();
        if round > 100 {
            largest = largest.max(pages.file_bytes() as f64 / pages.used_bytes() as f64);
        }
    }
    assert!(largest < 2.1, "{largest} times what lies in it");
}

#[test]
fn the_file_is_cut_when_most_of_it_is_free() {
    let disk = SimulatedDisk::new();
    let (mut pages, _) = open(&disk);
    let mut state: State = (0..30_000u32).map(|key| (key.to_be_bytes().to_vec(), vec![0; 80])).collect();
    save(&mut pages, &checkpoint(1, vec![], &state, &State::default()), 1 << 20).unwrap();
    let full = pages.file_bytes();
    for key in 10..30_000u32 {
        state.remove(&key.to_be_bytes());
    }
    for op in 2..4 {
        save(&mut pages, &checkpoint(op, vec![], &state, &State::default()), 1 << 20).unwrap();
    }
    assert!(pages.file_bytes() * 10 < full, "{} bytes of {full}", pages.file_bytes());
    assert_eq!(disk.content(PAGES).unwrap().len() as u64, pages.file_bytes());
    let (_, opened) = open(&disk);
    assert_eq!(opened.checkpoint.unwrap().service, state);
}
