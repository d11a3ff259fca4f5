//! What a batch of the journal costs on a disk, next to the least that a durable write can cost there: overwriting 4 KiB of a file
//! that is already allocated, and `fdatasync`.
//!
//! ```sh
//! cargo run --release -p viewstamped-storage --example journal_speed -- DIRECTORY
//! ```

use std::time::{Duration, Instant};

use viewstamped_protocol::{ClusterId, NodeId};
use viewstamped_storage::io::{Disk, DiskFile, RealDisk};
use viewstamped_storage::journal::{JOURNAL, Journal, JournalOptions, Owner};

const OWNER: Owner = Owner { cluster: ClusterId(1), node: NodeId(0) };

/// Rounds in which all kinds take turns, so that other work on the machine hits all alike.
const ROUNDS: usize = 10;

/// Batches of each kind in a round.
const BATCHES: usize = 400;

/// Records of a batch, and bytes of a record.
const KINDS: [(usize, usize); 4] = [(1, 100), (16, 100), (256, 100), (256, 1024)];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("name a directory on the disk to be measured")?;
    let directory = std::path::Path::new(&directory).join(format!("journal-speed-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let result = measure(&RealDisk::new(&directory));
    std::fs::remove_dir_all(&directory)?;
    result
}

fn measure(disk: &dyn Disk) -> Result<(), Box<dyn std::error::Error>> {
    let plain = plain_file(disk)?;
    let mut journal = filled_journal(disk)?;
    let mut plain_times = Vec::new();
    let mut times = vec![Vec::new(); KINDS.len()];
    for round in 0..ROUNDS {
        for batch in 0..BATCHES {
            let start = Instant::now();
            plain.write_at(&[round as u8; 4096], ((round * BATCHES + batch) * 4096) as u64)?;
            plain.sync_data()?;
            plain_times.push(start.elapsed());
        }
        for ((records, bytes), times) in KINDS.into_iter().zip(&mut times) {
            for _ in 0..BATCHES {
                let start = Instant::now();
                append_and_sync(&mut journal, records, bytes)?;
                times.push(start.elapsed());
                journal.release(journal.durable_before() - 1);
            }
        }
    }
    println!("{:<36}{:>10}{:>10}{:>12}{:>10}", "a durable write of", "p50 us", "p99 us", "batches/s", "MB/s");
    report("4 KiB in place, without a journal", 4096, plain_times);
    for ((records, bytes), times) in KINDS.into_iter().zip(times) {
        report(&format!("{records} records of {bytes} bytes"), records * bytes, times);
    }
    let sequence = journal.durable_before() - 1;
    let from = journal.position_of(sequence);
    drop(journal);
    let start = Instant::now();
    let opened = Journal::open(disk, OWNER, JournalOptions::default(), from)?;
    let megabytes = disk.open(JOURNAL)?.length()? >> 20;
    println!("opening {megabytes} MiB, cached: {:?}, {:?}", start.elapsed(), opened.verdict);
    Ok(())
}

/// A file that is allocated, as large as all that is written to it.
fn plain_file(disk: &dyn Disk) -> std::io::Result<Box<dyn DiskFile>> {
    let file = disk.create("plain")?;
    for batch in 0..ROUNDS * BATCHES {
        file.write_at(&[1; 4096], (batch * 4096) as u64)?;
    }
    file.sync_all()?;
    disk.sync_names()?;
    Ok(file)
}

/// A journal in its second lap.
fn filled_journal(disk: &dyn Disk) -> Result<Journal, Box<dyn std::error::Error>> {
    let options = JournalOptions::default();
    let mut journal = Journal::create(disk, OWNER, options, 1, None)?;
    let start = Instant::now();
    let batches = options.bytes as usize / options.batch_bytes;
    for _ in 0..batches {
        append_and_sync(&mut journal, options.batch_bytes / 1024, 1024)?;
        journal.release(journal.durable_before() - 1);
    }
    let rate = options.bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
    println!("first lap, in batches of {} MiB: {rate:.0} MB/s", options.batch_bytes >> 20);
    let start = Instant::now();
    for _ in 0..batches {
        append_and_sync(&mut journal, options.batch_bytes / 1024, 1024)?;
        journal.release(journal.durable_before() - 1);
    }
    let rate = options.bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
    println!("second lap, in batches of {} MiB: {rate:.0} MB/s", options.batch_bytes >> 20);
    Ok(journal)
}

fn append_and_sync(journal: &mut Journal, records: usize, bytes: usize) -> Result<(), Box<dyn std::error::Error>> {
    let record = vec![7; bytes];
    for _ in 0..records {
        journal.append(journal.next(), &[&record])?;
    }
    Ok(journal.sync()?)
}

fn report(name: &str, bytes: usize, mut times: Vec<Duration>) {
    let total: Duration = times.iter().sum();
    times.sort();
    let micros = |share: usize| times[times.len() * share / 100].as_micros();
    let rate = times.len() as f64 / total.as_secs_f64();
    println!("{name:<36}{:>10}{:>10}{rate:>12.0}{:>10.1}", micros(50), micros(99), rate * bytes as f64 / 1e6);
}
