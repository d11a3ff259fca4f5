//! One run: the event loop that brings group, network and clients together.

use std::collections::BTreeMap;
use std::time::Duration;

use viewstamped_protocol::random::Random;
use viewstamped_protocol::{
    ClientId, ClusterId, Destination, Event as ReplicaEvent, FromClient, Input, InstanceId, Message, Output,
    StatusName, Time, ToClient,
};

use crate::checkers::{Checked, Violation, hold};
use crate::clients::Actor;
use crate::cluster::{Cluster, ClusterSetup, Restart};
use crate::coverage::{Blow, Coverage, Mark, Role};
use crate::faults::Fault;
use crate::history::History;
use crate::machine::{Clock, Machine, Trap};
use crate::message_kind::Kind;
use crate::network::Network;
use crate::options::{Scenario, Settings};
use crate::random::{Draw, nanos};
use crate::topology::Topology;
use crate::trace::{Sink, Trace};
use crate::workload::Workload;

/// The shortest time between two ticks of a replica that is never content: 1 µs, so that time goes on.
pub(crate) const TICK_MIN: Duration = Duration::from_micros(1);

/// Something that happens at a moment.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message reaches a replica.
    Peer { from: usize, to: usize, message: Message },
    /// A replica learns that nobody listens at the address of another.
    Refused { place: usize, by: usize },
    /// A client's message reaches a replica.
    Request { client: usize, to: usize, message: FromClient },
    /// An answer reaches a client.
    Answer { from: usize, client: usize, message: ToClient },
    /// A replica handles what has gathered.
    Turn { place: usize, boot: u32 },
    /// A replica's deadline may have come.
    Timer { place: usize, boot: u32 },
    /// The roots of a checkpoint are known.
    Hashed { place: usize, boot: u32, taken: Input },
    /// An identity has become durable.
    Saved { place: usize, boot: u32 },
    /// A client's deadline may have come.
    ClientTimer { client: usize, generation: u32 },
    /// A client has thought of its next request.
    Submit { client: usize },
    /// Something breaks, or is mended.
    Fault(Fault),
}

/// Generators of their own for each concern, so that a change in one leaves the draws of the others as they are.
pub(crate) struct Dice {
    pub(crate) replicas: Random,
    pub(crate) clients: Random,
    pub(crate) faults: Random,
}

/// A run under way.
pub(crate) struct Simulation<'a, W: Workload> {
    pub(crate) settings: Settings,
    pub(crate) scenario: Scenario,
    pub(crate) dice: Dice,
    pub(crate) now: Time,
    /// Events so far.
    pub(crate) events: u64,
    pub(crate) schedule: crate::schedule::Schedule<Event>,
    pub(crate) cluster: Cluster<W::Service>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) network: Network,
    pub(crate) clients: Vec<Actor>,
    pub(crate) client_ids: BTreeMap<ClientId, usize>,
    pub(crate) workload: W,
    pub(crate) history: History,
    pub(crate) trace: Trace<'a>,
    pub(crate) coverage: Coverage,
    pub(crate) crashes: u64,
    /// Faults of machines, links and clients so far, those spared included.
    pub(crate) faults: u64,
    /// Requests submitted so far.
    pub(crate) requests: u64,
    /// The most requests in this phase.
    pub(crate) requests_max: u64,
    pub(crate) think_time: Duration,
    /// How often the links have changed.
    pub(crate) topologies: u64,
    /// The shape of the links that comes and goes, and how often.
    pub(crate) flapping: Option<(Topology, Duration)>,
    /// Whether the links have taken the shape that the settings want.
    pub(crate) are_links_held: bool,
    /// Whether the safety phase is over: nothing breaks any more.
    pub(crate) is_healed: bool,
}

impl<'a, W: Workload> Simulation<'a, W> {
    /// Draws everything the seed decides and starts the group.
    pub(crate) fn new(seed: u64, settings: Settings, sink: Option<Sink<'a>>) -> Result<Self, Violation> {
        let mut random = Random::new(u128::from(seed) << 64 | 0x7672);
        let scenario = Scenario::draw(&mut random, &settings);
        Self::begun(random, scenario, settings, sink)
    }

