//! The checkers of the simulator, applied to single states and steps: what they would remember of a run is taken from the state.

use viewstamped_protocol::log::Log;
use viewstamped_protocol::message::Body;
use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{Configuration, NodeId, OpNumber, StatusName};

use crate::checkers::durability::Durability;
use crate::checkers::execution::Execution;
use crate::checkers::log_match::LogMatch;
use crate::checkers::primary::Primary;
use crate::checkers::promise::Promise;
use crate::checkers::quorum::Quorum;
use crate::checkers::recover::Recover;
use crate::checkers::{Checked, Ghost, Replicas, Violation, prefix, replies};
use crate::message_kind::Kind;
use crate::search::steps::{Local, LocalId, Step, StepId, Steps};
use crate::search::table::{Table, folded, mix};
use crate::search::world::World;

/// Judges states.
pub(super) struct Judge {
    configuration: Configuration,
    ghosts: Vec<Ghost>,
    by_content: Table<u32>,
    /// What a step makes of a history.
    continued: Table<u32>,
    /// The sets of logs that were found to match.
    matching: Table<()>,
    durability: Durability,
    quorum: Quorum,
}

/// The replicas of a world, as the checkers see them.
struct Group<'a> {
    steps: &'a Steps,
    locals: &'a [LocalId],
}

impl Replicas for Group<'_> {
    fn probe(&self, place: usize) -> Option<Probe<'_>> {
        Some(self.steps.local(self.locals[place]).probe())
    }
}

impl Judge {
    pub(super) fn new(configuration: &Configuration) -> Self {
        Self {
            configuration: configuration.clone(),
            ghosts: vec![Ghost::default()],
            by_content: Table::new(),
            continued: Table::new(),
            matching: Table::new(),
            durability: Durability::new(configuration.clone()),
            quorum: Quorum::new(configuration.clone()),
        }
    }

    pub(super) fn ghost(&self, number: u32) -> &Ghost {
        &self.ghosts[number as usize]
    }

    /// What this step makes of the history of what was decided and done; checks I-PREFIX, I-EXEC-ONCE, I-STATE, I-EXACTLY-ONCE.
    pub(super) fn continued(
        &mut self,
        ghost: u32,
        steps: &Steps,
        before: LocalId,
        id: StepId,
        step: &Step,
    ) -> Result<u32, Violation> {
        let key = mix(u64::from(ghost) << 32 | u64::from(id));
        if let Some(known) = self.continued.get(key) {
            return Ok(known);
        }
        let mut next = self.ghosts[ghost as usize].clone();
        let (before, after) = (steps.local(before), steps.local(step.next));
        prefix::check(&after.seen, &mut next, &after.probe())?;
        let mut execution = Execution::new(self.configuration.len(), true);
        execution.resume(after.place, before.executed());
        execution.check(after.place, Some(&before.seen), &after.seen, &step.calls, &mut next)?;
        for reply in &step.replies {
            replies::check(&next, reply, true)?;
        }
        let content = digest(&next);
        let number = match self.by_content.get(content) {
            Some(number) => number,
            None => {
                let number = u32::try_from(self.ghosts.len()).expect("fewer histories than states");
                self.ghosts.push(next);
                self.by_content.insert(content, number);
                number
            }
        };
        self.continued.insert(key, number);
        Ok(number)
    }

    /// Checks a state that was not seen before, and the step at `place` that led there, before dead letters are dropped.
    pub(super) fn check(&mut self, steps: &Steps, before: &World, place: usize, step: &Step, world: &World) -> Checked {
        let after = steps.local(step.next);
        if world.ghost != before.ghost {
            self.check_quorum(steps, before, place, world)?;
        }
        let is_word = |kind: Kind| kind == Kind::PrepareOk || kind == Kind::DoViewChange;
        if step.sent.iter().any(|letter| is_word(steps.letters.get(*letter).kind)) {
            check_promises(steps, place, step, world)?;
        }
        if steps.local(before.locals[place]).seen.status == StatusName::Recovering {
            self.check_recovery(steps, before, place, world)?;
        }
        if after.is_primary && after.seen.view.0 > 0 {
            check_primary(steps, after, world)?;
        }
        self.check_logs(steps, world)?;
        self.check_durability(steps, world)
    }

