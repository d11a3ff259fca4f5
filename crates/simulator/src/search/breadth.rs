//! The search itself: level by level, so that the first violation found is one with the fewest steps.

use crate::checkers::Violation;
use crate::search::judge::Judge;
use crate::search::steps::{Action, Steps};
use crate::search::table::Table;
use crate::search::world::World;
use crate::search::{Bounds, Counterexample, Found, Verdict};

/// How much has been done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Levels that are complete.
    pub levels: u32,
    /// Different states.
    pub states: u64,
    /// States of the level under way.
    pub frontier: u64,
    /// Steps tried.
    pub transitions: u64,
    /// Different states of single replicas.
    pub locals: usize,
    /// Different steps of single replicas: how often the real code ran.
    pub steps: usize,
    /// Different messages.
    pub messages: usize,
    /// The bytes that the states take.
    pub bytes: usize,
}

/// How many states are expanded between two looks at whether to go on.
const STATES_PER_LOOK: u64 = 4_096;

/// Searches within the bounds. Now and then `goes_on` is told how far it is, and decides whether it goes on.
pub fn search(bounds: &Bounds, goes_on: &mut dyn FnMut(&Progress) -> bool) -> Found {
    Search::new(*bounds).run(goes_on)
}

/// A step that was taken: from which state, at whose place, and what.
#[derive(Clone, Copy, Default)]
struct Link {
    from: u32,
    what: u32,
}

impl Link {
    fn new(from: usize, place: usize, action: Action) -> Self {
        let place = u32::try_from(place).expect("a member");
        Self { from: u32::try_from(from).expect("below 2^32 states"), what: place << 27 | action.code() }
    }

    fn taken(self) -> (usize, Action) {
        ((self.what >> 27) as usize, Action::of_code(self.what & ((1 << 27) - 1)))
    }
}

struct Search {
    bounds: Bounds,
    steps: Steps,
    judge: Judge,
    visited: Table<()>,
    /// How each state was reached first.
    links: Vec<Link>,
    frontier: Vec<u32>,
    next: Vec<u32>,
    transitions: u64,
    levels: u32,
    first: Vec<u32>,
    at: usize,
    /// Of a sampled level: the states it could have, and how each is reached.
    candidates: Vec<Candidate>,
    level: Table<()>,
    is_sampled: bool,
}

#[derive(Clone, Copy)]
struct Candidate {
    class: u64,
    order: u64,
    at: usize,
    link: Link,
}

impl Search {
    fn new(bounds: Bounds) -> Self {
        let steps = Steps::new(bounds);
        let judge = Judge::new(&steps.configuration);
        Self {
            bounds,
            steps,
            judge,
            visited: Table::new(),
            links: Vec::new(),
            frontier: Vec::new(),
            next: Vec::new(),
            transitions: 0,
            levels: 0,
            first: Vec::new(),
            at: 0,
            candidates: Vec::new(),
            level: Table::new(),
            is_sampled: false,
        }
    }

    fn run(mut self, goes_on: &mut dyn FnMut(&Progress) -> bool) -> Found {
        self.first = self.steps.founded();
        let first = World { locals: self.first.clone(), ..World::default() };
        self.visited.insert(first.key(), ());
        self.links.push(Link::default());
        first.write_to(&mut self.frontier);
        let mut base = 0;
        let verdict = loop {
            let level = self.links.len();
            match self.expand(base, goes_on) {
                Ok(true) => {}
                Ok(false) => break Verdict::Bounded,
                Err(found) => break Verdict::Violated(found),
            }
            self.sample();
            self.levels += 1;
            base = level;
            std::mem::swap(&mut self.frontier, &mut self.next);
            self.next.clear();
            if self.frontier.is_empty() {
                break if self.is_sampled { Verdict::Sampled } else { Verdict::Exhausted };
            }
            if self.levels >= self.bounds.levels_max || !goes_on(&self.progress(self.links.len() - base)) {
                break Verdict::Bounded;
            }
        };
        Found { verdict, progress: self.progress(0) }
    }