    /// Starts the group of this scenario; everything else is drawn.
    pub(crate) fn begun(
        mut random: Random,
        scenario: Scenario,
        settings: Settings,
        sink: Option<Sink<'a>>,
    ) -> Result<Self, Violation> {
        let workload = W::draw(&mut random);
        let cluster = Cluster::new(ClusterSetup {
            cluster: ClusterId(random.next_u128()),
            cluster_options: scenario.cluster_options,
            options: scenario.options.clone(),
            service: workload.service(),
            is_deterministic: workload.is_deterministic(),
            instances: (0..scenario.replicas).map(|_| InstanceId(random.next_u128())).collect(),
        });
        let machines = (0..scenario.replicas).map(|_| Machine::new(draw_clock(&mut random, &scenario))).collect();
        let requests_max = settings.requests_max;
        let mut simulation = Self {
            now: Time::ZERO,
            events: 0,
            schedule: crate::schedule::Schedule::new(),
            cluster,
            machines,
            network: Network::new(
                random.fork(),
                scenario.network,
                &settings.drops,
                scenario.replicas,
                scenario.clients,
            ),
            clients: Vec::new(),
            client_ids: BTreeMap::new(),
            workload,
            history: History::default(),
            trace: Trace::new(sink),
            coverage: Coverage::default(),
            crashes: 0,
            faults: 0,
            requests: 0,
            requests_max,
            think_time: scenario.think_time,
            topologies: 0,
            flapping: None,
            are_links_held: false,
            is_healed: false,
            dice: Dice { replicas: random.fork(), clients: random.fork(), faults: random.fork() },
            scenario,
            settings,
        };
        simulation.begin()?;
        Ok(simulation)
    }

    fn begin(&mut self) -> Checked {
        for place in 0..self.scenario.replicas {
            let moment = self.dice.replicas.duration(Duration::ZERO, self.scenario.start_time);
            self.schedule.at(self.now.after(moment), Event::Fault(Fault::Start { place }));
        }
        for client in 0..self.scenario.clients {
            let (id, seed) = (ClientId(self.dice.clients.next_u128()), self.dice.clients.next_u128());
            let (cluster, options) = (self.cluster.id(), self.scenario.client_options);
            self.clients.push(Actor::new(cluster, id, self.scenario.replicas, options, seed, self.now));
            self.drain_client(client)?;
        }
        self.schedule_faults();
        Ok(())
    }

    /// Lets the next event happen. Returns false when there is none before `until`.
    pub(crate) fn step(&mut self, until: Time) -> Result<bool, Violation> {
        if self.schedule.next_time().is_none_or(|next| next > until) {
            return Ok(false);
        }
        let (time, event) = self.schedule.pop().expect("peeked");
        self.now = time;
        self.dispatch(event)?;
        Ok(true)
    }

    fn dispatch(&mut self, event: Event) -> Checked {
        match event {
            Event::Peer { from, to, message } => self.on_peer(from, to, message),
            Event::Refused { place, by } => self.on_refused(place, by),
            Event::Request { client, to, message } => self.on_request(client, to, message),
            Event::Answer { from, client, message } => self.on_answer(from, client, message),
            Event::Turn { place, boot } => {
                if boot == self.cluster.boots(place) && self.cluster.is_up(place) && !self.machines[place].is_paused {
                    self.machines[place].turn_scheduled = false;
                    return self.turn(place);
                }
                Ok(())
            }
            Event::Timer { place, boot } => self.on_timer(place, boot),
            Event::Hashed { place, boot, taken } => self.on_hashed(place, boot, taken),
            Event::Saved { place, boot } => self.on_saved(place, boot),
            Event::ClientTimer { client, generation } => self.on_client_timer(client, generation),
            Event::Submit { client } => self.on_submit(client),
            Event::Fault(fault) => self.on_fault(fault),
        }
    }

    /// Counts an event of this kind that concerns `subject`.
    pub(crate) fn count(&mut self, kind: u64, subject: u64) {
        self.events += 1;
        self.trace.note_all(&[self.now.0, kind << 32 | subject]);
    }

