//! A state of the whole group: what its replicas are, what was sent and can still matter, and what was decided.

use viewstamped_protocol::replica::Timer;
use viewstamped_protocol::{OpNumber, StatusName, ViewNumber};

use crate::message_kind::Kind;
use crate::search::Bounds;
use crate::search::action::Action;
use crate::search::letters::{Letter, LetterId};
use crate::search::steps::{Local, LocalId, Step, Steps};
use crate::search::table::mix;

/// A state of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct World {
    /// The history of what was decided, by its number.
    pub(super) ghost: u32,
    pub(super) crashes: u32,
    pub(super) submitted: u32,
    pub(super) retried: u32,
    pub(super) locals: Vec<LocalId>,
    /// Everything ever sent that can still matter, in order. Any of it may arrive at any time, any number of times, or never.
    pub(super) letters: Vec<LetterId>,
}

impl World {
    /// Appends this world to a list of worlds of one group.
    pub(super) fn write_to(&self, list: &mut Vec<u32>) {
        list.push(u32::try_from(self.letters.len()).expect("few"));
        list.extend([self.ghost, self.crashes, self.submitted << 16 | self.retried]);
        list.extend(&self.locals);
        list.extend(&self.letters);
    }

    /// Reads the world at `at` of a list, and says where the next one is.
    pub(super) fn read_from(&mut self, list: &[u32], at: usize, members: usize) -> usize {
        let letters = list[at] as usize;
        (self.ghost, self.crashes) = (list[at + 1], list[at + 2]);
        (self.submitted, self.retried) = (list[at + 3] >> 16, list[at + 3] & 0xffff);
        let (locals, end) = (at + 4, at + 4 + members + letters);
        self.locals.clear();
        self.locals.extend(&list[locals..locals + members]);
        self.letters.clear();
        self.letters.extend(&list[locals + members..end]);
        end
    }

    /// A hash of all of it.
    pub(super) fn key(&self) -> u64 {
        let mut key = mix(u64::from(self.ghost) << 32 | u64::from(self.crashes));
        key = mix(key ^ u64::from(self.submitted << 16 | self.retried));
        for number in self.locals.iter().chain(&self.letters) {
            key = mix(key ^ u64::from(*number));
        }
        key
    }

    /// What the group is, whatever is under way; nothing while a replica only holds a part of what it waits for.
    #[cfg(test)]
    pub(super) fn shape(&self, steps: &Steps) -> Option<u64> {
        let is_partial = self.locals.iter().any(|local| steps.local(*local).is_gathering);
        (!is_partial).then(|| Self { letters: Vec::new(), ..self.clone() }.key())
    }

    /// Everything that could happen next: to whom, and what.
    ///
    /// Members that lead no view within the bounds are interchangeable as long as nothing was heard of them: of those to whom
    /// nothing has happened yet, only the first one acts.
    pub(super) fn actions(&self, steps: &Steps, bounds: &Bounds, first: &World, actions: &mut Vec<(usize, Action)>) {
        actions.clear();
        let mut is_virgin_seen = false;
        let locals = self.locals.iter().map(|local| steps.local(*local));
        let down = locals.clone().filter(|local| local.seen.status == StatusName::Recovering).count();
        for (place, local) in locals.enumerate() {
            let is_virgin = !bounds.votes && place as u64 > bounds.view_max && self.is_untouched(place, steps, first);
            if is_virgin && std::mem::replace(&mut is_virgin_seen, true) {
                continue;
            }
            let is_down = local.seen.status == StatusName::Recovering;
            let may_fail = is_down || down < bounds.down_max;
            if self.crashes < bounds.crashes && local.boots <= bounds.crashes_each && may_fail {
                actions.push((place, Action::Crash));
            }
            for letter in &self.letters {
                if steps.letters.get(*letter).is_for(place) {
                    actions.push((place, Action::Deliver(*letter)));
                }
            }
            self.own_actions(place, local, bounds, actions);
        }
    }

    /// Whether nothing has happened to this replica that anybody could tell it from others by.
    fn is_untouched(&self, place: usize, steps: &Steps, first: &World) -> bool {
        let is_about = |letter: &Letter| letter.from == place || letter.to == Some(place);
        self.locals[place] == first.locals[place]
            && !self.letters.iter().any(|letter| is_about(steps.letters.get(*letter)))
    }

    /// What happens to a replica without a message. One that recovers is called to view changes, too, and must not follow.
    fn own_actions(&self, place: usize, local: &Local, bounds: &Bounds, actions: &mut Vec<(usize, Action)>) {
        if local.is_primary {
            if self.submitted < bounds.operations {
                actions.push((place, Action::Submit(self.submitted)));
            }
            if self.retried < bounds.retries {
                actions.extend((0..self.submitted).map(|operation| (place, Action::Submit(operation))));
            }
            if bounds.heartbeats {
                actions.push((place, Action::Fire(Timer::Heartbeat)));
            }
        }
        let view = local.seen.view.0;
        if !bounds.votes {
            actions.extend((view + 1..=bounds.view_max).map(|view| (place, Action::Join(ViewNumber(view)))));
            return;
        }
        if view < bounds.view_max {
            let is_changing = local.seen.status == StatusName::ViewChange;
            let timer = if is_changing { Timer::ViewChange } else { Timer::Suspect };
            if local.seen.is_live() && !local.is_primary {
                actions.push((place, Action::Fire(timer)));
            }
        }
    }

