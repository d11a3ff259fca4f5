//! The search itself: level by level, so that the first violation found is one with the fewest steps.

use crate::checkers::Violation;
use crate::search::action::Action;
use crate::search::judge::Judge;
use crate::search::paths::Paths;
use crate::search::sample::{self, Candidate};
use crate::search::steps::{LocalId, Steps};
use crate::search::table::Table;
use crate::search::transcript::Transcript;
use crate::search::world::World;
use crate::search::{Bounds, Counterexample, Found, Progress, Verdict};

/// How many states are expanded between two looks at whether to go on.
const STATES_PER_LOOK: usize = 1_024;

/// Searches within the bounds. Now and then `goes_on` is told how far it is, and decides whether it goes on.
pub fn search(bounds: &Bounds, goes_on: &mut dyn FnMut(&Progress) -> bool) -> Found {
    Search::new(*bounds).run(goes_on)
}

/// A violation, and the actions at one place that led to it.
struct Failed {
    violation: Violation,
    place: usize,
    actions: Vec<Action>,
}

/// Why a level was not completed.
enum Stopped {
    Bound,
    Violation(Counterexample),
}

/// Where a step starts from.
#[derive(Clone, Copy)]
struct Origin<'a> {
    world: &'a World,
    /// Its number.
    number: usize,
    /// Where it is in the list of its level.
    at: usize,
}

struct Search {
    bounds: Bounds,
    steps: Steps,
    judge: Judge,
    first: World,
    /// All states seen; in a sampled search those that were kept.
    visited: Table<()>,
    paths: Paths,
    /// The states of this level, and of the next one.
    frontier: Vec<u32>,
    next: Vec<u32>,
    /// In a sampled search: the states that the next level could have.
    candidates: Vec<Candidate>,
    candidate_keys: Table<()>,
    is_sampled: bool,
    transitions: u64,
    levels: u32,
    /// Who gathers, from which state, and what it has been through already.
    gatherer: (usize, usize),
    gathered: Vec<LocalId>,
    /// Room for states in the making: with all letters, and with those that still matter.
    whole: World,
    pruned: World,
    /// The group in all states found, by hash.
    #[cfg(test)]
    shapes: std::collections::BTreeSet<u64>,
}

impl Search {
    fn new(bounds: Bounds) -> Self {
        let mut steps = Steps::new(bounds);
        let judge = Judge::new(&steps.configuration);
        let first = World { locals: steps.founded(), ..World::default() };
        Self {
            bounds,
            steps,
            judge,
            first,
            visited: Table::new(),
            paths: Paths::default(),
            frontier: Vec::new(),
            next: Vec::new(),
            candidates: Vec::new(),
            candidate_keys: Table::new(),
            is_sampled: false,
            transitions: 0,
            levels: 0,
            gatherer: (0, 0),
            gathered: Vec::new(),
            whole: World::default(),
            pruned: World::default(),
            #[cfg(test)]
            shapes: std::collections::BTreeSet::new(),
        }
    }

    fn run(&mut self, goes_on: &mut dyn FnMut(&Progress) -> bool) -> Found {
        self.visited.insert(self.first.key(), ());
        let link = self.paths.link(0, 0, &[]);
        self.paths.push(link);
        self.first.write_to(&mut self.frontier);
        let mut base = 0;
        let verdict = loop {
            let level_end = self.paths.len();
            match self.expand(base, goes_on) {
                Ok(()) => {}
                Err(Stopped::Bound) => break Verdict::Bounded,
                Err(Stopped::Violation(found)) => break Verdict::Violated(found),
            }
            self.keep_sample();
            self.levels += 1;
            base = level_end;
            std::mem::swap(&mut self.frontier, &mut self.next);
            self.next.clear();
            if self.frontier.is_empty() {
                break if self.is_sampled { Verdict::Sampled } else { Verdict::Exhausted };
            }
            if self.levels >= self.bounds.levels_max || !goes_on(&self.progress(self.paths.len() - base)) {
                break Verdict::Bounded;
            }
        };
        Found { verdict, progress: self.progress(0) }
    }

