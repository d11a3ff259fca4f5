//! What all tests of the page file work with.

mod choice;
mod crash;
mod examine;
mod fault;
mod format;
mod growth;
mod model;
mod rot;

use viewstamped_protocol::ClusterId;
use viewstamped_state::{PageOptions, State};

use super::*;
use crate::io::SimulatedDisk;

const CLUSTER: ClusterId = ClusterId(7);

/// Numbers that look random and are the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// A replica whose state moves on: small pages, long keys and values, equal ones among them, and now and then much is removed.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    numbers: Numbers,
    op: u64,
    service: State,
    client_table: State,
}

impl Replica {
    pub(crate) fn new(seed: u64) -> Self {
        let state = || State::with_options(PageOptions::new(PageOptions::PAGE_BYTES_MIN).unwrap());
        Self { numbers: Numbers(seed), op: 0, service: state(), client_table: state() }
    }

    /// Executes some operations, and takes a checkpoint.
    pub(crate) fn checkpoint(&mut self, operations: u64) -> CheckpointFiles {
        for _ in 0..operations {
            self.op += 1;
            let number = self.numbers.below(200);
            let key = if number.is_multiple_of(20) { vec![number as u8; 60] } else { number.to_be_bytes().to_vec() };
            match self.numbers.below(10) {
                0..3 => assert!(self.service.remove(&key) || !self.service.contains(&key)),
                // One of few long values, so that keys share them.
                3 => {
                    let value = [self.numbers.below(4) as u8; 700];
                    self.service.put(&key, &value);
                }
                _ => {
                    let bytes = self.numbers.below(60);
                    self.service.put(&key, &self.numbers.bytes(bytes));
                }
            }
            self.client_table.put(&self.numbers.below(5).to_be_bytes(), &self.op.to_be_bytes());
        }
        if self.numbers.below(8) == 0 {
            let keys: Vec<Vec<u8>> = self.service.range(..).map(|(key, _)| key.to_vec()).collect();
            for key in keys.iter().skip(3) {
                self.service.remove(key);
            }
        }
        let mut header = format!("checkpoint at {}", self.op).into_bytes();
        header.resize(header.len() + self.numbers.below(1500) as usize, 1);
        checkpoint(self.op, header, &self.service, &self.client_table)
    }
}

pub(crate) fn checkpoint(op: u64, header: Vec<u8>, service: &State, client_table: &State) -> CheckpointFiles {
    CheckpointFiles {
        id: CheckpointId { op, root: blake3::hash(&header).into() },
        header: header.into(),
        service: service.snapshot(),
        client_table: client_table.snapshot(),
    }
}

fn journal(checkpoint: &CheckpointFiles) -> JournalPosition {
    JournalPosition { sequence: checkpoint.id.op * 3, sector: checkpoint.id.op + 1 }
}

/// Saves a checkpoint in steps of so many bytes.
fn save(pages: &mut PageFile, checkpoint: &CheckpointFiles, step_bytes: usize) -> Result<u64, SaveError> {
    pages.begin(checkpoint.clone(), journal(checkpoint))?;
    loop {
        match pages.step(step_bytes)?.expect("it was begun") {
            Progress::Writing { .. } => {}
            Progress::Saved { id, bytes } => {
                assert_eq!((id, pages.newest()), (checkpoint.id, Some(id)));
                return Ok(bytes);
            }
        }
    }
}

fn open(disk: &SimulatedDisk) -> (PageFile, Opened) {
    PageFile::open(disk, CLUSTER).unwrap()
}

/// What was found is exactly this checkpoint.
fn assert_is(loaded: &Loaded, expected: &CheckpointFiles) {
    let Loaded { id, header, service, client_table, journal: found } = loaded;
    assert_eq!((id, header, *found), (&expected.id, &expected.header, journal(expected)));
    // The hashes that were read are not asked here, only what can be read.
    assert!(service.range(..).eq(expected.service.range(..)), "another service state");
    assert!(client_table.range(..).eq(expected.client_table.range(..)), "another client-table");
    assert_eq!((service.root(), client_table.root()), (expected.service.root(), expected.client_table.root()));
    assert_eq!((service.len(), service.bytes()), (expected.service.len(), expected.service.bytes()));
}