    /// An input reaches a machine: it is handled at once, in the next turn, or when the machine goes on.
    pub(crate) fn deliver(&mut self, place: usize, input: Input) -> Checked {
        if !self.cluster.is_up(place) {
            return Ok(());
        }
        let machine = &mut self.machines[place];
        if self.scenario.turn_time.is_zero() && !machine.is_paused {
            let now = machine.clock.now(self.now);
            self.cluster.handle(place, now, input)?;
            return self.drain(place);
        }
        machine.inbox.push(input);
        if machine.is_paused || machine.turn_scheduled {
            return Ok(());
        }
        machine.turn_scheduled = true;
        let delay = self.dice.replicas.duration(Duration::ZERO, self.scenario.turn_time);
        self.schedule.at(self.now.after(delay), Event::Turn { place, boot: self.cluster.boots(place) });
        Ok(())
    }

    /// The replica handles what has gathered, a few inputs at a time.
    pub(crate) fn turn(&mut self, place: usize) -> Checked {
        let mut inbox = std::mem::take(&mut self.machines[place].inbox);
        if inbox.len() > 1 {
            self.coverage.hit(Mark::Turn);
        }
        let boot = self.cluster.boots(place);
        let mut left = 0;
        let mut is_drained = false;
        for input in inbox.drain(..) {
            if !self.cluster.is_up(place) || self.cluster.boots(place) != boot {
                return Ok(());
            }
            self.cluster.handle(place, self.machines[place].clock.now(self.now), input)?;
            is_drained = left == 0;
            if is_drained {
                left = self.dice.replicas.below(8);
                self.drain(place)?;
            } else {
                left -= 1;
            }
        }
        if self.machines[place].inbox.is_empty() {
            // The room is used again.
            self.machines[place].inbox = inbox;
        }
        if is_drained { Ok(()) } else { self.drain(place) }
    }

    /// Performs what the replica wants done, unless it crashes in the middle.
    pub(crate) fn drain(&mut self, place: usize) -> Checked {
        let has_promised = self.machines[place].trap == Some(Trap::Promised)
            && self.cluster.checkers().seen(place).is_some_and(|seen| seen.status == StatusName::ViewChange);
        self.network.set_late(has_promised);
        let result = self.drain_outputs(place);
        self.network.set_late(false);
        if has_promised && self.cluster.is_up(place) {
            self.crash(place, Mark::CrashPromised);
            self.promise_forgotten();
        }
        result
    }

    fn drain_outputs(&mut self, place: usize) -> Checked {
        while self.cluster.is_up(place) {
            let Some(output) = self.cluster.output(place)? else { break };
            let sent = match &output {
                Output::Send { message, .. } => Some(Kind::of(&message.body)),
                _ => None,
            };
            self.perform(place, output)?;
            if self.is_trapped(place, sent) {
                let mark = if sent.is_some() { Mark::CrashAfterSend } else { Mark::CrashBetweenOutputs };
                self.crash(place, mark);
                return Ok(());
            }
        }
        if let Some(seen) = self.cluster.checkers().seen(place) {
            let words = [seen.view.0 ^ seen.log_view.0.rotate_left(32), seen.op.0 ^ seen.commit.0.rotate_left(32)];
            self.trace.note_all(&words);
        }
        self.note_log(place);
        self.note_role(place);
        self.set_timer(place);
        Ok(())
    }

    /// Whether the crash that was set up for this replica happens after this output.
    fn is_trapped(&mut self, place: usize, sent: Option<Kind>) -> bool {
        match &mut self.machines[place].trap {
            Some(Trap::Outputs(0)) => true,
            Some(Trap::Outputs(left)) => {
                *left -= 1;
                false
            }
            Some(Trap::Sent(kind)) => sent == Some(*kind),
            Some(Trap::Promised) | None => false,
        }
    }