    /// Expands all states of a level, the first of which has the number `base`.
    fn expand(&mut self, base: usize, goes_on: &mut dyn FnMut(&Progress) -> bool) -> Result<(), Stopped> {
        let (mut world, mut actions) = (World::default(), Vec::new());
        let (mut at, mut number) = (0, base);
        while at < self.frontier.len() {
            let end = world.read_from(&self.frontier, at, self.bounds.replicas);
            world.actions(&self.steps, &self.bounds, &self.first, &mut actions);
            let origin = Origin { world: &world, number, at };
            for (place, action) in actions.drain(..) {
                if let Err(failed) = self.follow(origin, place, action) {
                    return Err(Stopped::Violation(self.counterexample(number, failed)));
                }
            }
            (at, number) = (end, number + 1);
            let is_full = self.paths.len() as u64 >= self.bounds.states_max;
            if is_full || number.is_multiple_of(STATES_PER_LOOK) && !goes_on(&self.progress(0)) {
                return Err(Stopped::Bound);
            }
        }
        Ok(())
    }

    /// Takes one step, or all that belong together.
    fn follow(&mut self, origin: Origin<'_>, place: usize, action: Action) -> Result<(), Failed> {
        self.transitions += 1;
        let before = origin.world.locals[place];
        let failed = |violation| Failed { violation, place, actions: vec![action] };
        let id = self.steps.take(before, action);
        let step = self.steps.step(id).as_ref().map_err(|violation| failed(violation.clone()))?;
        if origin.world.is_unchanged_by(place, action, step) {
            return Ok(());
        }
        if !self.bounds.every_order && matches!(action, Action::Deliver(_)) {
            let next = step.next;
            if self.steps.is_only_kept(before, step) {
                if self.gatherer != (origin.number, place) {
                    self.gatherer = (origin.number, place);
                    self.gathered.clear();
                }
                if next == before || self.gathered.contains(&next) {
                    return Ok(());
                }
                self.gathered.push(next);
                return self.gather(origin, place, next, &mut vec![action]);
            }
            if !self.bounds.votes && self.steps.local(next).is_gathering {
                // It joined a view change by a DOVIEWCHANGE, and keeps it. It may as well have joined before.
                return Ok(());
            }
        }
        self.arrive(origin, place, before, &[action]).map_err(failed)
    }

    /// Delivers to a replica what it only keeps, in every order that makes a difference, until it does something with it.
    fn gather(
        &mut self,
        origin: Origin<'_>,
        place: usize,
        local: LocalId,
        path: &mut Vec<Action>,
    ) -> Result<(), Failed> {
        for letter in &origin.world.letters {
            let action = Action::Deliver(*letter);
            if !self.steps.letters.get(*letter).is_part_for(place) || path.contains(&action) {
                continue;
            }
            self.transitions += 1;
            path.push(action);
            let failed = |violation: &Violation| Failed { violation: violation.clone(), place, actions: path.clone() };
            let id = self.steps.take(local, action);
            let step = self.steps.step(id).as_ref().map_err(failed)?;
            let next = step.next;
            if self.steps.is_only_kept(local, step) {
                if next != local && !self.gathered.contains(&next) {
                    self.gathered.push(next);
                    self.gather(origin, place, next, path)?;
                }
            } else if !step.is_beyond {
                self.arrive(origin, place, local, path).map_err(|violation| failed(&violation))?;
            }
            path.pop();
        }
        Ok(())
    }

    /// Takes the last step of a path at `place`, from `before`, and keeps the state where it leads when that is new.
    fn arrive(&mut self, origin: Origin<'_>, place: usize, before: LocalId, path: &[Action]) -> Result<(), Violation> {
        let action = *path.last().expect("at least one step");
        self.advance(origin.world, place, before, action)?;
        let key = self.pruned.key();
        let is_new = match self.bounds.width {
            Some(_) => self.visited.get(key).is_none() && self.candidate_keys.insert(key, ()),
            None => self.visited.insert(key, ()),
        };
        if !is_new {
            return Ok(());
        }
        #[cfg(test)]
        self.shapes.extend(self.pruned.shape(&self.steps));
        let id = self.steps.take(before, action);
        let step = self.steps.step(id).as_ref().expect("just taken");
        self.judge.check(&self.steps, origin.world, place, step, &self.whole)?;
        let link = self.paths.link(origin.number, place, path);
        if self.bounds.width.is_some() {
            let candidate = Candidate::new(&self.pruned, &self.steps, self.bounds.seed, origin.at, link);
            self.candidates.push(candidate);
        } else {
            self.paths.push(link);
            self.pruned.write_to(&mut self.next);
        }
        Ok(())
    }

