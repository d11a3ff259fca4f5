//! When all members lost their memory at once: the group begins again with the best that their disks hold (docs/deviations.md, C5).
//!
//! No quorum remembers, so 4.3 never ends. In the `synchronous` mode it need not begin. In the `background` mode every disk lags
//! behind what its replica said, each by a little; what was acknowledged in the last moments may be on none. Somebody has to accept
//! that: an operator, or the option `recover_automatically`.
//!
//! *All* members take part, or all but those the operator gives up, for nobody can tell which disk holds what a quorum had
//! committed. Each says with ALSORECOVERING what it holds. The best is the log of the latest v', and of those the longest, by the
//! rule of view changes; its replica, which is told so by everybody's word, begins. It does so only when nobody remembers: each of the
//! others was recovering, in one and the same life, when two attempts of the best one reached it. Then each pledges itself: like
//! the best one it draws a new nonce, so that answers that are still under way to it complete no recovery, and takes the word of a single member for
//! the view that is to start, where otherwise it takes that of a quorum. That is safe, for nothing it ever said counts any more.
//! When all have pledged themselves the best one leads that view, and the others join it as replicas that were slow.

use std::collections::{BTreeMap, BTreeSet};

use super::Replica;
use super::io::{Event, Ignored, Output};
use super::recovery::freshness;
use super::staged::Staged;
use super::status::{Found, Recovering, RecoveryStage, Status};
use crate::crash_vector::CrashVector;
use crate::message::{Body, Header, Message, Revive, ReviveOk, Survivor};
use crate::numbers::{Incarnation, NodeId, Nonce, OpNumber, ViewNumber};
use crate::service::Service;

/// How many views are passed over: more than there can have been of which no disk has heard, or the same op-number of the same view
/// could name two operations.
const VIEWS_SKIPPED: u64 = 1 << 20;

/// What a recovering replica knows of an outage of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outage {
    /// What the own disk holds.
    pub own: Survivor,
    /// Its log above what is certain.
    pub tail: Staged,
    /// What the others' disks hold, each by its latest word, and in which life it said so.
    pub reports: BTreeMap<NodeId, (Incarnation, Survivor)>,
    /// The operator wants the group to begin again, without these.
    pub given_up: Option<BTreeSet<NodeId>>,
    /// As the one to begin: the view, and who has pledged itself.
    pub beginning: Option<(ViewNumber, BTreeSet<NodeId>)>,
    /// As one of the others: what it has pledged itself to.
    pub pledge: Option<Pledge>,
}

/// The promise to wait for a view, given to one life of the replica that is to lead it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pledge {
    to: (NodeId, Incarnation),
    revive: Revive,
}

/// Orders what disks hold: which log wins (4.2 step 3), and of equals one and the same everywhere.
fn rank(survivor: &Survivor, node: NodeId) -> (ViewNumber, OpNumber, NodeId) {
    (survivor.log_view, survivor.op, node)
}

impl<S: Service> Replica<S> {
    /// The disk of this replica, as it was found: what is certain is in the log, the rest in `tail`.
    pub(super) fn note_survivor(&mut self, survivor: Survivor, tail: Staged) {
        let (commit, commit_hash) = (self.log.op(), self.log.head_hash());
        let own = Survivor { op: tail.op(), head: tail.head(), commit, commit_hash, ..survivor };
        let Status::Recovering(recovering) = &mut self.status else { unreachable!("asked by status") };
        (recovering.outage.own, recovering.outage.tail) = (own, tail);
    }

    /// What the disk of this replica holds, while it recovers.
    pub(super) fn survivor(&self) -> Option<Survivor> {
        match &self.status {
            Status::Recovering(recovering) => Some(recovering.outage.own),
            _ => None,
        }
    }

    /// An operator accepts that the group begins again with what the disks hold, all but those of the members given up.
    pub(super) fn on_force_recover(&mut self, without: BTreeSet<NodeId>) {
        if let Status::Recovering(recovering) = &mut self.status {
            recovering.outage.given_up = Some(without);
        }
    }

