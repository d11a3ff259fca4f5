//! A count-min sketch on three replicas: how often was each word seen, roughly, in 2 MiB however many words there are.
//!
//! Its data is four rows of counters, no map. So it pages for itself: it notes which pages an operation touches, and hands those over
//! when a checkpoint is taken. The replicas cut their logs by it, and a replica that was away fetches the pages that differ.

use std::collections::BTreeSet;

use viewstamped::{Bytes, Cluster, OpNumber, Operation, PageSet, PageSetMut, PagedService, SelfPaging};

const ROWS: usize = 4;
const COLUMNS: usize = 65_536;
const PAGE: usize = 512; // Counters: 4 KiB.

#[derive(Clone)]
struct Sketch {
    counters: Vec<u64>,
    changed: BTreeSet<usize>,
}

impl PagedService for Sketch {
    fn execute(&mut self, operation: Operation<'_>) -> Bytes {
        let places = (0..ROWS).map(|row| row * COLUMNS + hash(row, operation.payload) % COLUMNS);
        let counts = places.map(|place| {
            self.counters[place] += 1;
            self.changed.insert(place / PAGE);
            self.counters[place]
        });
        Bytes::from(counts.min().unwrap().to_string())
    }

    fn take_checkpoint(&mut self, _: OpNumber, pages: &mut PageSetMut<'_>) {
        for number in std::mem::take(&mut self.changed) {
            let counters = &self.counters[number * PAGE..(number + 1) * PAGE];
            pages.put(number as u64, &counters.iter().flat_map(|count| count.to_le_bytes()).collect::<Vec<u8>>());
        }
    }

    fn restore(&mut self, pages: PageSet<'_>) {
        self.counters.fill(0);
        for (number, page) in pages.iter() {
            for (counter, bytes) in self.counters[number as usize * PAGE..].iter_mut().zip(page.as_chunks().0) {
                *counter = u64::from_le_bytes(*bytes);
            }
        }
    }
}

/// FNV-1a: the same on every machine and in every release, as what decides about replicated data must be.
fn hash(row: usize, word: &[u8]) -> usize {
    let begin = 0xcbf2_9ce4_8422_2325 ^ (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = word.iter().fold(begin, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 32) as usize
}

fn sketch() -> SelfPaging<Sketch> {
    SelfPaging::new(Sketch { counters: vec![0; ROWS * COLUMNS], changed: BTreeSet::new() })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut cluster = Cluster::start_local(3, sketch)?;
    let client = cluster.client()?;
    for word in "the quick brown fox jumps over the lazy dog and the cat".split(' ') {
        let count = client.execute(word.to_owned()).await?;
        println!("{word}: seen {} times", String::from_utf8_lossy(&count.result));
    }
    let primary = cluster.primary(std::time::Duration::from_secs(10)).await.ok_or("no primary")?;
    cluster.kill(primary);
    println!("killed replica {primary}, the primary");
    let count = client.execute("the").await?;
    println!("the: seen {} times", String::from_utf8_lossy(&count.result));
    cluster.restart(primary, sketch())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sketch_is_restored_from_the_pages_of_another() {
        use viewstamped::{ClientId, Service, State, Timestamp};
        let (mut one, mut other, mut state) = (sketch(), sketch(), State::default());
        let word = Bytes::from_static(b"word");
        let operation = |predicted| Operation {
            op: OpNumber(1),
            timestamp: Timestamp(1),
            client: ClientId(1),
            payload: &word,
            predicted,
        };
        let nothing = Bytes::new();
        assert_eq!(one.execute(&mut state, operation(&nothing)), "1");
        one.take_checkpoint(&mut state, OpNumber(1));
        other.restored(&state);
        assert_eq!(other.execute(&mut state, operation(&nothing)), "2");
        assert!(state.len() <= ROWS, "only the pages that were touched");
    }
}