/// What was found is one of these checkpoints.
fn assert_is_one_of<'c>(loaded: &Loaded, mut expected: impl Iterator<Item = &'c CheckpointFiles>) {
    let expected = expected.find(|expected| expected.id == loaded.id);
    assert_is(loaded, expected.expect("one that was saved"));
}

#[test]
fn a_new_file_is_empty_and_no_doubt() {
    let disk = SimulatedDisk::new();
    let (_, opened) = open(&disk);
    assert!(opened.checkpoint.is_none() && opened.verdict == Verdict::Empty);
    let (_, opened) = open(&disk);
    assert!(opened.checkpoint.is_none() && opened.verdict == Verdict::Empty);
}

#[test]
fn the_newest_of_many_checkpoints_is_found_also_when_others_were_opened_and_given_up_between() {
    let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(1));
    for round in 0..60 {
        let (mut pages, _) = open(&disk);
        let given_up = replica.checkpoint(9);
        pages.begin(given_up.clone(), journal(&given_up)).unwrap();
        pages.step(2000).unwrap();
        let mut newest = given_up;
        for _ in 0..round % 3 + 1 {
            newest = replica.checkpoint(30);
            save(&mut pages, &newest, 1 << 20).unwrap();
        }
        let (reopened, opened) = open(&disk);
        assert_eq!(opened.verdict, Verdict::Sound);
        assert_is(&opened.checkpoint.unwrap(), &newest);
        assert_eq!(reopened.used_bytes(), pages.used_bytes(), "what is in use is found again exactly");
    }
}

#[test]
fn only_what_changed_is_written() {
    let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(2));
    let (mut pages, _) = open(&disk);
    let first = save(&mut pages, &replica.checkpoint(500), 1 << 20).unwrap();
    replica.service.put(&5u64.to_be_bytes(), b"changed");
    let state = (replica.service.clone(), replica.client_table.clone());
    let second = save(&mut pages, &checkpoint(600, vec![], &state.0, &state.1), 1 << 20).unwrap();
    assert!(second * 5 < first, "{second} bytes after {first}");
    let third = save(&mut pages, &checkpoint(601, vec![1], &state.0, &state.1), 1 << 20).unwrap();
    assert_eq!(third, 512, "the header alone");
    let fourth = save(&mut pages, &checkpoint(602, vec![1], &state.0, &state.1), 1 << 20).unwrap();
    assert_eq!(fourth, 0, "nothing at all");
    let (_, opened) = open(&disk);
    assert_eq!(opened.checkpoint.unwrap().id.op, 602);
}

#[test]
fn a_file_of_another_cluster_is_refused() {
    let disk = SimulatedDisk::new();
    save(&mut open(&disk).0, &Replica::new(3).checkpoint(10), 4096).unwrap();
    let error = PageFile::open(&disk, ClusterId(8)).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { found: CLUSTER, .. }), "{error}");
}

#[test]
fn a_real_disk_keeps_what_a_simulated_one_does() {
    let scratch = crate::directory::tests::Scratch::new();
    let (disk, mut replica) = (crate::io::RealDisk::new(scratch.path()), Replica::new(4));
    for _ in 0..3 {
        let (mut pages, _) = PageFile::open(&disk, CLUSTER).unwrap();
        save(&mut pages, &replica.checkpoint(200), 3000).unwrap();
        let newest = replica.checkpoint(50);
        save(&mut pages, &newest, 1 << 20).unwrap();
        let (_, opened) = PageFile::open(&disk, CLUSTER).unwrap();
        assert_eq!(opened.verdict, Verdict::Sound);
        assert_is(&opened.checkpoint.unwrap(), &newest);
    }
    assert!(verify(&disk, |_| {}).unwrap().damages.is_empty());
}