    fn perform(&mut self, place: usize, output: Output) -> Checked {
        match output {
            Output::Send { to: Destination::Node(id), message } => {
                return self.send(place, self.cluster.place(id), message);
            }
            Output::Send { to: Destination::Others, message } => {
                for to in (0..self.scenario.replicas).filter(|to| *to != place) {
                    self.send(place, to, message.clone())?;
                }
            }
            Output::Reply(message) => self.send_answer(place, message),
            Output::SaveIdentity(_) => {
                let delay = self.dice.replicas.duration(Duration::ZERO, self.scenario.save_time);
                self.schedule.at(self.now.after(delay), Event::Saved { place, boot: self.cluster.boots(place) });
            }
            Output::TakeCheckpoint(checkpoint) => {
                let delay = self.dice.replicas.duration(Duration::ZERO, self.scenario.hash_time);
                let (boot, taken) = (self.cluster.boots(place), checkpoint.taken());
                self.schedule.at(self.now.after(delay), Event::Hashed { place, boot, taken });
            }
            Output::Event(event) => return self.on_replica_event(place, &event),
            Output::Journal { .. } | Output::SaveCheckpoint { .. } | Output::ShutDown { .. } => {}
        }
        Ok(())
    }

    fn on_replica_event(&mut self, place: usize, event: &ReplicaEvent) -> Checked {
        self.note_checkpoint(place, event);
        match event {
            ReplicaEvent::StatusChanged { status, view } => {
                self.trace.line(self.now, || format!("r{place} {} {view}", status.as_str()));
            }
            // At most as many as the group tolerates have ever crashed at once.
            ReplicaEvent::QuorumLost { recovering } => {
                hold!("L-RECOVER", false, "r{place} takes the group's memory for lost because {recovering:?} recover");
            }
            ReplicaEvent::ServicePanicked { op, message } => {
                hold!("I-NOPANIC", false, "the service of r{place} panicked at {op:?}: {message}");
            }
            ReplicaEvent::CheckpointTaken { id } => {
                self.trace.line(self.now, || format!("r{place} has checkpoint {id}"));
            }
            ReplicaEvent::TransferStarted { checkpoint } => {
                self.trace.line(self.now, || format!("r{place} fetches checkpoint {checkpoint}"));
            }
            ReplicaEvent::CheckpointInstalled { id, .. } => {
                self.trace.line(self.now, || format!("r{place} has installed checkpoint {id}"));
            }
            ReplicaEvent::Diverged { quorum, own } => {
                self.trace.line(self.now, || format!("r{place} diverges from checkpoint {quorum}"));
                let expected = !self.workload.is_deterministic();
                hold!("I-CKPT", expected, "r{place} has {own:?} where a quorum has checkpoint {quorum}");
            }
            ReplicaEvent::RootsDiffer { op } => {
                let expected = !self.workload.is_deterministic();
                hold!("I-CKPT", expected, "no quorum agrees on the checkpoint at {op}");
            }
            ReplicaEvent::JournalBroken { op } => {
                self.trace.line(self.now, || format!("r{place} has no journal above {op}"));
            }
            ReplicaEvent::BeganAgain { view, op } => {
                self.trace.line(self.now, || format!("r{place} begins again in {view} with {op}"));
            }
            ReplicaEvent::DiskDistrusted { op } => {
                self.trace.line(self.now, || format!("r{place} does not trust its disk at {op}"));
            }
            ReplicaEvent::ForeignPeer { reason, from } => {
                self.trace.line(self.now, || format!("r{place} hears a foreign {from}: {reason:?}"));
            }
        }
        Ok(())
    }

    /// Lets the replica be woken at its deadline, unless it will be woken before that anyway.
    fn set_timer(&mut self, place: usize) {
        let Some(deadline) = self.cluster.next_deadline(place) else { return };
        let machine = &mut self.machines[place];
        let moment = machine.clock.moment(deadline).max(self.now.after(TICK_MIN));
        if machine.timer.is_none_or(|timer| moment < timer) {
            machine.timer = Some(moment);
            self.schedule.at(moment, Event::Timer { place, boot: self.cluster.boots(place) });
        }
    }

