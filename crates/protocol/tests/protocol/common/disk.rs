//! What a replica of a test keeps over a crash besides its identity: the records of its journal.

use std::collections::VecDeque;

use viewstamped_protocol::checkpoint::Checkpoint;
use viewstamped_protocol::*;

use super::Group;

#[derive(Clone, Default)]
pub struct Disk {
    pub written: Vec<Record>,
    /// The numbers of these records.
    numbers: Vec<u64>,
    /// The checkpoint at which the next start begins.
    pub checkpoint: Option<Checkpoint>,
    /// One that waits for the record above it.
    saving: Option<(Checkpoint, u64)>,
    /// Given to a disk that is stuck, with their numbers.
    pub waiting: VecDeque<(u64, Record)>,
    pub is_stuck: bool,
    /// The directory is marked as cleanly shut down.
    pub is_clean: bool,
    /// Something on it is damaged.
    pub is_doubtful: bool,
}

impl Disk {
    /// What a start finds. The mark of a clean shutdown is good for one start.
    fn surviving(&mut self, durability: Durability) -> Option<Surviving> {
        let is_clean = std::mem::take(&mut self.is_clean) || durability == Durability::Synchronous;
        let is_whole = is_clean && !std::mem::take(&mut self.is_doubtful);
        let last = self.written.iter().rposition(|record| matches!(record, Record::Rebase(_)))?;
        // What precedes the last whole state may be there or not, and makes no difference.
        let surviving = Surviving::replay(self.written.iter().cloned()).expect("a journal makes sense");
        let tail = Surviving::replay(self.written[last..].iter().cloned()).expect("any whole state is a beginning");
        assert_eq!(
            (tail.view, tail.log_view, &tail.crash_vector),
            (surviving.view, surviving.log_view, &surviving.crash_vector)
        );
        assert_eq!((tail.commit, tail.log.head_hash()), (surviving.commit, surviving.log.head_hash()));
        Some(Surviving { is_whole, checkpoint: self.checkpoint.clone(), ..surviving })
    }

    /// A crash: what waits is lost.
    pub fn lose_what_waits(&mut self) {
        self.waiting.clear();
        self.saving = None;
        // The next process counts from 1 again.
        self.numbers.fill(0);
    }

    fn write(&mut self, sequence: u64, record: Record) {
        self.written.push(record);
        self.numbers.push(sequence);
    }

    /// The checkpoint that waits, if the record above it is written: the next start begins there.
    fn finish_saving(&mut self) -> Option<OpNumber> {
        let (_, sequence) = self.saving.as_ref()?;
        let place = self.numbers.iter().rposition(|number| number == sequence)?;
        self.written.drain(..place);
        self.numbers.drain(..place);
        self.checkpoint = self.saving.take().map(|(checkpoint, _)| checkpoint);
        self.checkpoint.as_ref().map(|checkpoint| checkpoint.id.op)
    }
}

impl Group {
    /// What starts find on the disk of this replica.
    pub(super) fn surviving(&mut self, id: NodeId) -> Option<Surviving> {
        let durability = self.durability;
        self.disks.entry(id).or_default().surviving(durability)
    }

    pub(super) fn journal_record(&mut self, id: NodeId, sequence: u64, record: Record) {
        let disk = self.disks.entry(id).or_default();
        disk.waiting.push_back((sequence, record));
        if !disk.is_stuck {
            self.write_records(id.0, usize::MAX);
        }
    }

    /// The disk of this replica writes the oldest of what waits.
    pub fn write_records(&mut self, id: u64, count: usize) {
        for _ in 0..count {
            let disk = self.disks.entry(NodeId(id)).or_default();
            let Some((sequence, record)) = disk.waiting.pop_front() else { return };
            disk.write(sequence, record);
            self.input(id, Input::Persisted { sequence });
            self.finish_saving(id);
        }
    }

    pub(super) fn save_checkpoint(&mut self, id: NodeId, checkpoint: Checkpoint, sequence: u64) {
        self.disk(id.0).saving = Some((checkpoint, sequence));
        self.finish_saving(id.0);
    }

    fn finish_saving(&mut self, id: u64) {
        if let Some(op) = self.disk(id).finish_saving() {
            self.input(id, Input::CheckpointSaved { op });
        }
    }

    pub fn disk(&mut self, id: u64) -> &mut Disk {
        self.disks.entry(NodeId(id)).or_default()
    }

    /// The replica stops so that it can start again without recovery.
    pub fn shut_down(&mut self, id: u64) {
        self.disk(id).is_stuck = false;
        self.input(id, Input::ShutDown);
        self.write_records(id, usize::MAX);
        self.crash(id);
    }
}
