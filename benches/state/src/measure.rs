//! Carrying out the work, and what it takes.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use crate::subjects::Subject;
use crate::{Map, Options, Work, is_supported, name};

/// How many overwrites lie between two snapshots or roots.
const INTERVAL: u64 = 100;

/// Keys of one length, one behind the other in the order of their use, so that reading them costs next to nothing.
pub struct Keys {
    bytes: usize,
    all: Vec<u8>,
}

impl Keys {
    /// All keys once, in ascending order or in one that looks random.
    pub fn new(count: u64, bytes: usize, is_random: bool) -> Self {
        // Neither even nor a multiple of five, as the usual numbers of keys are: every key comes once before one comes again.
        let step = if is_random { 6_180_339_887 } else { 1 };
        let all = (0..count).flat_map(|turn| format!("{:0bytes$}", turn * step % count).into_bytes()).collect();
        Self { bytes, all }
    }

    /// So many keys from this one on.
    pub fn range(&self, from: u64, count: u64) -> impl Iterator<Item = &[u8]> {
        let from = from as usize % (self.all.len() / self.bytes);
        self.all.chunks_exact(self.bytes).cycle().skip(from).take(count as usize)
    }

    pub fn each(&self, turns: u64, mut work: impl FnMut(u64, &[u8])) {
        self.all.chunks_exact(self.bytes).cycle().zip(0..turns).for_each(|(key, turn)| work(turn, key));
    }
}

pub fn fill<S: Subject>(keys: u64, options: &Options, is_random: bool) -> S {
    let mut map = S::default();
    let value = vec![b'v'; options.value_bytes];
    Keys::new(keys, options.key_bytes, is_random).each(keys, |_, key| map.put(key, &value));
    map
}

/// Prepares the work, then hands what remains of it to `measure` with the number of operations.
fn prepare<S: Subject, T>(
    work: Work,
    keys: u64,
    options: &Options,
    measure: impl FnOnce(u64, &mut dyn FnMut(u64)) -> T,
) -> T {
    let names = Keys::new(keys, options.key_bytes, work != Work::Append);
    let mut value = vec![b'w'; options.value_bytes];
    let is_filled = !matches!(work, Work::Insert | Work::InsertSnapshots | Work::Append | Work::Memory);
    let mut map: S = if is_filled { fill(keys, options, true) } else { S::default() };
    let mut snapshot = map.clone();
    snapshot.root();
    if work != Work::Snapshots {
        snapshot = S::default();
    }
    let count = match work {
        Work::Get | Work::Overwrite | Work::Snapshots | Work::Roots => options.operations,
        _ => keys,
    };
    measure(count, &mut |operations| match work {
        Work::Get => names.each(operations, |_, key| {
            black_box(map.get(key));
        }),
        Work::Remove => names.each(operations, |_, key| map.remove(key)),
        Work::Scan => {
            black_box(map.scan());
        }
        _ => names.each(operations, |turn, key| {
            value[0] = turn as u8;
            if matches!(work, Work::Snapshots | Work::InsertSnapshots) && turn % INTERVAL == 0 {
                snapshot = map.clone();
            }
            match work {
                Work::Insert | Work::InsertSnapshots | Work::Append => map.put(key, &value),
                _ => map.overwrite(key, &value),
            }
            if work == Work::Roots && turn % INTERVAL == 0 {
                map.root();
            }
        }),
    })
}

/// Only the work.
pub fn bare<S: Subject>(work: Work, keys: u64, options: &Options) {
    if work == Work::Memory {
        let (mut map, value) = (S::default(), vec![b'v'; options.value_bytes]);
        let names = Keys::new(keys, options.key_bytes, true);
        let before = resident_bytes();
        names.each(keys, |_, key| map.put(key, &value));
        println!("{}", resident_bytes() - before);
        drop(black_box(map));
        return;
    }
    prepare::<S, ()>(work, keys, options, |_, run| run(options.operations));
}

