//! I-DUR: every quorum that could now form for a view change selects a log that holds all that was decided before that view.
//!
//! A quorum forms from what live replicas would send now and from any DOVIEWCHANGE ever sent, because the network may deliver it
//! at any later time. It counts only when it is crash-consistent: no member has heard of a later incarnation of another. This
//! sees a loss some steps before it happens, and long before a client notices.

use std::collections::BTreeMap;

use viewstamped_protocol::log::Log;
use viewstamped_protocol::message::{DoViewChange, Header};
use viewstamped_protocol::{ChainHash, Configuration, Incarnation, OpNumber, StatusName, ViewNumber};

use crate::checkers::candidate::{Candidate, Known, complete, followers_of, known_of};
use crate::checkers::{Checked, Ghost, Replicas, Seen, covers, hold};

const NAME: &str = "I-DUR";

/// A DOVIEWCHANGE that was sent, with what its log held.
#[derive(Clone, Debug)]
struct Promise {
    place: usize,
    incarnation: Incarnation,
    rank: (ViewNumber, OpNumber),
    known: Known,
    /// Up to this op-number the log was compared when the message was sent.
    floor: OpNumber,
    holds_floor: bool,
    /// The chain hashes above `floor`.
    above: Vec<ChainHash>,
}

impl Promise {
    /// Whether the log held what was decided up to `op`, which is never below `floor`.
    fn holds(&self, op: OpNumber, hash: ChainHash) -> bool {
        if op <= self.floor {
            return self.holds_floor;
        }
        let place = usize::try_from(op.0 - self.floor.0 - 1).expect("fits memory");
        self.holds_floor && self.above.get(place) == Some(&hash)
    }
}

/// What counts of a live replica.
#[derive(Clone, Copy, Debug)]
struct Standing {
    incarnation: Incarnation,
    view: ViewNumber,
    is_changing: bool,
    rank: (ViewNumber, OpNumber),
    /// Whether its log holds everything decided so far.
    holds: bool,
}

/// The checker.
#[derive(Debug)]
pub(crate) struct Durability {
    configuration: Configuration,
    standing: Vec<Option<Standing>>,
    promises: BTreeMap<ViewNumber, Vec<Promise>>,
}

impl Standing {
    /// What counts of this replica, when anything does.
    fn of(now: &Seen) -> Option<Self> {
        now.is_live().then(|| Self {
            incarnation: now.incarnation,
            view: now.view,
            is_changing: now.status == StatusName::ViewChange,
            rank: (now.log_view, now.op),
            holds: false,
        })
    }
}

impl Durability {
    pub(crate) fn new(configuration: Configuration) -> Self {
        let members = configuration.len();
        Self { configuration, standing: vec![None; members], promises: BTreeMap::new() }
    }

    /// Notes that a replica is down: it cannot join a quorum, but what it sent can.
    pub(crate) fn crashed(&mut self, place: usize) {
        self.standing[place] = None;
    }

    /// Notes a DOVIEWCHANGE when it is sent; `log` is its sender's.
    pub(crate) fn promised(&mut self, place: usize, header: &Header, message: &DoViewChange, log: &Log, ghost: &Ghost) {
        let promises = self.promises.entry(header.view).or_default();
        if promises.iter().any(|promise| (promise.place, promise.incarnation) == (place, header.incarnation)) {
            return;
        }
        // What is in a checkpoint is decided.
        let floor = ghost.decided_before(header.view).max(log.base());
        promises.push(Promise {
            place,
            incarnation: header.incarnation,
            rank: (message.log_view, message.op),
            known: known_of(&self.configuration, &message.crash_vector),
            floor,
            holds_floor: floor <= message.op && covers(log, floor, ghost.hash_at(floor)),
            above: log.iter_above(floor).take_while(|entry| entry.op() <= message.op).map(|entry| entry.hash).collect(),
        });
    }