    /// I-QUORUM.
    fn check_quorum(&mut self, steps: &Steps, before: &World, place: usize, world: &World) -> Checked {
        self.quorum.clear();
        for letter in world.letters.iter().map(|letter| steps.letters.get(*letter)) {
            if letter.kind == Kind::PrepareOk || letter.kind == Kind::CommitAck {
                self.quorum.acknowledged(letter.from, letter.view, letter.op);
            }
        }
        let decided_before = self.ghost(before.ghost).head();
        let probe = steps.local(world.locals[place]).probe();
        self.quorum.check(&self.ghosts[world.ghost as usize], decided_before, place, &probe)
    }

    /// I-RECOVER, as far as the acknowledgements are under way.
    fn check_recovery(&self, steps: &Steps, before: &World, place: usize, world: &World) -> Checked {
        let mut recover = Recover::new(world.locals.len());
        for letter in world.letters.iter().map(|letter| steps.letters.get(*letter)) {
            if letter.kind == Kind::PrepareOk {
                recover.acknowledged(letter.from, letter.view, letter.op);
            }
        }
        let (was, is) = (steps.local(before.locals[place]), steps.local(world.locals[place]));
        recover.check(place, Some(&was.seen), &is.seen, &is.probe(), self.ghost(world.ghost))
    }

    /// I-LOGMATCH, among the logs that there are.
    fn check_logs(&mut self, steps: &Steps, world: &World) -> Checked {
        let heads = world.locals.iter().map(|local| folded(steps.local(*local).seen.head.0));
        let key = heads.fold(0, |key, head| mix(key ^ head));
        if self.matching.get(key).is_some() {
            return Ok(());
        }
        let mut log_match = LogMatch::default();
        for local in &world.locals {
            let probe = steps.local(*local).probe();
            log_match.check(probe.id, probe.log)?;
        }
        self.matching.insert(key, ());
        Ok(())
    }

    /// I-DUR and I-VOID.
    fn check_durability(&mut self, steps: &Steps, world: &World) -> Checked {
        let group = Group { steps, locals: &world.locals };
        let ghost = &self.ghosts[world.ghost as usize];
        let seen = world.locals.iter().map(|local| &steps.local(*local).seen);
        self.durability.look_at(seen, &group, ghost);
        for letter in world.letters.iter().map(|letter| steps.letters.get(*letter)) {
            if let (Body::DoViewChange(promise), Some(log)) = (&letter.message.body, &letter.log) {
                self.durability.promised(letter.from, &letter.message.header, promise, log, ghost);
            }
        }
        self.durability.check_everything(&group, ghost)
    }
}

/// I-PROMISE: what was sent now, with the promises of the same life that are under way.
fn check_promises(steps: &Steps, place: usize, step: &Step, world: &World) -> Checked {
    let mut promise = Promise::new(world.locals.len());
    let of_place = |letter: &&crate::search::letters::Letter| letter.from == place;
    let mut promises: Vec<_> = world.letters.iter().map(|letter| steps.letters.get(*letter)).filter(of_place).collect();
    promises.retain(|letter| letter.incarnation == steps.local(step.next).seen.incarnation);
    promises.sort_by_key(|letter| letter.view);
    for letter in promises {
        if let Body::DoViewChange(body) = &letter.message.body {
            // The log is cut no more after a promise: where it begins, a checkpoint was installed.
            let installed = letter.log.as_ref().map_or(OpNumber::ZERO, Log::base);
            promise.promised(place, &letter.message.header, body, installed)?;
        }
    }
    for letter in step.sent.iter().map(|letter| steps.letters.get(*letter)) {
        if letter.kind == Kind::PrepareOk {
            promise.acknowledged(place, &letter.message.header)?;
        }
    }
    Ok(())
}

/// I-PRIMARY: of the lives of a node that have started a view, as far as their STARTVIEWs are under way, and those who lead it now.
fn check_primary(steps: &Steps, after: &Local, world: &World) -> Checked {
    let mut primary = Primary::default();
    for letter in world.letters.iter().map(|letter| steps.letters.get(*letter)) {
        if letter.kind == Kind::StartView && letter.view == after.seen.view {
            primary.claimed(letter.view, letter.message.header.from, letter.incarnation)?;
        }
    }
    primary.claimed(after.seen.view, NodeId(after.seen.id.0), after.seen.incarnation)
}

/// A number that differs for different histories.
fn digest(ghost: &Ghost) -> u64 {
    let mut digest = mix(ghost.executed().0);
    for op in 1..=ghost.head().0 {
        let decided = ghost.committed(OpNumber(op)).expect("decided");
        digest = mix(digest ^ folded(decided.hash.0) ^ mix(decided.view.0));
    }
    digest
}
