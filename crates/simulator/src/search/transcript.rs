//! A way through the states, told in the paper's notation.

use viewstamped_protocol::replica::Timer;
use viewstamped_protocol::{OpNumber, StatusName};

use crate::checkers::Seen;
use crate::search::Bounds;
use crate::search::action::Action;
use crate::search::steps::Steps;
use crate::search::world::World;

/// Tells what happens, a line for each step, with what came of it where that is worth telling.
pub(super) struct Transcript<'a> {
    steps: &'a mut Steps,
    world: World,
    bounds: Bounds,
    lines: Vec<String>,
}

impl<'a> Transcript<'a> {
    /// Begins with this state.
    pub(super) fn new(steps: &'a mut Steps, world: World, bounds: Bounds) -> Self {
        Self { steps, world, bounds, lines: Vec::new() }
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }

    /// Tells the next step.
    pub(super) fn tell(&mut self, place: usize, action: Action) {
        let mut line = self.what(place, action);
        let before = self.steps.local(self.world.locals[place]).seen;
        let id = self.steps.take(self.world.locals[place], action);
        if let Ok(step) = self.steps.step(id) {
            let after = self.steps.local(step.next).seen;
            line.push_str(&outcome(place, &before, &after, action));
            self.world.apply(place, action, step, self.steps, &self.bounds);
        }
        self.lines.push(line);
    }

    fn what(&self, place: usize, action: Action) -> String {
        match action {
            Action::Deliver(letter) => {
                let letter = self.steps.letters.get(letter);
                format!("r{}->r{place} {}", letter.from, letter.message)
            }
            Action::Submit(operation) => format!("c{operation}->r{place} REGISTER"),
            Action::Join(view) => format!("r{place} joins the view change to {view}"),
            Action::Crash => format!("r{place} crashes, forgets everything and starts again"),
            Action::Fire(Timer::Suspect) => format!("r{place} loses patience with its primary"),
            Action::Fire(Timer::ViewChange) => format!("r{place} loses patience with the view change"),
            Action::Fire(Timer::Heartbeat) => format!("r{place} sends its heartbeat"),
            Action::Fire(Timer::Gap) => format!("r{place} asks for what is missing"),
            Action::Fire(Timer::Transfer) => format!("r{place} asks another for the log"),
        }
    }
}

/// What came of a step, where it cannot be told from the step.
fn outcome(place: usize, before: &Seen, after: &Seen, action: Action) -> String {
    let mut outcome = String::new();
    let is_new_view = (before.status, before.view) != (after.status, after.view);
    if is_new_view && after.status == StatusName::Normal {
        outcome.push_str(&format!("; r{place} is normal in {}, {}", after.view, after.op));
    } else if is_new_view && after.status == StatusName::ViewChange && !matches!(action, Action::Join(_)) {
        outcome.push_str(&format!("; r{place} joins the view change to {}", after.view));
    }
    if after.commit > before.commit && after.commit > OpNumber::ZERO {
        outcome.push_str(&format!("; r{place} has {} committed", after.commit));
    }
    outcome
}