    /// Begins anew in the middle of things, with replicas as they are: for states that are checked without their history. All
    /// DOVIEWCHANGEs that are under way have to be noted next.
    pub(crate) fn look_at<'a>(&mut self, seen: impl Iterator<Item = &'a Seen>, replicas: &dyn Replicas, ghost: &Ghost) {
        self.promises.clear();
        let (head, hash) = (ghost.head(), ghost.hash_at(ghost.head()));
        for (place, now) in seen.enumerate() {
            self.standing[place] = Standing::of(now).map(|standing| {
                let holds = replicas.probe(place).is_some_and(|probe| covers(probe.log, head, hash));
                Standing { holds, ..standing }
            });
        }
    }

    /// Checks what has been decided against the logs of later views, and all quorums that could form now.
    pub(crate) fn check_everything(&self, replicas: &dyn Replicas, ghost: &Ghost) -> Checked {
        if ghost.head() > OpNumber::ZERO {
            self.check_later_views(replicas, ghost)?;
        }
        self.check(replicas, ghost)
    }

    /// Checks all quorums after a replica has changed or operations were decided.
    pub(crate) fn stepped(
        &mut self,
        place: usize,
        now: &Seen,
        decided_before: OpNumber,
        replicas: &dyn Replicas,
        ghost: &Ghost,
    ) -> Checked {
        let head = ghost.head();
        let hash = ghost.hash_at(head);
        self.standing[place] = Standing::of(now);
        if head != decided_before {
            self.check_later_views(replicas, ghost)?;
            let passed = ghost.view().0.saturating_sub(2 * self.configuration.len() as u64);
            self.promises.retain(|view, _| view.0 >= passed);
        }
        for (other, standing) in self.standing.iter_mut().enumerate() {
            if let Some(standing) = standing
                && (other == place || head != decided_before)
            {
                standing.holds = replicas.probe(other).is_some_and(|probe| covers(probe.log, head, hash));
            }
        }
        self.check(replicas, ghost)
    }

    /// An operation decided late must be in the log of every later view that has started.
    fn check_later_views(&self, replicas: &dyn Replicas, ghost: &Ghost) -> Checked {
        let (op, view) = (ghost.head(), ghost.committed(ghost.head()).expect("just decided").view);
        for (place, standing) in self.standing.iter().enumerate() {
            if standing.is_some_and(|standing| standing.rank.0 > view) {
                let probe = replicas.probe(place).expect("live");
                let holds = covers(probe.log, op, ghost.hash_at(op));
                hold!(
                    NAME,
                    holds,
                    "{op} was decided in {view}, but the log of {} at {} lacks it",
                    probe.log_view,
                    probe.id
                );
            }
        }
        Ok(())
    }

    /// Checks all quorums that could form now.
    pub(crate) fn check(&self, replicas: &dyn Replicas, ghost: &Ghost) -> Checked {
        if self.live_could_lose() {
            let live =
                (0..self.standing.len()).map(|place| self.live(place, replicas, None, ghost).into_iter().collect());
            self.check_quorums("a later view", live.collect(), ghost.head())?;
        }
        for (&view, promises) in &self.promises {
            if !self.could_start(view) {
                continue;
            }
            let op = ghost.decided_before(view);
            let hash = ghost.hash_at(op);
            let mut candidates: Vec<Vec<Candidate>> = (0..self.standing.len())
                .map(|place| self.live(place, replicas, Some(view), ghost).into_iter().collect())
                .collect();
            for promise in promises {
                let Promise { place, incarnation, rank, known, .. } = *promise;
                let holds = promise.holds(op, hash);
                candidates[place].push(Candidate { place, incarnation, rank, known, holds });
            }
            self.check_void(view, &candidates)?;
            self.check_quorums(&view.to_string(), candidates, op)?;
        }
        Ok(())
    }

    /// I-VOID: a promise whose maker has crashed since and now serves in an earlier view can no longer be part of any quorum.
    ///
    /// Those whose answers completed the recovery know of the crash, and they are in every quorum. Sees a hole in that argument
    /// before anything is committed that could fall through it.
    fn check_void(&self, view: ViewNumber, candidates: &[Vec<Candidate>]) -> Checked {
        for promise in candidates.iter().flatten() {
            let Some(maker) = self.standing[promise.place] else { continue };
            if maker.view >= view || maker.incarnation <= promise.incarnation {
                continue;
            }
            let followers = followers_of(promise, candidates, |_| true);
            let mut members = vec![*promise];
            if complete(&mut members, &followers, self.configuration.quorum()) {
                let (forgotten, names) = (self.name(promise), self.names(members));
                hold!(
                    "I-VOID",
                    false,
                    "{names} could start {view} with the promise of {forgotten}, which it has forgotten"
                );
            }
        }
        Ok(())
    }

    /// Whether so many live replicas rank no higher than one that lacks something that they could be a quorum.
    fn live_could_lose(&self) -> bool {
        let live = || self.standing.iter().flatten();
        let worst = live().filter(|standing| !standing.holds).map(|standing| standing.rank).max();
        worst.is_some_and(|worst| {
            live().filter(|standing| standing.rank <= worst).count() >= self.configuration.quorum()
        })
    }

    /// Whether the primary of `view` could still start it.
    fn could_start(&self, view: ViewNumber) -> bool {
        let primary = self.configuration.index_of(self.configuration.primary(view)).expect("a member");
        self.standing[primary].is_some_and(|standing| could_join(&standing, view))
    }

    /// The log a live replica would send for `view`; for any later view when there is none.
    fn live(
        &self,
        place: usize,
        replicas: &dyn Replicas,
        view: Option<ViewNumber>,
        ghost: &Ghost,
    ) -> Option<Candidate> {
        let standing = self.standing[place]?;
        if view.is_some_and(|view| !could_join(&standing, view)) {
            return None;
        }
        let probe = replicas.probe(place)?;
        let op = view.map_or(ghost.head(), |view| ghost.decided_before(view));
        Some(Candidate {
            place,
            incarnation: probe.incarnation,
            rank: standing.rank,
            known: known_of(&self.configuration, probe.crash_vector),
            holds: covers(probe.log, op, ghost.hash_at(op)),
        })
    }

    /// Looks for a crash-consistent quorum whose best log lacks something.
    fn check_quorums(&self, view: &str, candidates: Vec<Vec<Candidate>>, op: OpNumber) -> Checked {
        let quorum = self.configuration.quorum();
        for winner in candidates.iter().flatten().filter(|candidate| !candidate.holds) {
            let followers = followers_of(winner, &candidates, |other| other.rank <= winner.rank);
            let mut members = vec![*winner];
            if complete(&mut members, &followers, quorum) {
                let (winner, names) = (self.name(winner), self.names(members));
                hold!(
                    NAME,
                    false,
                    "{names} could start {view} from the log of {winner}, which lacks what was decided up to {op}"
                );
            }
        }
        Ok(())
    }

    fn names(&self, mut members: Vec<Candidate>) -> String {
        members.sort_by_key(|member| member.place);
        members.iter().map(|member| self.name(member)).collect::<Vec<_>>().join(", ")
    }

    fn name(&self, candidate: &Candidate) -> String {
        let id = self.configuration.members()[candidate.place].id;
        format!("{id} {} ({} of {})", candidate.incarnation, candidate.rank.1, candidate.rank.0)
    }
}