    /// Makes the state after a step: with all letters, and with those that still matter.
    fn advance(&mut self, world: &World, place: usize, before: LocalId, action: Action) -> Result<(), Violation> {
        let id = self.steps.take(before, action);
        let step = self.steps.step(id).as_ref().map_err(Clone::clone)?;
        self.whole.clone_from(world);
        self.whole.apply(place, action, step, &self.steps, &self.bounds);
        self.whole.ghost = self.judge.continued(world.ghost, &self.steps, before, id, step)?;
        self.pruned.clone_from(&self.whole);
        self.pruned.drop_dead_letters(&self.steps, &self.bounds);
        Ok(())
    }

    /// In a sampled search: chooses the states of the next level.
    fn keep_sample(&mut self) {
        let Some(width) = self.bounds.width else { return };
        let candidates = std::mem::take(&mut self.candidates);
        self.candidate_keys = Table::new();
        self.is_sampled |= candidates.len() > width;
        let mut world = World::default();
        for candidate in sample::choose(candidates, width) {
            world.read_from(&self.frontier, candidate.parent, self.bounds.replicas);
            let (place, actions) = self.paths.taken(candidate.link);
            let (last, earlier) = actions.split_last().expect("at least one step");
            let mut before = world.locals[place];
            for action in earlier {
                let id = self.steps.take(before, *action);
                before = self.steps.step(id).as_ref().expect("taken without a violation").next;
            }
            self.advance(&world, place, before, *last).expect("taken without a violation");
            self.visited.insert(self.pruned.key(), ());
            self.paths.push(candidate.link);
            self.pruned.write_to(&mut self.next);
        }
    }

    fn progress(&self, frontier: usize) -> Progress {
        let (locals, steps) = self.steps.sizes();
        let lists = (self.frontier.capacity() + self.next.capacity()) * size_of::<u32>();
        let candidates = self.candidates.capacity() * size_of::<Candidate>() + self.candidate_keys.bytes();
        Progress {
            levels: self.levels,
            states: self.paths.len() as u64,
            frontier: frontier as u64,
            transitions: self.transitions,
            locals,
            steps,
            messages: self.steps.letters.len(),
            bytes: self.visited.bytes() + self.paths.bytes() + lists + candidates,
        }
    }

    /// The way to a violation, told again from the beginning.
    fn counterexample(&mut self, from: usize, failed: Failed) -> Counterexample {
        let mut taken = self.paths.to(from);
        taken.push((failed.place, failed.actions));
        let mut transcript = Transcript::new(&mut self.steps, self.first.clone(), self.bounds);
        for (place, actions) in taken {
            for action in actions {
                transcript.tell(place, action);
            }
        }
        let lines = transcript.into_lines();
        Counterexample { violation: failed.violation, transcript: lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(bounds: Bounds) -> Search {
        let mut search = Search::new(bounds);
        search.run(&mut |_| true);
        search
    }

    /// What a replica only keeps until the rest arrives is delivered together with it, and what was superseded is dropped. No
    /// state of the group is lost by that.
    #[test]
    fn the_group_gets_into_the_same_states_without_every_order() {
        let wiped = Bounds { wiped: true, operations: 0, ..Bounds::DEFAULT };
        let five = Bounds { replicas: 5, operations: 0, down_max: 2, ..Bounds::DEFAULT };
        let views = Bounds { operations: 2, view_max: 2, crashes: 0, retries: 1, ..Bounds::DEFAULT };
        let heartbeats = Bounds { heartbeats: true, crashes: 0, view_max: 2, ..Bounds::DEFAULT };
        for bounds in [Bounds::DEFAULT, wiped, five, views, heartbeats] {
            let fewer = searched(bounds);
            let all = searched(Bounds { every_order: true, ..bounds });
            // Each search numbers states in its own way. The one finds nothing that the other does not, so numbers tell.
            assert_eq!(fewer.shapes.len(), all.shapes.len(), "{bounds:?}");
            assert!(fewer.paths.len() < all.paths.len(), "{bounds:?}");
        }
    }

    /// `Steps` compares, in tests, every state that it takes for a known one with that one. Here it gets many to compare.
    #[test]
    fn states_that_are_taken_for_one_are_the_same() {
        let votes = Bounds { votes: true, heartbeats: true, levels_max: 8, ..Bounds::DEFAULT };
        let views = Bounds { operations: 2, view_max: 2, crashes: 0, retries: 1, ..Bounds::DEFAULT };
        let five = Bounds { replicas: 5, down_max: 2, crashes: 2, levels_max: 8, ..Bounds::DEFAULT };
        for bounds in [Bounds::DEFAULT, votes, views, five] {
            let found = search(&bounds, &mut |_| true);
            assert!(found.progress.steps > 2 * found.progress.locals, "many steps lead to a known state: {found:?}");
        }
    }
}
