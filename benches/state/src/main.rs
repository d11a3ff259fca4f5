//! Viewstamped's replicated state beside other ordered maps: time, instructions and memory for each operation, and what
//! checkpoints and transfers of the state cost.

#[expect(dead_code, reason = "the program that it belongs to draws other lines, too")]
#[path = "../../../crates/cli/src/chart.rs"]
mod chart;
mod measure;
mod plot;
mod subjects;
mod whole;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use measure::Figure;
use subjects::{Persistent, Plain, Shared, Subject};
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
    /// Of how many rounds the median is taken, with at most a million keys; more keys take minutes, and are measured once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Also counts instructions, with `perf stat`.
    #[arg(long)]
    instructions: bool,
    /// Also draws the times over the numbers of keys, into this file.
    #[arg(long)]
    chart: Option<PathBuf>,
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
    /// A `BTreeMap<Vec<u8>, Vec<u8>>`.
    Plain,
    /// An `imbl::OrdMap<Vec<u8>, Vec<u8>>`.
    Imbl,
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
    /// All keys into an empty map, in random order, with a snapshot before every hundredth.
    InsertSnapshots,
    /// A root after every hundredth overwrite.
    Roots,
    /// The resident memory of a map filled in random order, instead of a time.
    Memory,
    /// The root after 65,536 overwrites in random order: what a checkpoint costs the thread that hashes.
    Checkpoint,
    /// The pages that are new since then, and those that are no longer there: what writing a checkpoint costs before the disk.
    Changes,
    /// The state out of its parts, as from a disk.
    Load,
    /// The state out of its parts, as from another replica.
    Fetch,
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

    /// Whether it is about a state as a whole, and so about no other map.
    fn is_of_whole(self) -> bool {
        matches!(self, Self::Checkpoint | Self::Changes | Self::Load | Self::Fetch)
    }
}

fn main() {
    let options = Options::parse();
    if options.bare {
        let keys = options.keys[0];
        return match options.maps[0] {
            Map::State => measure::bare::<State>(options.works[0], keys, &options),
            Map::Btree => measure::bare::<Shared>(options.works[0], keys, &options),
            Map::Plain => measure::bare::<Plain>(options.works[0], keys, &options),
            Map::Imbl => measure::bare::<Persistent>(options.works[0], keys, &options),
        };
    }
    println!("{:>9}  {:<16} {:<6}  {:>9}  {:>12}", "keys", "work", "map", "ns/op", "instructions");
    let mut figures = Vec::new();
    for keys in &options.keys {
        for work in &options.works {
            if work.is_of_whole() {
                whole::print(*work, *keys, &options);
                continue;
            }
            for map in &options.maps {
                let figure = match map {
                    Map::State => Figure::of::<State>(*map, *work, *keys, &options),
                    Map::Btree => Figure::of::<Shared>(*map, *work, *keys, &options),
                    Map::Plain => Figure::of::<Plain>(*map, *work, *keys, &options),
                    Map::Imbl => Figure::of::<Persistent>(*map, *work, *keys, &options),
                };
                if let Some(figure) = figure {
                    println!("{figure}");
                    figures.push(figure);
                }
            }
        }
    }
    if let Some(path) = &options.chart {
        std::fs::write(path, plot::chart(&figures, &options).svg()).expect("the file of --chart can be written");
    }
}

/// Whether this map can do this work in reasonable time.
fn is_supported<S: Subject>(work: Work, keys: u64) -> bool {
    match work {
        Work::Snapshots | Work::InsertSnapshots => S::HAS_SNAPSHOTS || keys <= 10_000,
        Work::Roots => S::HAS_ROOTS,
        _ => true,
    }
}

/// How a choice is written on the command line.
fn name(choice: impl ValueEnum) -> String {
    choice.to_possible_value().expect("none is hidden").get_name().to_owned()
}
