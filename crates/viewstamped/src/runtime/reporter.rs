//! What the node says about itself, built when somebody asks and at most a few times a second for watchers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use viewstamped_protocol::message::{NotServingReason, Survivor};
use viewstamped_protocol::replica::TransferReport;
use viewstamped_protocol::{CheckpointId, Ignored, OpNumber, Replica, Report, Service, StatusName};
use viewstamped_state::Progress;

use super::shared::Shared;
use crate::status::{CheckpointStatus, JournalStatus, MemberStatus, NodeStatus, SurvivorStatus, TransferStatus};

/// Publishes statuses.
#[derive(Debug)]
pub(crate) struct Reporter {
    sender: watch::Sender<NodeStatus>,
    /// What never changes while the node runs.
    facts: NodeStatus,
    started: Instant,
    interval: Duration,
    published: Instant,
    is_outdated: bool,
    is_demanded: bool,
    /// The newest checkpoint on disk.
    pub(crate) saved: OpNumber,
}

impl Reporter {
    /// Publishes to `sender`; the status there now says what never changes.
    pub(crate) fn new(
        sender: watch::Sender<NodeStatus>,
        started: Instant,
        interval: Duration,
        saved: OpNumber,
    ) -> Self {
        let facts = sender.borrow().clone();
        Self { sender, facts, started, interval, published: started, is_outdated: true, is_demanded: true, saved }
    }

    /// Something has happened that may show in the status.
    pub(crate) fn note_activity(&mut self) {
        self.is_outdated = true;
    }

    /// Something has happened that watchers must learn at once.
    pub(crate) fn demand(&mut self) {
        self.is_outdated = true;
        self.is_demanded = true;
    }

    /// When to publish next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.is_outdated.then_some(self.published + self.interval)
    }

    pub(crate) fn publish_if_due<S: Service>(&mut self, replica: &Replica<S>, shared: &Shared) {
        let is_due = self.is_demanded || self.deadline().is_some_and(|deadline| deadline <= Instant::now());
        if !is_due {
            return;
        }
        self.is_demanded = false;
        self.is_outdated = false;
        self.published = Instant::now();
        let status = self.status(replica, shared);
        self.sender.send_replace(status);
    }

    /// The status as JSON.
    pub(crate) fn json<S: Service>(&self, replica: &Replica<S>, shared: &Shared) -> Bytes {
        serde_json::to_vec(&self.status(replica, shared)).expect("numbers and strings make JSON").into()
    }

    fn status<S: Service>(&self, replica: &Replica<S>, shared: &Shared) -> NodeStatus {
        let report = replica.report();
        let problems = shared.problems.borrow();
        let mut status = self.facts.clone();
        status.role = role(&report).to_owned();
        report.status.as_str().clone_into(&mut status.status);
        status.not_serving = report.not_serving.map(|reason| not_serving(reason).to_owned());
        status.epoch = report.epoch.0;
        status.view = report.view.0;
        status.log_view = report.log_view.0;
        status.primary = report.primary.0;
        status.op = report.op.0;
        status.commit = report.commit.0;
        status.executed = report.executed.0;
        status.lag = report.lag;
        status.incarnation = report.incarnation.0;
        status.log_base = report.log_base.0;
        status.checkpoint = checkpoint(report.checkpoint);
        status.quorum_checkpoint = checkpoint(report.quorum_checkpoint.agreed);
        status.divergent = report.is_divergent;
        status.journal = JournalStatus { durable_op: report.durable_op.0, is_broken: report.is_journal_broken };
        status.checkpoint_saved = self.saved.0;
        status.transfer = report.transfer.map(transfer);
        status.log_bytes = report.log_bytes;
        status.sessions = report.sessions;
        status.survivor = report.survivor.map(survivor);
        status.client_connections = shared.clients.borrow().count() as u64;
        status.uptime_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        status.members = members(shared);
        status.ignored =
            ignored_messages(replica).chain(problems.counts()).map(|(kind, count)| (kind.to_owned(), count)).collect();
        status.recent_error = problems.recent().map(str::to_owned);
        status
    }
}

