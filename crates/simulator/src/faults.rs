//! What breaks, when, and how it is mended: never more than the group tolerates at once.

use std::time::Duration;

use viewstamped_protocol::{ClientId, InstanceId};

use crate::checkers::Checked;
use crate::cluster::Restart;
use crate::coverage::{Blow, Mark};
use crate::machine::Trap;
use crate::message_kind::{CRUCIAL, Kind};
use crate::random::{Draw, nanos};
use crate::simulation::{Event, Simulation};
use crate::topology::Topology;
use crate::workload::Workload;

/// Something breaks, or is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A replica crashes, now or at a chosen moment soon.
    Crash,
    /// A replica crashes while the group begins.
    EarlyCrash,
    /// A replica starts for the first time.
    Start { place: usize },
    /// A crashed replica starts again.
    Restart { place: usize, boot: u32 },
    /// The links between replicas take another shape.
    Partition,
    /// The links between replicas are whole again, unless they have changed since.
    Whole { serial: u64 },
    /// The shape of the links goes, or comes back.
    Flap { serial: u64, is_on: bool },
    /// A replica stops for a while.
    Pause,
    /// A paused replica goes on.
    Resume { place: usize, boot: u32 },
    /// A client crashes and starts again.
    ClientCrash,
    /// A client is cut off from some replicas.
    ClientCut,
    /// A client reaches everybody again.
    ClientWhole { client: usize },
    /// A wall clock jumps.
    ClockJump,
    /// A replica's service is replaced by another at its next checkpoint.
    ServiceDrop,
}

