//! Schedules by hand, written as transcripts in the paper's notation, one event a line.
//!
//! Every message waits until a line names it, every timer until a line fires it. A line that matches nothing fails the test, and
//! shows what is in flight in the same notation: so a schedule is exact, and the next line can be copied from what is printed.
//!
//! ```text
//! client->r0  REQUEST A                   the client's operation A arrives at r0; the second time it is a retry
//! client->r0  REGISTER                    the client asks for a session, which later requests belong to once it is answered
//! r0->r1      PREPARE v0 n2 k1            this message arrives; leading fields are enough
//! r0->r2      PREPARE v0 n2 k1  lost      it never does
//! r0->r2      PREPARE v0 n2 k1  twice
//! r0->r2      PREPARE v0 n2 k1  late (m)  it arrives when a line says `m arrives`, as often as that is said
//! r0->r2      PREPARE v0 n2 k1  copied (m)   it arrives, and a copy of it is late
//! r0->*       COMMIT            lost      all of these; also *->r0
//! r0->client  REPLY v0 A                  the client is told that its operation is done, and that the result is A
//! everything is lost                      also: everything arrives, with all that follows from it
//! everything from r2 is lost              also: everything to r2
//! nothing is in flight                    also: nothing is in flight to r2, or to client
//!
//! r2 grows impatient                      300 ms pass at r2 alone, and nothing is due: half a timeout, for votes do not keep
//! r2 times out                            time passes at r2 alone until it votes; what it sends meanwhile is lost
//! r2 waits 50 ms                          time passes at r2 alone; it does what is due
//! r2 enters v4                            it hears that a quorum wants view 4; votes and the news of them are left out
//! r2 crashes                              it loses its memory, and is down
//! r2 recovers                             it starts again and asks the others; also: r2 recovers wiped, without its identity
//!
//! r2's disk is stuck                      records of its journal wait until a line says that it writes; a crash loses them
//! r2's disk writes                        all of those that wait; also: r2's disk writes 1
//! r2's disk is quick                      as it was before: nothing waits
//! r2 restarts                             it starts again from what its disk holds
//! r2 restarts in doubt                    the same, but something on the disk is damaged
//! r2 is shut down                         it stops, so that it may start again without recovery
//!
//! cut r0-r2                               the link loses everything, in both directions; also: cut r0->r2, r2 is cut off
//! the network heals                       no link is cut, and all clocks are level
//! 500 ms pass                             for everyone; links that are not cut deliver everything at once
//!
//! r1 is normal v1 n2 k2 x2 v'=1           status, view, op-number, commit-number, executed, v'; leading fields are enough
//! r1 holds A@v0 B@v1                      its log, but for the opening of sessions; or: nothing
//! r1 has executed AB                      or: nothing; also: everyone is ..., everyone has executed ...
//! // a remark, also at the end of a line
//! ```

mod play;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use viewstamped_protocol::message::{Body, ClientReply, ClientRequest};
use viewstamped_protocol::*;

use crate::common::{Group, ms};

/// How many slots the client's session has.
const SLOTS: usize = 8;

pub struct Script {
    pub group: Group,
    session: SessionNumber,
    /// The client's operations, in the order of their first submission.
    requests: Vec<String>,
    /// What is late, by label.
    late: BTreeMap<String, Parcel>,
    /// How far each replica's clock is ahead of the others'.
    ahead: BTreeMap<u64, Duration>,
}

/// A message on its way.
#[derive(Clone, Debug)]
enum Parcel {
    ToReplica(NodeId, Message),
    ToClient(ToClient),
}

impl Script {
    /// A group that serves in view 0 with an open session, the REGISTER being op 1; nothing is under way.
    pub fn serving(size: u64) -> Self {
        Self::serving_with(size, Self::options())
    }

    /// The default options, but for hints that a member is gone: they would keep views from being tried that a schedule is about.
    pub fn options() -> Options {
        Options { evidence_lifetime: Duration::ZERO, ..Options::default() }
    }

    pub fn serving_with(size: u64, options: Options) -> Self {
        Self::begun_with(size, options).registered()
    }

    /// A group that serves in view 0, whose members have disks.
    pub fn durable(size: u64, durability: Durability) -> Self {
        Self::durable_with(size, ClusterOptions::default(), durability)
    }

