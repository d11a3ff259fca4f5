//! The liveness phase: nothing breaks any more, so everything must work again within a bounded time.
//!
//! L-VIEW: all members of the core are normal in one view. L-COMMIT: what clients asked and now ask is answered. L-RECOVER: whoever
//! recovers gets done. L-CONV: without requests all come to the same op-number, state and checkpoint, cut their logs, and stay in
//! their view.

use std::fmt::Write as _;
use std::time::Duration;

use viewstamped_protocol::{Options, StatusName, Time, ViewNumber};

use crate::checkers::{Checked, Violation, hold};
use crate::coverage::Mark;
use crate::network::Exclusion;
use crate::random::Draw;
use crate::simulation::Simulation;
use crate::topology::Topology;
use crate::workload::Workload;

/// How many requests each client makes after the faults have ended.
const REQUESTS_AFTER: u64 = 3;

/// The most events of the liveness phase, so that a group that never comes to rest is noticed.
const EVENTS_MAX: u64 = 2_000_000;

/// How long a converged group must stay as it is.
const REST: Duration = Duration::from_secs(1);

impl<W: Workload> Simulation<'_, W> {
    /// Runs the safety phase: until its time is over, or its events are used up.
    pub(crate) fn run_safety(&mut self) -> Checked {
        let until = Time::ZERO.after(self.scenario.safety_time);
        while self.events < self.settings.events_max && self.step(until)? {}
        Ok(())
    }

    /// Ends all faults and runs until everything works again.
    pub(crate) fn run_liveness(&mut self) -> Checked {
        self.is_healed = true;
        self.serve_through_hub()?;
        let core = self.heal()?;
        let healed_at = self.now;
        self.run_until(&core, |simulation| simulation.is_one_view(&core) && simulation.unanswered().is_none())?;
        // Votes of before count as long as a backup is patient: with those of a deaf outsider they could still be a quorum.
        let lapsed = healed_at.after(2 * self.slowest(|options| options.suspect_timeout));
        while self.step(lapsed)? {}
        self.converge(&core)
    }

    /// Runs until `is_done`, for as long as a healed group may take.
    fn run_until(&mut self, core: &[usize], is_done: impl Fn(&Self) -> bool) -> Checked {
        let events_before = self.events;
        let until = self.now.after(self.bound());
        while !is_done(self) {
            for _ in 0..16 {
                if !self.step(until)? {
                    return Err(self.dead(core, "in time"));
                }
            }
            if self.events - events_before > EVENTS_MAX {
                return Err(self.dead(core, "within a bounded number of events"));
            }
        }
        Ok(())
    }

    /// In some seeds only one replica is sure to have links with a quorum at first: a group must form around it or another that
    /// has, clients must be answered, and then the view stays. Who recovers could not reach a quorum, so everybody must be well.
    fn serve_through_hub(&mut self) -> Checked {
        let is_well = (0..self.machines.len()).all(|place| !self.cluster.is_faulty(place) && self.cluster.is_up(place));
        if !self.cluster.is_founded() || !is_well {
            return Ok(());
        }
        let Some(topology) = self.draw_hub_topology() else { return Ok(()) };
        self.trace.line(self.now, || format!("healed, links {topology}"));
        self.network.heal(0, Exclusion::Isolated);
        self.network.shape(&topology);
        self.set_requests()?;
        let all: Vec<usize> = (0..self.machines.len()).collect();
        self.run_until(&all, |simulation| simulation.unanswered().is_none())?;
        self.settle(&topology)
    }

    /// The shape of the links in which clients must be served: what the settings hold, or what the seed draws.
    fn draw_hub_topology(&mut self) -> Option<Topology> {
        let members = self.machines.len();
        if let Some(topology) = &self.settings.topology {
            return topology.hub(members).map(|_| topology.clone());
        }
        if !self.dice.faults.strikes(24_576) {
            return None;
        }
        let hub = usize::try_from(self.dice.faults.below(members as u64)).expect("a place");
        if self.dice.faults.strikes(32_768) {
            self.coverage.hit(Mark::Star);
            return Some(Topology::Star(hub));
        }
        self.coverage.hit(Mark::Hub);
        Some(Topology::draw_hub(&mut self.dice.faults, members, hub))
    }

    /// L-STABLE: within the bound there comes a time from which the view of the primary stays.
    fn settle(&mut self, topology: &Topology) -> Checked {
        if !self.is_quiet() {
            return Ok(());
        }
        let until = self.now.after(self.bound());
        let (mut view, mut since) = (self.latest_view(), self.now);
        while self.now.since(since) < REST {
            let is_more = self.step(until)?;
            hold!("L-STABLE", is_more, "the view goes on changing with the links {topology}{}", self.states());
            if self.latest_view() != view {
                (view, since) = (self.latest_view(), self.now);
            }
        }
        Ok(())
    }

    /// The latest view that a primary has started.
    fn latest_view(&self) -> Option<ViewNumber> {
        let primary = self.cluster.primary()?;
        self.cluster.checkers().seen(primary).map(|seen| seen.view)
    }

    /// Whether no message from before the faults ended can still cause a view change.
    fn is_quiet(&self) -> bool {
        let network = &self.scenario.network;
        network.slow == 0 && network.slow_kind.is_none() && network.echo == 0
    }

    /// Without requests everybody comes to the same state, and no view changes.
    fn converge(&mut self, core: &[usize]) -> Checked {
        self.requests_max = 0;
        let until = self.now.after(self.bound());
        while !self.is_converged(core) {
            if !self.step(until)? {
                return Err(Violation {
                    checker: "L-CONV",
                    sentence: format!("idle replicas stay apart{}", self.states()),
                });
            }
        }
        let view = self.cluster.checkers().seen(core[0]).map(|seen| seen.view);
        let rest = self.now.after(REST);
        while self.step(rest)? {}
        let stayed = self.is_one_view(core) && self.cluster.checkers().seen(core[0]).map(|seen| seen.view) == view;
        hold!("L-STABLE", stayed || !self.is_quiet(), "the view changed although nothing broke{}", self.states());
        let root = |place: usize| self.cluster.replica(place).map(|replica| replica.state().root());
        let same = core.iter().all(|place| root(*place) == root(core[0]));
        let same = same || self.coverage.count(Mark::RootsDiffer) > 0;
        hold!("I-STATE", same || !self.is_converged(core), "replicas that executed the same have different states");
        Ok(())
    }

    /// Ends all faults. Returns the core: all replicas, or some that are enough while the others stay apart.
    fn heal(&mut self) -> Result<Vec<usize>, Violation> {
        let outside = self.draw_outside();
        let exclusion = *self.dice.faults.pick(&[Exclusion::Isolated, Exclusion::Mute, Exclusion::Deaf]);
        let core: Vec<usize> = (0..self.machines.len()).filter(|place| outside >> place & 1 == 0).collect();
        self.trace.line(self.now, || format!("healed, core {core:?}, others {exclusion:?}"));
        self.network.heal(outside, exclusion);
        for place in 0..self.machines.len() {
            // One that has never started does so by itself.
            if self.cluster.boots(place) > 0 && !self.cluster.is_up(place) && core.contains(&place) {
                self.schedule_restart(place);
            }
        }
        self.set_requests()?;
        Ok(core)
    }

    /// Draws who stays apart: no more than the group tolerates, together with those who have crashed.
    fn draw_outside(&mut self) -> u32 {
        let mut outside = 0u32;
        // A group that has not begun needs all its members.
        if !self.cluster.is_founded() || !self.dice.faults.strikes(24_576) {
            return outside;
        }
        let threshold = self.cluster.configuration().threshold();
        for _ in 0..threshold {
            let any = usize::try_from(self.dice.faults.below(self.machines.len() as u64)).expect("a place");
            let primary = self.cluster.primary().filter(|_| self.dice.faults.strikes(32_768));
            let place = primary.unwrap_or(any);
            let failing = |other: usize| self.cluster.is_faulty(other) || outside >> other & 1 == 1 || other == place;
            if (0..self.machines.len()).filter(|&other| failing(other)).count() <= threshold {
                outside |= 1 << place;
            }
        }
        self.coverage.hit(Mark::Core);
        outside
    }

    /// Ends pauses and pending crashes, and lets the clients make the requests by which liveness is judged.
    fn set_requests(&mut self) -> Checked {
        for machine in &mut self.machines {
            machine.trap = None;
        }
        self.resume_all()?;
        self.requests_max = u64::MAX;
        self.think_time = Duration::from_millis(50);
        let sessions = usize::try_from(self.scenario.cluster_options.sessions_max).expect("few");
        for client in 0..self.clients.len() {
            let actor = &mut self.clients[client];
            actor.is_active = client < sessions;
            actor.answers_wanted = actor.answered + REQUESTS_AFTER;
            self.think(client);
        }
        Ok(())
    }

    /// How long a healed group may take: every member's turn as primary at the slowest timeouts, twice, the clients' retries, and
    /// the whole log entry by entry.
    fn bound(&self) -> Duration {
        let rounds = u32::try_from(2 * (self.machines.len() + 2)).expect("few replicas");
        self.slowest(|options| options.view_change_timeout_max) * rounds
            + self.slowest(|options| options.suspect_timeout) * rounds
            + self.scenario.client_options.retry_max * 20
            + self.scenario.network.latency_max
                * u32::try_from(200 + 2 * self.cluster.checkers().ghost().head().0).expect("a short log")
    }

    /// The longest of a timeout that replicas may differ in.
    fn slowest(&self, pick: fn(&Options) -> Duration) -> Duration {
        self.scenario.options.iter().map(pick).max().expect("a group has members")
    }

    fn is_one_view(&self, core: &[usize]) -> bool {
        let view = |place: usize| {
            self.cluster.checkers().seen(place).filter(|seen| seen.status == StatusName::Normal).map(|seen| seen.view)
        };
        let first = view(core[0]);
        first.is_some() && core.iter().all(|place| view(*place) == first)
    }

    fn is_converged(&self, core: &[usize]) -> bool {
        let seen = |place: usize| self.cluster.checkers().seen(place);
        let place = |place: usize| seen(place).map(|seen| (seen.op, seen.commit, seen.executed, seen.checkpoint));
        let first = place(core[0]);
        let is_done = first.is_some_and(|(op, commit, executed, _)| op == commit && commit == executed);
        // Who knows that a quorum has its newest checkpoint has cut its log: I-BOUND.
        let knows = |place: &usize| seen(*place).is_some_and(|seen| seen.quorum_has >= seen.checkpoint);
        is_done && core.iter().all(knows) && self.is_one_view(core) && core.iter().all(|other| place(*other) == first)
    }

    /// A client that still waits.
    fn unanswered(&self) -> Option<usize> {
        self.clients
            .iter()
            .position(|client| client.is_active && (client.answered < client.answers_wanted || client.is_waiting()))
    }

    fn dead(&self, core: &[usize], when: &str) -> Violation {
        let seen = |place: usize| self.cluster.checkers().seen(place);
        let recovering =
            core.iter().find(|place| seen(**place).is_none_or(|seen| seen.status == StatusName::Recovering));
        let (checker, what) = match (recovering, self.unanswered()) {
            (Some(place), _) => ("L-RECOVER", format!("r{place} did not recover {when}")),
            (None, _) if !self.is_one_view(core) => ("L-VIEW", format!("the core did not come to one view {when}")),
            (None, Some(client)) => ("L-COMMIT", format!("client {client} was not answered {when}")),
            (None, None) => ("L-VIEW", format!("the core did not come to rest {when}")),
        };
        Violation { checker, sentence: format!("{what} after all faults had ended{}", self.states()) }
    }

    /// What all replicas and clients are doing, for a report.
    pub(crate) fn states(&self) -> String {
        let mut states = String::new();
        for (place, member) in self.cluster.configuration().members().iter().enumerate() {
            let state = match self.cluster.checkers().seen(place) {
                None => "down".to_owned(),
                Some(seen) => format!(
                    "{} {} log of {} {}..{} k{} x{} checkpoint {} of {} {}",
                    seen.status.as_str(),
                    seen.view,
                    seen.log_view,
                    seen.base,
                    seen.op,
                    seen.commit.0,
                    seen.executed.0,
                    seen.checkpoint,
                    seen.quorum_has,
                    seen.incarnation
                ),
            };
            write!(states, "\n  {} {state}", member.id).expect("writing to a string");
        }
        for (number, client) in self.clients.iter().enumerate() {
            let waits = if client.is_waiting() { "waits" } else { "idle" };
            let active = if client.is_active { "" } else { ", stopped" };
            write!(states, "\n  c{number} {} answered, {waits}{active}", client.answered).expect("writing to a string");
        }
        states
    }
}
