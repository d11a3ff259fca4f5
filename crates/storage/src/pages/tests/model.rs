//! Everything in any order, against a model that knows which checkpoints may be found.

use proptest::prelude::*;

use super::*;
use crate::io::{Disk, Fault};

#[derive(Clone, Debug)]
enum Step {
    /// Saves a checkpoint after so many operations, in steps of so many bytes.
    Save(u64, usize),
    /// Begins one and gives it up after so many steps.
    GiveUp(u64, usize),
    /// The process ends and begins again.
    Restart,
    /// Something goes wrong so many calls later, while a checkpoint is saved.
    Fault(u64, Fault),
    /// Afterwards the power is gone, too; what survives is chosen by the number.
    PowerCut(u64, u64),
    /// The disk has room for so many bytes more, or for any number.
    Space(Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![Just(Fault::Error), Just(Fault::NoSpace)];
    prop_oneof![
        5 => (0..60u64, 200..20_000usize).prop_map(|(operations, bytes)| Step::Save(operations, bytes)),
        1 => (0..60u64, 0..20usize).prop_map(|(operations, steps)| Step::GiveUp(operations, steps)),
        2 => Just(Step::Restart),
        2 => (0..20u64, fault).prop_map(|(call, fault)| Step::Fault(call, fault)),
        2 => (0..20u64, any::<u64>()).prop_map(|(call, seed)| Step::PowerCut(call, seed)),
        1 => prop::option::of(0..20_000u64).prop_map(Step::Space),
    ]
}

struct Model {
    disk: SimulatedDisk,
    replica: Replica,
    pages: PageFile,
    /// The newest checkpoint that was reported durable.
    durable: Option<CheckpointFiles>,
    /// Newer ones whose superblock may have been written.
    uncertain: Vec<CheckpointFiles>,
}

impl Model {
    fn new() -> Self {
        let disk = SimulatedDisk::new();
        let (pages, _) = open(&disk);
        Self { disk, replica: Replica::new(40), pages, durable: None, uncertain: Vec::new() }
    }

    fn save(&mut self, operations: u64, step_bytes: usize) {
        let checkpoint = self.replica.checkpoint(operations + 1);
        match save(&mut self.pages, &checkpoint, step_bytes) {
            Ok(_) => {
                self.durable = Some(checkpoint);
                self.uncertain.clear();
            }
            Err(error) => {
                self.uncertain.push(checkpoint);
                if error.is_final() {
                    self.restart();
                }
            }
        }
    }

    fn restart(&mut self) {
        let (pages, opened) = open(&self.disk);
        self.pages = pages;
        let Some(loaded) = opened.checkpoint else {
            assert_eq!(opened.verdict, Verdict::Empty);
            assert!(self.durable.is_none(), "a durable checkpoint is lost");
            return;
        };
        assert_eq!(opened.verdict, Verdict::Sound);
        assert_is_one_of(&loaded, self.uncertain.iter().chain(&self.durable));
    }

    fn carry_out(&mut self, step: &Step) {
        match *step {
            Step::Save(operations, bytes) => self.save(operations, bytes),
            Step::GiveUp(operations, steps) => {
                let checkpoint = self.replica.checkpoint(operations + 1);
                let mut given_up = self.pages.begin(checkpoint.clone(), journal(&checkpoint));
                let mut is_saved = false;
                for _ in 0..steps {
                    let step = if given_up.is_ok() { self.pages.step(500) } else { Ok(None) };
                    is_saved |= matches!(step, Ok(Some(Progress::Saved { .. })));
                    given_up = step.map(drop);
                }
                self.pages.abandon();
                if is_saved {
                    (self.durable, self.uncertain) = (Some(checkpoint), Vec::new());
                } else {
                    self.uncertain.push(checkpoint);
                }
                if given_up.is_err_and(|error| error.is_final()) {
                    self.restart();
                }
            }
            Step::Restart => self.restart(),
            Step::Fault(call, fault) => {
                let call = self.disk.calls() + call;
                self.disk.fail_call(call, fault);
                // It must not happen while the file is opened: that is another test.
                while self.disk.calls() <= call {
                    self.save(5, 2000);
                }
            }
            Step::PowerCut(call, seed) => {
                let checkpoint = self.replica.checkpoint(30);
                let call = self.disk.calls() + call;
                self.disk.fail_call(call, Fault::PowerCut);
                match save(&mut self.pages, &checkpoint, 2000) {
                    Ok(_) => (self.durable, self.uncertain) = (Some(checkpoint), Vec::new()),
                    Err(_) => self.uncertain.push(checkpoint),
                }
                while self.disk.calls() <= call {
                    // It comes while nothing is done.
                    let _ = self.disk.open("nothing");
                }
                let mut numbers = Numbers(seed);
                self.disk.cut_power(&mut |bound| numbers.below(bound));
                self.restart();
            }
            Step::Space(bytes) => {
                let used = self.disk.content(PAGES).map_or(0, |content| content.len() as u64);
                self.disk.set_space(bytes.map(|bytes| used + bytes));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_in_whatever_order_no_durable_checkpoint_is_lost(steps in prop::collection::vec(step(), 1..30)) {
        let mut model = Model::new();
        steps.iter().for_each(|step| model.carry_out(step));
        // And at the end everything works, without a restart.
        model.disk.set_space(None);
        let checkpoint = model.replica.checkpoint(10);
        save(&mut model.pages, &checkpoint, 4000).expect("nothing is wrong any more");
        model.disk.cut_power(&mut |_| 0);
        assert_is(&open(&model.disk).1.checkpoint.unwrap(), &checkpoint);
    }
}