fn ignored_messages<S: Service>(replica: &Replica<S>) -> impl Iterator<Item = (&'static str, u64)> {
    replica.ignored().map(|(reason, count)| (ignored_name(reason), count))
}

fn role(report: &Report) -> &'static str {
    match report.status {
        StatusName::Normal if report.primary == report.id => "primary",
        StatusName::Normal => "backup",
        StatusName::Starting | StatusName::ViewChange | StatusName::Recovering => "none",
    }
}

fn checkpoint(id: CheckpointId) -> CheckpointStatus {
    let root = if id.op == OpNumber::ZERO { String::new() } else { id.root.to_string() };
    CheckpointStatus { op: id.op.0, root }
}

fn survivor(found: Survivor) -> SurvivorStatus {
    SurvivorStatus {
        has_journal: found.has_journal,
        view: found.view.0,
        log_view: found.log_view.0,
        op: found.op.0,
        commit: found.commit.0,
    }
}

fn transfer(report: TransferReport) -> TransferStatus {
    let TransferReport { checkpoint: id, service, client_table } = report;
    let sum = |part: fn(&Progress) -> u64| part(&service) + part(&client_table);
    let (complete, total) = (sum(|progress| progress.bytes), sum(|progress| progress.bytes_total));
    TransferStatus {
        checkpoint: checkpoint(id),
        parts: sum(|progress| progress.parts_fetched),
        bytes: sum(|progress| progress.bytes_fetched),
        keys: sum(|progress| progress.keys),
        keys_total: sum(|progress| progress.keys_total),
        percent: (u128::from(complete) * 100)
            .checked_div(u128::from(total))
            .map_or(0, |percent| percent.min(100) as u64),
    }
}

fn members(shared: &Shared) -> Vec<MemberStatus> {
    let is_connected =
        |id| id == shared.id || shared.links.iter().filter(|link| link.peer == id).all(|link| link.is_up());
    let members = shared.configuration.members().iter();
    members
        .map(|member| MemberStatus {
            id: member.id.0,
            address: member.address.clone(),
            connected: is_connected(member.id),
        })
        .collect()
}

fn not_serving(reason: NotServingReason) -> &'static str {
    match reason {
        NotServingReason::Starting => "starting",
        NotServingReason::Recovering => "recovering",
        NotServingReason::QuorumLost => "quorum-lost",
        NotServingReason::ViewChange => "view-change",
    }
}

/// The name of a reason under which ignored messages are counted.
fn ignored_name(reason: Ignored) -> &'static str {
    match reason {
        Ignored::OtherCluster => "other-cluster",
        Ignored::NotAMember => "not-a-member",
        Ignored::FromSelf => "from-self",
        Ignored::OtherEpoch => "other-epoch",
        Ignored::StaleIncarnation => "stale-incarnation",
        Ignored::OlderView => "older-view",
        Ignored::LaterView => "later-view",
        Ignored::WrongStatus => "wrong-status",
        Ignored::NotPrimary => "not-primary",
        Ignored::Duplicate => "duplicate",
        Ignored::Unasked => "unasked",
        Ignored::Malformed => "malformed",
        Ignored::OtherLog => "other-log",
        Ignored::DropsCommitted => "drops-committed",
        Ignored::NoRoom => "no-room",
        Ignored::NotPredicted => "not-predicted",
    }
}

/// What is wrong with a peer whose messages are ignored.
pub(crate) fn ignored(reason: Ignored) -> &'static str {
    match reason {
        Ignored::OtherCluster => "it belongs to another cluster",
        Ignored::NotAMember => "it is no member of this group",
        Ignored::FromSelf => "it says it is this replica, so two run with one id",
        Ignored::OtherEpoch => "it is in another epoch",
        Ignored::StaleIncarnation => "it has lost its memory since",
        Ignored::Malformed => "they contradict themselves or the log, so it is broken",
        Ignored::DropsCommitted => "they would drop committed operations, so it is broken",
        Ignored::OlderView
        | Ignored::LaterView
        | Ignored::WrongStatus
        | Ignored::NotPrimary
        | Ignored::Duplicate
        | Ignored::Unasked
        | Ignored::OtherLog
        | Ignored::NoRoom
        | Ignored::NotPredicted => "they do not fit the state of this replica",
    }
}
