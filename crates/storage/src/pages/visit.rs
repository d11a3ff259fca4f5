//! Visiting many records, in the order in which they lie.

use std::num::NonZero;
use std::thread;

use super::damage::Damage;
use super::place::Place;
use super::read::{self, Chunk, Source};
use super::record::{Kind, Record};

/// The most threads that verify pages at once. 8: no disk delivers faster.
const THREADS_MAX: usize = 8;

/// The numbers of the places in the order in which they lie.
pub(crate) fn order(places: impl Iterator<Item = Place>) -> Vec<usize> {
    let mut order: Vec<(Place, usize)> = places.enumerate().map(|(number, place)| (place, number)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, number)| number).collect()
}

/// Gives each record to `found`, with its number, in the order in which they lie, or what is wrong with it.
pub(crate) fn each(
    source: Source<'_>,
    kind: Kind,
    unordered: impl Iterator<Item = Place> + Clone,
    mut found: impl FnMut(usize, Result<Record<'_>, Damage>) -> Result<(), Damage>,
) -> Result<(), Damage> {
    let order = order(unordered.clone());
    let mut places: Vec<Place> = unordered.collect();
    places.sort_unstable();
    let mut buffer = Vec::new();
    for run in read::runs(&places) {
        let chunk = Chunk::read(source, &places, run, buffer);
        for (at, record) in chunk.records(kind) {
            found(order[at], record)?;
        }
        buffer = chunk.into_buffer();
    }
    Ok(())
}

/// Some pages, and whether all are whole.
struct Verified<'a> {
    chunk: Chunk<'a>,
    result: Result<(), BadRecord>,
}

/// The first record that is damaged.
struct BadRecord {
    number: usize,
    damage: Damage,
}

/// Gives the pages at `places`, which ascend, to `found`, in this order, each when it is verified. Several threads verify some of them
/// while this one goes on with those that are verified.
pub(crate) fn verified_in_parallel(
    source: Source<'_>,
    places: &[Place],
    verify: impl Fn(usize, &Record<'_>) -> Result<(), Damage> + Sync,
    mut found: impl FnMut(usize, Record<'_>) -> Result<(), Damage>,
) -> Result<(), Damage> {
    let verify_all = |chunk: &Chunk<'_>| -> Result<(), BadRecord> {
        let mut records = chunk.records(Kind::Page);
        records.try_for_each(|(at, record)| {
            record.and_then(|record| verify(at, &record)).map_err(|damage| BadRecord { number: at, damage })
        })
    };
    let mut take_all = |verified: &Verified<'_>| -> Result<(), Damage> {
        verified.chunk.numbers().try_for_each(|at| match &verified.result {
            Err(bad) if bad.number == at => Err(bad.damage.clone()),
            _ => found(at, verified.chunk.verified(Kind::Page, at)?),
        })
    };
    let runs = read::runs(places);
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let mut batches = runs.chunks(threads);
    let mut buffers: Vec<Vec<u8>> = Vec::new();
    let mut batch: Vec<Verified<'_>> = Vec::new();
    loop {
        let next = batches.next().unwrap_or_default().iter();
        let next = next.map(|run| Chunk::read(source, places, run.clone(), buffers.pop().unwrap_or_default()));
        let next: Vec<Chunk<'_>> = next.collect();
        let results = if let [] | [_] = next.as_slice() {
            // A small state is not worth a thread.
            batch.iter().try_for_each(&mut take_all)?;
            next.iter().map(verify_all).collect::<Vec<_>>()
        } else {
            thread::scope(|scope| {
                let verifying: Vec<_> = next.iter().map(|chunk| scope.spawn(|| verify_all(chunk))).collect();
                batch.iter().try_for_each(&mut take_all)?;
                let results = verifying.into_iter().map(|thread| thread.join().expect("verifying never panics"));
                Ok(results.collect::<Vec<_>>())
            })?
        };
        if next.is_empty() {
            return Ok(());
        }
        buffers.extend(batch.into_iter().map(|verified| verified.chunk.into_buffer()));
        batch = next.into_iter().zip(results).map(|(chunk, result)| Verified { chunk, result }).collect();
    }
}