/// Whether a replica may yet send a DOVIEWCHANGE for `view`.
fn could_join(standing: &Standing, view: ViewNumber) -> bool {
    standing.view < view || (standing.view == view && standing.is_changing)
}

#[cfg(test)]
mod tests {
    use viewstamped_protocol::configuration::MEMBERS_MAX;

    use super::*;

    fn candidate(place: usize, rank: (u64, u64), incarnation: u64, known: &[u64]) -> Candidate {
        let mut vector = [Incarnation::ZERO; MEMBERS_MAX];
        for (place, incarnation) in known.iter().enumerate() {
            vector[place] = Incarnation(*incarnation);
        }
        Candidate {
            place,
            incarnation: Incarnation(incarnation),
            rank: (ViewNumber(rank.0), OpNumber(rank.1)),
            known: vector,
            holds: rank.1 > 0,
        }
    }

    fn found(candidates: Vec<Vec<Candidate>>) -> bool {
        let members = (0..candidates.len() as u64)
            .map(|id| viewstamped_protocol::Member {
                id: viewstamped_protocol::NodeId(id + 1),
                role: viewstamped_protocol::Role::Active,
                address: id.to_string(),
            })
            .collect();
        let configuration = Configuration::new(viewstamped_protocol::EpochNumber::ZERO, members).expect("valid");
        Durability::new(configuration).check_quorums("v1", candidates, OpNumber(1)).is_err()
    }

    #[test]
    fn a_quorum_without_the_decided_operation_is_found() {
        let empty = |place| vec![candidate(place, (0, 0), 1, &[1, 1, 1])];
        assert!(found(vec![vec![candidate(0, (0, 1), 1, &[1, 1, 1])], empty(1), empty(2)]));
    }

    #[test]
    fn two_of_three_that_hold_it_are_enough() {
        let full = |place| vec![candidate(place, (0, 1), 1, &[1, 1, 1])];
        assert!(!found(vec![full(0), full(1), vec![candidate(2, (0, 0), 1, &[1, 1, 1])]]));
    }

    #[test]
    fn a_log_of_a_later_view_wins_however_short() {
        let full = |place| vec![candidate(place, (0, 1), 1, &[1, 1, 1])];
        assert!(found(vec![full(0), full(1), vec![candidate(2, (1, 0), 1, &[1, 1, 1])]]));
    }

    /// C1: the promise of a replica that has crashed since counts only as long as nobody in the quorum knows of the crash.
    #[test]
    fn a_promise_from_before_a_crash_counts_only_among_those_who_have_not_heard_of_it() {
        let full = |place| vec![candidate(place, (0, 1), 1, &[1, 1, 1])];
        let old = candidate(2, (0, 0), 1, &[1, 1, 1]);
        let new = candidate(2, (0, 1), 2, &[1, 1, 2]);
        let behind = |known: &[u64]| vec![candidate(1, (0, 0), 1, known)];
        assert!(found(vec![full(0), behind(&[1, 1, 1]), vec![old, new]]));
        assert!(!found(vec![full(0), behind(&[1, 1, 2]), vec![old, new]]));
    }

    /// Trace F: it is enough that any third member knows.
    #[test]
    fn one_member_that_knows_of_the_crash_excludes_the_old_promise() {
        let full = |place| vec![candidate(place, (0, 1), 1, &[1; 5])];
        let empty = |place, known: &[u64]| vec![candidate(place, (0, 0), 1, known)];
        let group = |last: &[u64]| vec![full(0), empty(1, &[1; 5]), empty(2, &[1; 5]), empty(3, last), full(4)];
        assert!(found(group(&[1; 5])));
        assert!(!found(group(&[1, 1, 2, 1, 1])));
    }
}
