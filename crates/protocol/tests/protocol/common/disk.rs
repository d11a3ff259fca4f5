//! What a replica of a test keeps over a crash besides its identity: the records of its journal.

use std::collections::VecDeque;

use viewstamped_protocol::*;

use super::Group;

#[derive(Clone, Default)]
pub struct Disk {
    pub written: Vec<Record>,
    /// Given to a disk that is stuck, with their numbers.
    pub waiting: VecDeque<(u64, Record)>,
    /// The durable checkpoint, and one that waits for its record.
    pub checkpoint: Option<Checkpoint>,
    pub unsaved: Option<(u64, Checkpoint)>,
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
        let stands_on = |rebase: &Rebase| self.checkpoint.as_ref().is_none_or(|saved| rebase.base == saved.id.op);
        let is_beginning = |record: &Record| matches!(record, Record::Rebase(rebase) if stands_on(rebase));
        let last = self.written.iter().rposition(is_beginning)?;
        let checkpoint = self.checkpoint.clone();
        // What precedes the last whole state may be there or not, and makes no difference.
        let surviving = Surviving::replay(self.written.iter().cloned()).expect("a journal makes sense");
        let tail = Surviving::replay(self.written[last..].iter().cloned()).expect("any whole state is a beginning");
        assert_eq!(
            (tail.view, tail.log_view, &tail.crash_vector),
            (surviving.view, surviving.log_view, &surviving.crash_vector)
        );
        assert_eq!((tail.commit, tail.log.head_hash()), (surviving.commit, surviving.log.head_hash()));
        Some(Surviving { checkpoint, is_whole, ..tail })
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

    /// The journal may begin with the record that stands on this checkpoint.
    fn save_checkpoint(&mut self, id: NodeId, checkpoint: Checkpoint) {
        let op = checkpoint.id.op;
        self.disk(id.0).checkpoint = Some(checkpoint);
        self.input(id.0, Input::CheckpointSaved { op });
    }

    /// A checkpoint is to be saved when the record with this number is durable.
    pub(super) fn keep_checkpoint(&mut self, id: NodeId, sequence: u64, checkpoint: Checkpoint) {
        let disk = self.disks.entry(id).or_default();
        if disk.waiting.iter().any(|(number, _)| *number <= sequence) {
            disk.unsaved = Some((sequence, checkpoint));
        } else {
            self.save_checkpoint(id, checkpoint);
        }
    }

    /// The disk of this replica writes the oldest of what waits.
    pub fn write_records(&mut self, id: u64, count: usize) {
        for _ in 0..count {
            let disk = self.disks.entry(NodeId(id)).or_default();
            let Some((sequence, record)) = disk.waiting.pop_front() else { return };
            disk.written.push(record);
            let saved = disk.unsaved.take_if(|(waits_for, _)| *waits_for <= sequence);
            self.input(id, Input::Persisted { sequence });
            if let Some((_, checkpoint)) = saved {
                self.save_checkpoint(NodeId(id), checkpoint);
            }
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