    /// `both` said to the last two attempts that they recover.
    pub(super) fn begin_again_if_best(&mut self, both: &BTreeSet<NodeId>) {
        let Some(members) = self.members_of_outage(both) else {
            if let Status::Recovering(recovering) = &mut self.status {
                recovering.outage.beginning = None;
            }
            return;
        };
        let Status::Recovering(recovering) = &self.status else { unreachable!("asked by status") };
        let outage = &recovering.outage;
        let own = rank(&outage.own, self.id);
        let reports = || members.iter().filter_map(|id| Some((*id, outage.reports.get(id)?.1)));
        if reports().any(|(id, survivor)| rank(&survivor, id) > own) || !reports().all(|(_, s)| self.survives_here(&s))
        {
            return;
        }
        let highest = reports().map(|(_, s)| s.view).chain([outage.own.view]).max().expect("the own one");
        let mut view = highest.plus(VIEWS_SKIPPED);
        while self.primary_of(view) != self.id {
            view = view.next();
        }
        let nonce = Nonce(self.random.next_u128());
        let Status::Recovering(recovering) = &mut self.status else { unreachable!("asked by status") };
        let survivor = recovering.outage.own;
        match &recovering.outage.beginning {
            Some((begun, _)) => view = *begun,
            None => {
                recovering.outage.beginning = Some((view, BTreeSet::new()));
                recovering.stage = RecoveryStage::Asking { nonce, responses: BTreeMap::new() };
            }
        }
        self.broadcast(Body::Revive(Revive {
            view,
            log_view: survivor.log_view,
            op: survivor.op,
            head: survivor.head,
        }));
        self.begin_again_if_pledged();
    }

    /// The others with which the group may begin again: all that are not given up, each known to recover.
    fn members_of_outage(&self, both: &BTreeSet<NodeId>) -> Option<BTreeSet<NodeId>> {
        let Status::Recovering(recovering) = &self.status else { return None };
        let outage = &recovering.outage;
        let is_asking = matches!(recovering.stage, RecoveryStage::Asking { .. } | RecoveryStage::Fetching { .. });
        let reports = outage.reports.values().map(|(_, survivor)| survivor);
        let is_automatic = self.cluster_options.recover_automatically != 0
            && reports.chain([&outage.own]).all(|survivor| survivor.has_journal);
        let nobody = BTreeSet::new();
        let given_up = outage.given_up.as_ref().or(is_automatic.then_some(&nobody))?;
        let members: BTreeSet<NodeId> = self.others().into_iter().filter(|id| !given_up.contains(id)).collect();
        let is_known = |id: &NodeId| {
            both.contains(id) && outage.reports.get(id).is_some_and(|(incarnation, _)| *incarnation > Incarnation::ZERO)
        };
        let is_quorum = members.len() + 1 >= self.configuration.quorum();
        let may_begin = is_asking && self.journal.keeps_a_journal() && outage.pledge.is_none() && is_quorum;
        (may_begin && members.iter().all(is_known)).then_some(members)
    }

    /// Whether what another disk knows to be committed is here, too. It always is, unless a disk lies, or this replica has fetched a
    /// checkpoint since it started: then it has to start once more.
    fn survives_here(&self, survivor: &Survivor) -> bool {
        let Status::Recovering(Recovering { outage: Outage { tail, .. }, .. }) = &self.status else { return false };
        let commit = survivor.commit;
        let is_whole = self.log.matches(tail.after(), tail.previous());
        let hash = self.log.hash_at(commit).or_else(|| tail.hash_at(commit));
        is_whole && (commit <= self.log.base() || hash == Some(survivor.commit_hash))
    }

