//! Viewstamped's replicated state beside a shared `BTreeMap<Bytes, Bytes>`: time, instructions and memory for each operation.

mod measure;
mod subjects;

use clap::{Parser, ValueEnum};

use subjects::{Shared, Subject};
use viewstamped_state::State;

/// Measures one map, or all of them in turn.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Which maps.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Map::State, Map::Btree])]
    maps: Vec<Map>,
    /// Which operations.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Work::ALL)]
    works: Vec<Work>,
    /// How many keys the map holds.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000])]
    keys: Vec<u64>,
    /// The bytes of a key: a number behind zeros.
    #[arg(long, default_value_t = 64)]
    key_bytes: usize,
    /// The bytes of a value.
    #[arg(long, default_value_t = 128)]
    value_bytes: usize,
    /// How many operations are timed.
    #[arg(long, default_value_t = 1_000_000)]
    operations: u64,
    /// Of how many rounds the median is taken.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Also counts instructions, with `perf stat`.
    #[arg(long)]
    instructions: bool,
    /// Only carries out the work of one round, for `perf`.
    #[arg(long, hide = true)]
    bare: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Map {
    /// Viewstamped's state.
    State,
    /// A shared `BTreeMap<Bytes, Bytes>`.
    Btree,
}

/// Which operation is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// The value of a key that is there, in random order.
    Get,
    /// Another value of the same length for a key that is there, in random order.
    Overwrite,
    /// All keys into an empty map, in random order.
    Insert,
    /// All keys into an empty map, in ascending order.
    Append,
    /// All keys out of the map, in random order.
    Remove,
    /// All entries in order.
    Scan,
    /// A snapshot before every hundredth overwrite, the one before it dropped.
    Snapshots,
    /// A root after every hundredth overwrite.
    Roots,
    /// The resident memory of a map filled in random order, instead of a time.
    Memory,
}

impl Work {
    const ALL: [Self; 9] = [
        Self::Get,
        Self::Overwrite,
        Self::Insert,
        Self::Append,
        Self::Remove,
        Self::Scan,
        Self::Snapshots,
        Self::Roots,
        Self::Memory,
    ];
}

fn main() {
    let options = Options::parse();
    if options.bare {
        let keys = options.keys[0];
        return match options.maps[0] {
            Map::State => measure::bare::<State>(options.works[0], keys, &options),
            Map::Btree => measure::bare::<Shared>(options.works[0], keys, &options),
        };
    }
    println!("{:>9}  {:<10} {:<6}  {:>9}  {:>12}", "keys", "work", "map", "ns/op", "instructions");
    for keys in &options.keys {
        for work in &options.works {
            for map in &options.maps {
                let line = match map {
                    Map::State => measure::line::<State>(*map, *work, *keys, &options),
                    Map::Btree => measure::line::<Shared>(*map, *work, *keys, &options),
                };
                if let Some(line) = line {
                    println!("{line}");
                }
            }
        }
    }
}

/// Whether this map can do this work in reasonable time.
fn is_supported<S: Subject>(work: Work, keys: u64) -> bool {
    S::HAS_PAGES || !matches!(work, Work::Snapshots | Work::Roots) || keys <= 10_000 && work == Work::Snapshots
}