    /// Whether this step at `place` leaves everything as it is.
    pub(super) fn is_unchanged_by(&self, place: usize, action: Action, step: &Step) -> bool {
        if step.is_beyond {
            return true;
        }
        let counts = matches!(action, Action::Crash)
            || matches!(action, Action::Submit(operation) if operation == self.submitted);
        !counts
            && step.next == self.locals[place]
            && step.replies.is_empty()
            && step.sent.iter().all(|letter| self.letters.binary_search(letter).is_ok())
    }

    /// Takes a step at `place`.
    pub(super) fn apply(&mut self, place: usize, action: Action, step: &Step, steps: &Steps, bounds: &Bounds) {
        self.locals[place] = step.next;
        self.crashes += u32::from(action == Action::Crash);
        if let Action::Submit(operation) = action {
            let is_first = operation == self.submitted;
            self.submitted += u32::from(is_first);
            self.retried += u32::from(!is_first);
        }
        for letter in &step.sent {
            if !bounds.every_order {
                let new = steps.letters.get(*letter);
                self.letters.retain(|old| old == letter || !new.supersedes(steps.letters.get(*old)));
            }
            if let Err(gap) = self.letters.binary_search(letter) {
                self.letters.insert(gap, *letter);
            }
        }
    }

    /// Drops the messages that can no longer matter (docs/search.md says which those are, and why).
    pub(super) fn drop_dead_letters(&mut self, steps: &Steps, bounds: &Bounds) {
        let prospects = Prospects::of(self, steps, bounds);
        self.letters.retain(|letter| !prospects.is_dead(steps.letters.get(*letter)));
    }
}

/// Where each replica may still get to.
struct Prospects<'a> {
    locals: Vec<&'a Local>,
    /// Will never crash again.
    is_settled: Vec<bool>,
    /// The lowest view it may ever be in again while it takes part.
    floor: Vec<ViewNumber>,
    steps: &'a Steps,
}

impl<'a> Prospects<'a> {
    fn of(world: &World, steps: &'a Steps, bounds: &Bounds) -> Self {
        let locals: Vec<&Local> = world.locals.iter().map(|local| steps.local(*local)).collect();
        // A replica that recovers does so in the view of somebody who answered, and answers come from normal replicas.
        let live = locals.iter().filter(|local| local.seen.is_live()).map(|local| local.seen.view);
        let answers = world.letters.iter().map(|letter| steps.letters.get(*letter));
        let answers = answers.filter(|letter| letter.kind == Kind::RecoveryResponse).map(|letter| letter.view);
        let lowest = live.chain(answers).min().unwrap_or_default();
        let is_last = world.crashes >= bounds.crashes;
        let is_settled = |local: &&Local| local.seen.is_live() && (is_last || local.boots > bounds.crashes_each);
        let is_settled: Vec<bool> = locals.iter().map(is_settled).collect();
        let floor = locals.iter().zip(&is_settled);
        let floor = floor.map(|(local, is_settled)| if *is_settled { local.seen.view } else { lowest }).collect();
        Self { locals, is_settled, floor, steps }
    }

    /// Whether the replica at `place` is past everything that a message of `view` may be about, for good.
    fn is_past(&self, place: usize, view: ViewNumber) -> bool {
        self.floor[place] > view
    }

    /// Whether the replica at `place` is normal in `view`, and can only go on from there.
    fn is_in(&self, place: usize, view: ViewNumber) -> bool {
        let seen = &self.locals[place].seen;
        self.is_settled[place] && seen.status == StatusName::Normal && seen.view == view
    }

    fn is_dead(&self, letter: &Letter) -> bool {
        match letter.to {
            Some(to) => self.is_dead_to(letter, to),
            None => (0..self.locals.len()).all(|to| to == letter.from || self.is_dead_to(letter, to)),
        }
    }

    fn is_dead_to(&self, letter: &Letter, to: usize) -> bool {
        let (view, receiver, sender) = (letter.view, self.locals[to], self.locals[letter.from]);
        let knows = |op: OpNumber, commit: OpNumber| receiver.seen.op >= op && receiver.seen.commit >= commit;
        let has_now = |seen: &crate::checkers::Seen, view: ViewNumber| {
            seen.view > view || (seen.view == view && seen.status == StatusName::Normal)
        };
        match letter.kind {
            Kind::StartViewChange => self.floor[to] >= view,
            Kind::DoViewChange => {
                let is_void = self.is_settled[to] && letter.incarnation < receiver.known[letter.from];
                let is_held = self.is_settled[to]
                    && receiver.seen.view == view
                    && receiver.held.iter().any(|(from, life)| *from == letter.from && *life >= letter.incarnation);
                self.is_past(to, view) || self.is_in(to, view) || is_void || is_held
            }
            Kind::StartView => self.is_past(to, view) || self.is_in(to, view),
            Kind::Prepare => self.is_past(to, view) || (self.is_in(to, view) && knows(letter.op, letter.commit)),
            Kind::Commit => self.is_past(to, view) || (self.is_in(to, view) && receiver.seen.commit >= letter.commit),
            Kind::PrepareOk | Kind::CommitAck => {
                self.is_past(to, view) || (self.is_in(to, view) && receiver.seen.commit >= letter.op)
            }
            Kind::Recovery => {
                sender.seen.status != StatusName::Recovering || sender.seen.incarnation != letter.incarnation
            }
            Kind::RecoveryResponse => {
                receiver.seen.status != StatusName::Recovering || receiver.seen.incarnation != letter.answers
            }
            Kind::GetState => {
                let is_over = sender.seen.is_live() && has_now(&sender.seen, view);
                sender.seen.incarnation != letter.incarnation || is_over || self.is_past(to, view)
            }
            Kind::NewState => receiver.seen.is_live() && has_now(&receiver.seen, view),
            _ => self.steps.configuration.len() == 1,
        }
    }
}