    fn on_timer(&mut self, place: usize, boot: u32) -> Checked {
        let is_current = boot == self.cluster.boots(place) && self.machines[place].timer == Some(self.now);
        if !is_current || !self.cluster.is_up(place) {
            return Ok(());
        }
        self.machines[place].timer = None;
        if self.machines[place].is_paused {
            return Ok(());
        }
        let now = self.machines[place].clock.now(self.now);
        if self.cluster.next_deadline(place).is_some_and(|deadline| deadline <= now.monotonic) {
            self.count(3, place as u64);
            self.cluster.handle(place, now, Input::Tick)?;
            return self.drain(place);
        }
        self.set_timer(place);
        Ok(())
    }

    fn on_hashed(&mut self, place: usize, boot: u32, taken: Input) -> Checked {
        if boot != self.cluster.boots(place) || !self.cluster.is_up(place) {
            return Ok(());
        }
        self.count(12, place as u64);
        self.deliver(place, taken)
    }

    fn on_saved(&mut self, place: usize, boot: u32) -> Checked {
        if boot != self.cluster.boots(place) || !self.cluster.is_up(place) {
            return Ok(());
        }
        self.count(4, place as u64);
        let is_latest = self.cluster.identity_saved(place);
        if self.cluster.is_founded() && !self.are_links_held && !self.is_healed {
            self.hold_links();
        }
        if is_latest { self.deliver(place, Input::IdentitySaved) } else { Ok(()) }
    }

    /// Starts a replica that is down.
    pub(crate) fn start(&mut self, place: usize, restart: Restart) -> Checked {
        let seed = self.dice.replicas.next_u128();
        self.machines[place].clear();
        self.note_source_lost(place);
        self.trace.line(self.now, || format!("r{place} starts, {restart:?}"));
        self.cluster.start(place, restart, seed, self.machines[place].clock.now(self.now))?;
        self.drain(place)
    }

    /// Takes a replica's memory; it starts again after a while.
    pub(crate) fn crash(&mut self, place: usize, mark: Mark) {
        self.stop(place, mark);
        self.schedule_restart(place);
    }

    /// Takes a replica's memory.
    pub(crate) fn stop(&mut self, place: usize, mark: Mark) {
        self.crashes += 1;
        self.coverage.hit(mark);
        self.coverage.struck(Blow::Crash, self.role(place));
        if !self.cluster.is_founded() {
            self.coverage.hit(Mark::CrashStarting);
        }
        let saves = self.cluster.saves_under_way(place);
        let kept = usize::try_from(self.dice.faults.below(saves as u64 + 1)).expect("few saves");
        if saves > 0 {
            self.coverage.hit(if kept < saves { Mark::IdentityLost } else { Mark::IdentityKept });
        }
        self.count(5, place as u64);
        self.trace.line(self.now, || format!("r{place} crashes"));
        self.cluster.crash(place, kept);
        self.machines[place].clear();
        self.note_role(place);
    }

    /// What a machine is doing.
    pub(crate) fn role(&self, place: usize) -> Role {
        let Some(seen) = self.cluster.checkers().seen(place) else { return Role::Down };
        match seen.status {
            StatusName::Starting => Role::Starting,
            StatusName::Normal if seen.leads => Role::Primary,
            StatusName::Normal => Role::Backup,
            StatusName::ViewChange => Role::ViewChange,
            StatusName::Recovering => Role::Recovering,
        }
    }

    /// Counts a change of what a machine is doing.
    fn note_role(&mut self, place: usize) {
        let (before, now) = (self.machines[place].role, self.role(place));
        if before != now {
            self.machines[place].role = now;
            self.coverage.changed(before, now);
        }
    }

    /// Checks all answers against the service's meaning, once the run is over.
    pub(crate) fn check_history(&mut self) -> Checked {
        crate::checkers::locate(&mut self.history, self.cluster.checkers().ghost())?;
        for _ in 0..self.workload.check(&self.history, &self.settings)? {
            self.coverage.hit(Mark::Undecided);
        }
        Ok(())
    }
}

fn draw_clock(random: &mut Random, scenario: &Scenario) -> Clock {
    let drift = i64::try_from(random.below(2 * scenario.clock_drift_ppm + 1)).expect("small");
    let drift = drift - i64::try_from(scenario.clock_drift_ppm).expect("small");
    Clock::new(random.below(nanos(Duration::from_secs(3_600))), drift)
}
