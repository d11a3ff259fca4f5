//! What a replica of a test keeps over a crash besides its identity: the records of its journal.

use std::collections::VecDeque;

use viewstamped_protocol::*;

use super::Group;

#[derive(Clone, Default)]
pub struct Disk {
    pub written: Vec<Record>,
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
        Some(Surviving { is_whole, ..surviving })
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
            disk.written.push(record);
            self.input(id, Input::Persisted { sequence });
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