impl<W: Workload> Simulation<'_, W> {
    /// Schedules the first of each kind of fault that this run knows.
    pub(crate) fn schedule_faults(&mut self) {
        for fault in [
            Fault::Crash,
            Fault::Partition,
            Fault::Pause,
            Fault::ClientCrash,
            Fault::ClientCut,
            Fault::ClockJump,
            Fault::ServiceDrop,
        ] {
            self.schedule_next(fault);
        }
        let beginning = self.scenario.start_time + 2 * self.scenario.save_time + 4 * self.scenario.network.latency_max;
        for _ in 0..self.scenario.faults.early_crashes {
            let moment = self.dice.faults.duration(Duration::ZERO, beginning);
            self.schedule.at(self.now.after(moment), Event::Fault(Fault::EarlyCrash));
        }
    }

    /// Schedules the next fault of this kind.
    fn schedule_next(&mut self, fault: Fault) {
        let faults = self.scenario.faults;
        let mean = match fault {
            Fault::Crash => faults.crash,
            Fault::Partition if self.settings.topology.is_some() => None,
            Fault::Partition => faults.partition,
            Fault::ClientCut if self.settings.clients_reach.is_some() => None,
            Fault::ClientCut => faults.client_cut,
            Fault::Pause => faults.pause,
            Fault::ClientCrash => faults.client_crash,
            Fault::ClockJump => faults.clock_jump,
            Fault::ServiceDrop => faults.service_drop,
            Fault::EarlyCrash | Fault::Start { .. } | Fault::Restart { .. } => None,
            Fault::Whole { .. } | Fault::Flap { .. } | Fault::Resume { .. } | Fault::ClientWhole { .. } => None,
        };
        if let Some(mean) = mean {
            let pause = self.dice.faults.interval(mean);
            self.schedule.at(self.now.after(pause), Event::Fault(fault));
        }
    }

    /// Lets a fault happen. In the healed phase only what mends happens.
    pub(crate) fn on_fault(&mut self, fault: Fault) -> Checked {
        if !self.is_healed {
            self.schedule_next(fault);
        }
        match fault {
            Fault::Start { place } => self.start(place, Restart::Surviving),
            Fault::Restart { place, boot } => self.on_restart(place, boot),
            Fault::Resume { place, boot } => self.on_resume(place, boot),
            _ if self.is_healed => Ok(()),
            Fault::Whole { serial } => {
                self.on_whole(serial);
                Ok(())
            }
            Fault::Flap { serial, is_on } => {
                self.on_flap(serial, is_on);
                Ok(())
            }
            Fault::ClientWhole { client } => {
                self.network.cut_client(client, 0, 0);
                Ok(())
            }
            _ => self.strike(fault),
        }
    }

    /// Something breaks, unless it is spared. Each fault draws on a generator of its own: to spare one leaves the next as it is.
    fn strike(&mut self, fault: Fault) -> Checked {
        let own = self.dice.faults.fork();
        let number = self.faults;
        self.faults += 1;
        if self.settings.spared.contains(&number) {
            return Ok(());
        }
        self.trace.line(self.now, || format!("fault {number}"));
        let shared = std::mem::replace(&mut self.dice.faults, own);
        let result = self.let_break(fault);
        self.dice.faults = shared;
        result
    }

    fn let_break(&mut self, fault: Fault) -> Checked {
        match fault {
            Fault::Crash => self.on_crash(),
            Fault::EarlyCrash => {
                let place = self.draw_victim();
                if self.may_crash(place) {
                    self.crash(place, Mark::CrashIdle);
                }
            }
            Fault::Partition => self.on_partition(),
            Fault::Pause => self.on_pause(),
            Fault::ClientCrash => return self.on_client_crash(),
            Fault::ClientCut => self.on_client_cut(),
            Fault::ClockJump => self.on_clock_jump(),
            Fault::ServiceDrop => self.on_service_drop(),
            Fault::Start { .. } | Fault::Restart { .. } | Fault::Resume { .. } => unreachable!("that mends"),
            Fault::Whole { .. } | Fault::Flap { .. } | Fault::ClientWhole { .. } => {
                unreachable!("that follows a fault")
            }
        }
        Ok(())
    }

    fn on_whole(&mut self, serial: u64) {
        if serial == self.topologies {
            self.trace.line(self.now, || "links whole".into());
            self.topologies += 1;
            self.network.shape(&Topology::Whole);
        }
    }

    /// Whether the group tolerates that this replica crashes.
    fn may_crash(&self, place: usize) -> bool {
        let trapped = |other: usize| self.machines[other].trap.is_some();
        let failing = (0..self.machines.len())
            .filter(|&other| other == place || self.cluster.is_faulty(other) || trapped(other))
            .count();
        self.cluster.is_up(place) && failing <= self.cluster.configuration().threshold()
    }

    fn on_crash(&mut self) {
        let place = self.draw_victim();
        if !self.may_crash(place) {
            // A trap that never springs must not keep others from crashing.
            self.machines[place].trap = None;
            return;
        }
        let trap = match self.dice.faults.below(6) {
            0 => None,
            1 | 2 => Some(Trap::Promised),
            3 => Some(Trap::Outputs(u32::try_from(self.dice.faults.below(12)).expect("small"))),
            _ => Some(Trap::Sent(*self.dice.faults.pick(&CRUCIAL))),
        };
        match trap {
            None => self.crash(place, Mark::CrashIdle),
            Some(_) => self.machines[place].trap = trap,
        }
    }

    /// A replica whose promise is still under way has crashed: perhaps one of those crashes next who tell it what it forgot (C1).
    pub(crate) fn promise_forgotten(&mut self) {
        let helper = self.draw_victim();
        if self.dice.faults.strikes(32_768) && self.may_crash(helper) {
            self.machines[helper].trap = Some(Trap::Sent(Kind::RecoveryResponse));
        }
    }

    /// Any replica, but the primary more often than others.
    fn draw_victim(&mut self) -> usize {
        let any = usize::try_from(self.dice.faults.below(self.machines.len() as u64)).expect("a place");
        let primary = self.cluster.primary().filter(|_| self.dice.faults.strikes(16_384));
        primary.unwrap_or(any)
    }

    /// Lets a crashed replica start again after a while.
    pub(crate) fn schedule_restart(&mut self, place: usize) {
        let longest = if self.is_healed { Duration::from_millis(1) } else { self.scenario.faults.restart_max };
        let pause = self.dice.faults.magnitude(1, nanos(longest).max(1));
        let restart = Fault::Restart { place, boot: self.cluster.boots(place) };
        self.schedule.at(self.now.after(Duration::from_nanos(pause)), Event::Fault(restart));
    }

    fn on_restart(&mut self, place: usize, boot: u32) -> Checked {
        if self.cluster.is_up(place) || self.cluster.boots(place) != boot {
            return Ok(());
        }
        self.count(9, place as u64);
        let is_wiped = self.cluster.is_founded() && self.dice.faults.strikes(self.scenario.faults.wipe);
        let restart = match (is_wiped, self.dice.faults.below(2)) {
            (false, _) => Restart::Surviving,
            (true, 0) => Restart::Wiped,
            (true, _) => Restart::Reformatted(InstanceId(self.dice.faults.next_u128())),
        };
        self.coverage.hit(match restart {
            Restart::Surviving => Mark::RestartSurviving,
            Restart::Wiped => Mark::RestartWiped,
            Restart::Reformatted(_) => Mark::RestartReformatted,
        });
        self.start(place, restart)
    }

    fn on_partition(&mut self) {
        let primary = self.cluster.primary();
        let topology = Topology::draw(&mut self.dice.faults, self.machines.len(), primary);
        let flapping = self.dice.faults.strikes(self.scenario.faults.flapping).then(|| {
            let (low, high) = (nanos(Duration::from_millis(10)), nanos(Duration::from_secs(2)));
            Duration::from_nanos(self.dice.faults.magnitude(low, high))
        });
        self.shape_links(topology, flapping);
        let lasts =
            self.dice.faults.magnitude(nanos(Duration::from_millis(1)), nanos(self.scenario.faults.partition_max));
        let whole = Fault::Whole { serial: self.topologies };
        self.schedule.at(self.now.after(Duration::from_nanos(lasts)), Event::Fault(whole));
    }

    /// Gives the links a shape that stays, or comes and goes at this interval.
    fn shape_links(&mut self, topology: Topology, flapping: Option<Duration>) {
        self.network.shape(&topology);
        self.topologies += 1;
        self.coverage.hit(Mark::Partition);
        let often = flapping.map_or_else(String::new, |interval| format!(", flapping every {interval:?}"));
        self.trace.line(self.now, || format!("links {topology}{often}"));
        if let Some(interval) = flapping {
            self.coverage.hit(Mark::Flapping);
            let flap = Fault::Flap { serial: self.topologies, is_on: false };
            self.schedule.at(self.now.after(interval), Event::Fault(flap));
        }
        self.flapping = flapping.map(|interval| (topology, interval));
    }

    fn on_flap(&mut self, serial: u64, is_on: bool) {
        let Some((topology, interval)) = self.flapping.as_ref().filter(|_| serial == self.topologies) else { return };
        self.network.shape(if is_on { topology } else { &Topology::Whole });
        let again = Event::Fault(Fault::Flap { serial, is_on: !is_on });
        self.schedule.at(self.now.after(*interval), again);
    }

    /// Once the group has begun, the links and the clients' reach take what shape the settings want.
    pub(crate) fn hold_links(&mut self) {
        self.are_links_held = true;
        if let Some(topology) = self.settings.topology.clone() {
            self.shape_links(topology, self.settings.flapping);
        }
        if let Some(reach) = self.settings.clients_reach {
            self.coverage.hit(Mark::ClientCut);
            for client in 0..self.clients.len() {
                self.network.cut_client(client, !reach, !reach);
            }
        }
    }

    fn on_pause(&mut self) {
        let place = self.draw_victim();
        if !self.cluster.is_up(place) || self.machines[place].is_paused {
            return;
        }
        self.machines[place].is_paused = true;
        self.coverage.struck(Blow::Pause, self.role(place));
        self.trace.line(self.now, || format!("r{place} pauses"));
        let lasts = self.dice.faults.magnitude(nanos(Duration::from_millis(1)), nanos(self.scenario.faults.pause_max));
        let resume = Fault::Resume { place, boot: self.cluster.boots(place) };
        self.schedule.at(self.now.after(Duration::from_nanos(lasts)), Event::Fault(resume));
    }

    /// A replica that was paused gets everything that has gathered at once, and finds its timers long due.
    fn on_resume(&mut self, place: usize, boot: u32) -> Checked {
        if !self.machines[place].is_paused || self.cluster.boots(place) != boot || !self.cluster.is_up(place) {
            return Ok(());
        }
        self.count(10, place as u64);
        let machine = &mut self.machines[place];
        machine.is_paused = false;
        machine.turn_scheduled = false;
        machine.timer = None;
        self.trace.line(self.now, || format!("r{place} goes on"));
        self.turn(place)
    }

    /// Ends all pauses.
    pub(crate) fn resume_all(&mut self) -> Checked {
        for place in 0..self.machines.len() {
            self.on_resume(place, self.cluster.boots(place))?;
        }
        Ok(())
    }

    fn on_client_crash(&mut self) -> Checked {
        let client = usize::try_from(self.dice.faults.below(self.clients.len() as u64)).expect("a client");
        let resume = self.dice.faults.strikes(32_768) && self.clients[client].remembers();
        self.coverage.hit(if resume { Mark::ClientResumed } else { Mark::ClientAbandoned });
        let (id, seed) = (ClientId(self.dice.faults.next_u128()), self.dice.faults.next_u128());
        let now = self.now;
        self.count(11, client as u64);
        self.trace.line(now, || format!("c{client} crashes, {}", if resume { "resumes" } else { "starts anew" }));
        self.clients[client].crash(now, resume, id, seed);
        self.drain_client(client)
    }

    fn on_client_cut(&mut self) {
        let client = usize::try_from(self.dice.faults.below(self.clients.len() as u64)).expect("a client");
        let mask = |bits: u64| u32::try_from(bits & 0xff).expect("a byte");
        let (requests, answers) = (mask(self.dice.faults.next_u64()), mask(self.dice.faults.next_u64()));
        self.network.cut_client(client, requests, answers);
        self.coverage.hit(Mark::ClientCut);
        let lasts =
            self.dice.faults.magnitude(nanos(Duration::from_millis(1)), nanos(self.scenario.faults.partition_max));
        self.schedule.at(self.now.after(Duration::from_nanos(lasts)), Event::Fault(Fault::ClientWhole { client }));
    }

    fn on_service_drop(&mut self) {
        let place = self.draw_victim();
        if self.cluster.is_up(place) {
            self.trace.line(self.now, || format!("r{place} is to lose its service"));
            self.cluster.doom_service(place);
        }
    }

    fn on_clock_jump(&mut self) {
        let place = self.draw_victim();
        let far = i64::try_from(self.dice.faults.magnitude(1, nanos(Duration::from_secs(3_600)))).expect("an hour");
        let backwards = self.dice.faults.strikes(32_768);
        self.machines[place].clock.jump(if backwards { -far } else { far });
        self.coverage.struck(Blow::ClockJump, self.role(place));
    }
}