    /// Expands all states of a level, the first of which has the number `base`; false when a bound of the search is reached.
    fn expand(&mut self, base: usize, goes_on: &mut dyn FnMut(&Progress) -> bool) -> Result<bool, Counterexample> {
        let members = self.bounds.replicas;
        let (mut world, mut actions, mut at, mut number) = (World::default(), Vec::new(), 0, base);
        let mut child = World::default();
        while at < self.frontier.len() {
            self.at = at;
            at = world.read_from(&self.frontier, at, members);
            world.actions(&self.steps, &self.bounds, &self.first, &mut actions);
            for (place, action) in actions.drain(..) {
                self.transitions += 1;
                if let Err(violation) = self.follow(&world, place, action, &mut child, number) {
                    return Err(self.counterexample(violation, number, place, action));
                }
            }
            number += 1;
            let is_full = self.links.len() as u64 >= self.bounds.states_max;
            if is_full || (number as u64).is_multiple_of(STATES_PER_LOOK) && !goes_on(&self.progress(0)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes one step, and keeps where it leads when that is new.
    fn follow(
        &mut self,
        world: &World,
        place: usize,
        action: Action,
        child: &mut World,
        number: usize,
    ) -> Result<(), Violation> {
        let before = world.locals[place];
        let id = self.steps.take(before, action);
        let step = self.steps.step(id).as_ref().map_err(Clone::clone)?;
        if world.is_unchanged_by(place, action, step) {
            return Ok(());
        }
        child.clone_from(world);
        child.apply(place, action, step);
        child.ghost = self.judge.continued(world.ghost, &self.steps, before, id, step)?;
        let whole = child.clone();
        child.drop_dead_letters(&self.steps, &self.bounds);
        let key = child.key();
        if self.bounds.width.is_some() {
            if self.visited.get(key).is_some() || !self.level.insert(key, ()) {
                return Ok(());
            }
        } else if !self.visited.insert(key, ()) {
            return Ok(());
        }
        self.judge.check(&self.steps, world, place, step, &whole)?;
        let link = Link::new(number, place, action);
        if self.bounds.width.is_some() {
            let class = child.class(&self.steps);
            self.candidates.push(Candidate { class, order: crate::search::table::mix(key ^ self.bounds.seed), at: self.at, link });
            return Ok(());
        }
        self.links.push(link);
        child.write_to(&mut self.next);
        Ok(())
    }

    fn sample(&mut self) {
        let Some(width) = self.bounds.width else { return };
        let mut candidates = std::mem::take(&mut self.candidates);
        self.level = Table::new();
        if candidates.len() > width {
            self.is_sampled = true;
            candidates.sort_unstable_by_key(|c| (c.class, c.order));
            let mut classes: Vec<(usize, usize)> = Vec::new();
            let mut start = 0;
            for i in 1..=candidates.len() {
                if i == candidates.len() || candidates[i].class != candidates[start].class {
                    classes.push((start, i - start));
                    start = i;
                }
            }
            classes.sort_unstable_by_key(|(start, len)| (*len, *start));
            let mut left = width;
            let mut kept = Vec::new();
            let count = classes.len();
            for (i, (start, len)) in classes.into_iter().enumerate() {
                let share = (left / (count - i)).min(len);
                left -= share;
                kept.extend_from_slice(&candidates[start..start + share]);
            }
            candidates = kept;
        }
        candidates.sort_unstable_by_key(|c| (c.at, c.link.what));
        let mut world = World::default();
        for c in candidates {
            world.read_from(&self.frontier, c.at, self.bounds.replicas);
            let (place, action) = c.link.taken();
            let before = world.locals[place];
            let id = self.steps.take(before, action);
            let Ok(step) = self.steps.step(id) else { unreachable!() };
            let ghost = self.judge.continued(world.ghost, &self.steps, before, id, step).unwrap();
            world.apply(place, action, step);
            world.ghost = ghost;
            world.drop_dead_letters(&self.steps, &self.bounds);
            self.visited.insert(world.key(), ());
            self.links.push(c.link);
            world.write_to(&mut self.next);
        }
    }

    fn progress(&self, frontier: usize) -> Progress {
        let (locals, steps) = self.steps.sizes();
        let lists = self.frontier.capacity() + self.next.capacity();
        Progress {
            levels: self.levels,
            states: self.links.len() as u64,
            frontier: frontier as u64,
            transitions: self.transitions,
            locals,
            steps,
            messages: self.steps.letters.len(),
            bytes: self.visited.bytes() + self.links.capacity() * size_of::<Link>() + lists * size_of::<u32>(),
        }
    }

    /// The way to a violation, told again from the beginning.
    fn counterexample(&mut self, violation: Violation, from: usize, place: usize, action: Action) -> Counterexample {
        let mut taken = vec![(place, action)];
        let mut at = from;
        while at != 0 {
            taken.push(self.links[at].taken());
            at = self.links[at].from as usize;
        }
        taken.reverse();
        let mut world = World { locals: self.steps.founded(), ..World::default() };
        let mut transcript = Vec::new();
        for (place, action) in taken {
            transcript.push(self.line(&world, place, action));
            let id = self.steps.take(world.locals[place], action);
            if let Ok(step) = self.steps.step(id) {
                world.apply(place, action, step);
            }
        }
        Counterexample { violation, transcript }
    }

    fn line(&self, world: &World, place: usize, action: Action) -> String {
        let _ = world;
        match action {
            Action::Deliver(letter) => {
                let letter = self.steps.letters.get(letter);
                format!("r{}->r{place} {}", letter.from, letter.message)
            }
            Action::Submit(operation) => format!("c{operation}->r{place} REGISTER"),
            Action::Join(view) => format!("r{place} joins the view change to {view}"),
            Action::Crash => format!("r{place} crashes, starts again"),
            Action::Fire(timer) => format!("r{place} {timer:?}"),
        }
    }
}