    pub fn durable_with(size: u64, cluster_options: ClusterOptions, durability: Durability) -> Self {
        Self::of(Group::with(size, cluster_options, Self::options(), durability)).registered()
    }

    fn registered(mut self) -> Self {
        self.session = self.group.register(0);
        self.group.run_for(ms(100));
        assert!(self.group.network.is_empty());
        self.group.replies.clear();
        self
    }

    /// A group that serves in view 0 with an empty log.
    pub fn begun_with(size: u64, options: Options) -> Self {
        Self::of(Group::with_options(size, options))
    }

    fn of(mut group: Group) -> Self {
        group.run_for(ms(300));
        assert!(group.all_normal(), "all of a new group become normal");
        Self {
            group,
            session: SessionNumber::ZERO,
            requests: Vec::new(),
            late: BTreeMap::new(),
            ahead: BTreeMap::new(),
        }
    }

    /// Plays a schedule: see the module's documentation. Fails at the first line that is not what happens.
    #[track_caller]
    pub fn play(&mut self, schedule: &str) {
        for (place, line) in schedule.lines().enumerate() {
            if let Err(problem) = self.play_line(line) {
                let (number, line) = (place + 1, line.trim());
                panic!("line {number} of the schedule, `{line}`: {problem}\n{}", self.situation());
            }
        }
    }

    /// How much time has passed at the replica, beyond what has passed for everyone.
    pub fn ahead(&self, node: u64) -> Duration {
        self.ahead.get(&node).copied().unwrap_or_default()
    }

    fn nodes(&self) -> Vec<u64> {
        self.group.configuration.ids().map(|id| id.0).collect()
    }

    fn at_clock_of(&mut self, node: u64, act: impl FnOnce(&mut Group)) {
        let now = self.group.now;
        self.group.now.monotonic = now.monotonic.after(self.ahead(node));
        act(&mut self.group);
        self.group.now = now;
    }

    fn deliver(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::ToReplica(to, message) => {
                self.at_clock_of(to.0, |group| group.input(to.0, Input::Message(message)));
            }
            Parcel::ToClient(reply) => {
                if let ClientReply::Registered { session, .. } = &reply.body {
                    self.session = *session;
                }
            }
        }
    }

    /// The client submits an operation, or submits it again.
    fn request(&mut self, to: u64, payload: &str) {
        let known = self.requests.iter().position(|known| known == payload);
        let place = known.unwrap_or_else(|| {
            self.requests.push(payload.to_owned());
            self.requests.len() - 1
        });
        let body = ClientRequest::Operation {
            session: self.session,
            slot: Slot::try_from(place % SLOTS).expect("small"),
            number: RequestNumber((place / SLOTS + 1) as u64),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        };
        self.at_clock_of(to, |group| group.request(to, body));
    }

    /// Time passes at one replica, which does what is due.
    fn wait(&mut self, node: u64, time: Duration) {
        for _ in 0..time.as_millis() {
            *self.ahead.entry(node).or_default() += ms(1);
            self.at_clock_of(node, |group| group.input(node, Input::Tick));
        }
    }

    /// Time passes at one replica until it votes. What it sends before is lost.
    fn time_out(&mut self, node: u64) -> Result<(), String> {
        let is_vote = |(_, message): &(NodeId, Message)| match &message.body {
            Body::StartViewChange(vote) => !vote.confirmed,
            _ => false,
        };
        let before = self.group.network.len();
        for _ in 0..20_000 {
            self.wait(node, ms(1));
            if self.group.network.iter().skip(before).any(is_vote) {
                return Ok(());
            }
            self.group.network.truncate(before);
        }
        Err(format!("r{node} never suspects the primary"))
    }

    /// The replica hears that a quorum wants `view`, and joins; its own news of that is lost.
    fn enter_view(&mut self, node: u64, view: u64) {
        let before = self.group.network.len();
        self.at_clock_of(node, |group| group.enter_view_change(node, view));
        let mut place = 0;
        self.group.network.retain(|(_, message)| {
            place += 1;
            place <= before || !matches!(message.body, Body::StartViewChange(_))
        });
    }

    /// All clocks are brought level, at the most advanced one.
    fn level_clocks(&mut self) {
        let most = self.ahead.values().max().copied().unwrap_or_default();
        self.group.now.monotonic = self.group.now.monotonic.after(most);
        self.ahead.clear();
    }
}