    /// REVIVE: another member has more than this one, and is to lead.
    pub(super) fn on_revive(&mut self, header: Header, m: Revive) -> Result<(), Ignored> {
        let nonce = Nonce(self.random.next_u128());
        let Status::Recovering(recovering) = &mut self.status else { return Err(Ignored::WrongStatus) };
        let outage = &mut recovering.outage;
        let is_asking = matches!(recovering.stage, RecoveryStage::Asking { .. } | RecoveryStage::Fetching { .. });
        if !is_asking || (m.log_view, m.op, header.from) < rank(&outage.own, self.id) {
            return Err(Ignored::WrongStatus);
        }
        let pledge = Pledge { to: (header.from, header.incarnation), revive: m };
        match outage.pledge {
            Some(known) if known.revive.view > m.view => return Err(Ignored::OlderView),
            Some(known) if known == pledge => {}
            _ => {
                outage.pledge = Some(pledge);
                // Who begins later passes over this view, too.
                outage.own.view = outage.own.view.max(m.view);
                outage.beginning = None;
                recovering.stage = RecoveryStage::Asking { nonce, responses: BTreeMap::new() };
                self.keep_what_was_fetched();
            }
        }
        self.send(header.from, Body::ReviveOk(ReviveOk { view: m.view }));
        Ok(())
    }

    pub(super) fn on_revive_ok(&mut self, header: Header, m: ReviveOk) -> Result<(), Ignored> {
        let Status::Recovering(recovering) = &mut self.status else { return Err(Ignored::WrongStatus) };
        let outage = &mut recovering.outage;
        let is_same_life = outage.reports.get(&header.from).is_some_and(|(life, _)| *life == header.incarnation);
        match &mut outage.beginning {
            Some((view, pledged)) if *view == m.view && is_same_life => pledged.insert(header.from),
            _ => return Err(Ignored::Unasked),
        };
        self.begin_again_if_pledged();
        Ok(())
    }

    fn begin_again_if_pledged(&mut self) {
        let Status::Recovering(Recovering { outage, .. }) = &self.status else { unreachable!("asked by status") };
        let Some((view, pledged)) = outage.beginning.clone() else { return };
        let given_up = outage.given_up.clone().unwrap_or_default();
        if !self.others().iter().all(|id| given_up.contains(id) || pledged.contains(id)) {
            return;
        }
        let lives: CrashVector = outage.reports.iter().map(|(id, (life, _))| (*id, *life)).collect();
        let reports = outage.reports.iter().filter(|(id, _)| pledged.contains(id));
        let commit = reports.map(|(_, (_, survivor))| survivor.commit).max();
        let tail = outage.tail.clone();
        self.view = view;
        self.crash_vector.merge(&lives);
        tail.splice_onto(&mut self.log);
        self.commit = self.commit.max(commit.unwrap_or_default().min(self.log.op()));
        self.enter_normal();
        let (view, op) = (self.view, self.log.op());
        self.outputs.push_back(Output::Event(Event::BeganAgain { view, op }));
    }

    /// What a replica that has pledged itself takes for enough: the word of one member of the view it waits for, or a later one.
    pub(super) fn found_by_pledge(&self, responses: &BTreeMap<NodeId, Message>) -> Option<Found> {
        let Status::Recovering(Recovering { outage, .. }) = &self.status else { return None };
        let pledge = outage.pledge?.revive;
        let of_view = responses.values().filter(|message| message.header.view >= pledge.view);
        let best = of_view.max_by_key(|message| (message.header.view, freshness(message)))?;
        let response = super::choice::recovery_response(best);
        let (view, crash_vector) = (best.header.view, response.crash_vector.clone());
        match response.primary {
            Some(primary) => {
                Some(Found { view, op: primary.op, head: primary.head, commit: primary.commit, crash_vector })
            }
            // Its log begins with that with which the view began.
            None if view == pledge.view => {
                Some(Found { view, op: pledge.op, head: pledge.head, commit: OpNumber::ZERO, crash_vector })
            }
            None => None,
        }
    }
}