/// A line of the table.
#[derive(Debug)]
pub struct Figure {
    pub keys: u64,
    pub work: Work,
    pub map: Map,
    pub measured: Measured,
}

/// What there is to say of a map and a work.
#[derive(Debug)]
pub enum Measured {
    /// The nanoseconds and the instructions of an operation.
    Time(f64, Option<f64>),
    /// The memory of the map, by the bytes of its keys and values.
    Memory(f64),
}

impl Figure {
    /// `None` when the map cannot do this work in reasonable time.
    pub fn of<S: Subject>(map: Map, work: Work, keys: u64, options: &Options) -> Option<Self> {
        if !is_supported::<S>(work, keys) {
            return None;
        }
        let figure = |measured| Some(Self { keys, work, map, measured });
        if work == Work::Memory {
            let bytes: f64 = child(map, work, keys, 0, options, false).trim().parse().ok()?;
            let payload = (options.key_bytes + options.value_bytes) as f64;
            return figure(Measured::Memory(bytes / keys as f64 / payload));
        }
        let rounds = if keys > 1_000_000 { 1 } else { options.rounds };
        let rounds = (0..rounds).map(|_| prepare::<S, f64>(work, keys, options, timed));
        let nanoseconds = median(rounds.collect());
        let instructions = options.instructions.then(|| {
            let is_once = !matches!(work, Work::Get | Work::Overwrite | Work::Snapshots | Work::Roots);
            let all = if is_once { keys } else { 200_000 };
            let count = |operations| instructions(&child(map, work, keys, operations, options, true));
            (count(all) - count(0)) / all as f64
        });
        figure(Measured::Time(nanoseconds, instructions))
    }
}

pub fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9}  {:<16} {:<6}  ", self.keys, name(self.work), name(self.map))?;
        match self.measured {
            Measured::Time(nanoseconds, None) => write!(f, "{nanoseconds:>9.0}"),
            Measured::Time(nanoseconds, Some(count)) => write!(f, "{nanoseconds:>9.0}  {count:>12.0}"),
            Measured::Memory(ratio) => write!(f, "{ratio:>9.2} x the payload"),
        }
    }
}

fn timed(operations: u64, run: &mut dyn FnMut(u64)) -> f64 {
    let (start, cpu) = (Instant::now(), cpu_nanoseconds());
    run(operations);
    let wall = start.elapsed().as_secs_f64() * 1e9;
    // The processor's time is counted in ticks of some milliseconds.
    let cpu = cpu.zip(cpu_nanoseconds()).map(|(before, after)| (after - before) as f64).filter(|cpu| *cpu > 50e6);
    cpu.unwrap_or(wall) / operations as f64
}

/// The time this thread was on a processor. The time on the wall has to do where there is none.
fn cpu_nanoseconds() -> Option<u64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux tells the memory of a process");
    let pages: u64 =
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second field is a number");
    pages * 4096
}

/// Runs this program once more, for one round of work. Returns what it said, or what `perf` said of it.
fn child(map: Map, work: Work, keys: u64, operations: u64, options: &Options, is_counted: bool) -> String {
    let this = std::env::current_exe().expect("this program has a file");
    let mut command = Command::new(if is_counted { "perf".into() } else { this.clone() });
    if is_counted {
        command.args(["stat", "-x,", "-e", "instructions:u"]).arg(this);
    }
    command.args(["--bare", "--maps", &name(map), "--works", &name(work)]);
    command.args(["--keys", &keys.to_string(), "--operations", &operations.to_string()]);
    command.args(["--key-bytes", &options.key_bytes.to_string(), "--value-bytes", &options.value_bytes.to_string()]);
    let output = command.output().expect("perf is installed");
    let said = if is_counted { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&said).into_owned()
}

fn instructions(perf: &str) -> f64 {
    let line = perf.lines().find(|line| line.contains("instructions"));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(f64::NAN)
}
