//! Any sequence of calls, crashes and errors against the plainest model: a list of records and how many of them are durable.

use proptest::prelude::*;

use super::*;
use crate::io::Fault;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Sync,
    Release(u64),
    Break { gap: u64 },
    Fault { after: u64, fault: Fault },
    Reopen,
    PowerCut(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fault = prop_oneof![Just(Fault::Error), Just(Fault::NoSpace), Just(Fault::PowerCut)];
    let step = prop_oneof![
        8 => prop_oneof![0..200_usize, 0..6000_usize].prop_map(Step::Append),
        6 => Just(Step::Sync),
        2 => (0..30_u64).prop_map(Step::Release),
        1 => (0..10_u64).prop_map(|gap| Step::Break { gap }),
        1 => (0..4_u64, fault).prop_map(|(after, fault)| Step::Fault { after, fault }),
        1 => Just(Step::Reopen),
        1 => any::<u64>().prop_map(Step::PowerCut),
    ];
    prop::collection::vec(step, 1..120)
}

/// The smallest ring, so that it wraps and fills.
const TINY: JournalOptions = JournalOptions { bytes: 24 << 10, step_bytes: 8 << 10, batch_bytes: 4 << 10 };

struct Model {
    disk: SimulatedDisk,
    journal: Journal,
    from: Option<Position>,
    /// All records since `from`, numbered, with those that are not durable.
    records: VecDeque<(u64, Vec<u8>)>,
    /// How many are durable.
    durable: usize,
    is_broken: bool,
    /// After a sync failed and the replica was restarted without a power cut, what was prepared may be missing after the next one.
    /// That is a doubt, though a needless one.
    has_sync_failed: bool,
    is_doubtful: bool,
}

impl Model {
    fn new() -> Self {
        let disk = SimulatedDisk::new();
        let journal = Journal::create(&disk, OWNER, TINY, 0, None).unwrap();
        Self {
            disk,
            journal,
            from: None,
            records: VecDeque::new(),
            durable: 0,
            is_broken: false,
            has_sync_failed: false,
            is_doubtful: false,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(length) => {
                let sequence = self.journal.next();
                let bytes = vec![sequence as u8 ^ length as u8; length];
                match self.journal.append(sequence, &[&bytes]) {
                    Ok(()) => self.records.push_back((sequence, bytes)),
                    Err(JournalError::Broken { since }) => assert!(self.is_broken && since == sequence),
                    // The batch of the oldest record that is needed takes space, too, so when is not this model's business.
                    Err(JournalError::Full { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Sync => match self.journal.sync() {
                Ok(()) => self.durable = self.records.len(),
                Err(JournalError::Poisoned { .. }) => {
                    self.has_sync_failed = true;
                    self.reopen();
                }
                Err(JournalError::Io { .. }) => self.restore_power(0),
                Err(error) => panic!("{error}"),
            },
            Step::Release(keep) => self.release(keep as usize),
            Step::Break { gap } => self.break_and_begin_again(gap),
            Step::Fault { after, fault } => self.disk.fail_call(self.disk.calls() + after, fault),
            Step::Reopen => self.reopen(),
            Step::PowerCut(seed) => self.restore_power(seed),
        }
    }

    fn release(&mut self, keep: usize) {
        let release = self.durable.saturating_sub(keep.max(1));
        if release == 0 {
            return;
        }
        self.records.drain(..release);
        self.durable -= release;
        let sequence = self.records[0].0;
        self.from = Some(self.journal.position_of(sequence).unwrap());
        self.journal.release(sequence);
    }

    fn break_and_begin_again(&mut self, gap: u64) {
        self.journal.mark_broken();
        self.is_broken = true;
        self.records.truncate(self.durable);
        let sequence = self.journal.next() + gap;
        if self.journal.begin_again(sequence, &[b"everything"]).is_ok() {
            self.records.push_back((sequence, b"everything".to_vec()));
            self.is_broken = false;
        }
    }

    fn restore_power(&mut self, seed: u64) {
        let mut random = Random(seed);
        self.disk.cut_power(&mut |bound| random.below(bound));
        self.reopen();
    }

    /// A restart. Faults may be waiting for it: then it is tried again, as an operator does.
    fn reopen(&mut self) {
        loop {
            if let Ok(opened) = Journal::open(&self.disk, OWNER, TINY, self.from) {
                self.check(&opened);
                match (opened.verdict, opened.journal) {
                    (_, Some(journal)) => {
                        self.records.truncate(opened.records.len());
                        self.durable = self.records.len();
                        self.is_broken = false;
                        self.journal = journal;
                        return;
                    }
                    (Verdict::Doubtful(Doubt { reason: Reason::Unreadable(_) | Reason::Unconfirmed(_), .. }), None) => {
                    }
                    (verdict, None) => {
                        assert!(self.has_sync_failed, "{verdict:?}");
                        self.is_doubtful = true;
                        return;
                    }
                }
            }
            self.disk.cut_power(&mut |bound| bound - 1);
        }
    }

    fn check(&self, opened: &Opened) {
        let found = opened.records.iter().map(|record| (record.sequence, record.bytes.to_vec()));
        let known = self.records.iter().take(opened.records.len()).cloned();
        assert!(found.eq(known), "a record that was not written");
        assert!(!opened.verdict.is_certain() || opened.records.len() >= self.durable, "a durable record is missing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_behaves_like_a_list_that_forgets_what_was_not_synced(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
            if model.is_doubtful {
                return Ok(());
            }
        }
        model.restore_power(1);
    }
}
