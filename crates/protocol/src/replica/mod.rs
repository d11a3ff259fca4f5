//! The replica: one way in, one way out (figure 2; sections 4 to 7).
//!
//! Each file holds one protocol and the state it owns; this one holds what they share.

mod admit;
mod bootstrap;
mod checkpoint_transfer;
mod checkpoints;
mod choice;
mod durability;
mod evidence;
mod execution;
mod fingerprint;
mod install;
mod invariants;
mod io;
mod new_primary;
mod normal;
mod outage;
mod plausible;
mod prediction;
mod primary;
mod reach;
mod recovery;
mod requests;
mod restart;
mod staged;
mod state_transfer;
mod status;
mod view_change;
mod votes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use viewstamped_state::State;

pub use fingerprint::Timer;
pub use io::{Destination, Event, Ignored, Input, Output, Report, Setup, StatusName, TakeCheckpoint, TransferReport};

use crate::configuration::Configuration;
use crate::crash_vector::CrashVector;
use crate::identity::Identity;
use crate::log::Log;
use crate::message::{Body, ClientReply, ConfigurationInfo, Header, Message, NotServingReason, ToClient};
use crate::numbers::{ClientId, ClusterId, Incarnation, InstanceId, NodeId, Nonce, Now, OpNumber, Time, ViewNumber};
use crate::options::{ClusterOptions, Options};
use crate::random::Random;
use crate::service::Service;
use checkpoint_transfer::CheckpointTransfer;
use checkpoints::Checkpoints;
use durability::Journal;
use evidence::Evidence;
use execution::Executor;
use staged::Staged;
use state_transfer::Transfer;
use status::Status;
use votes::Votes;

/// A replica of the service `S`.
///
/// Driven by [`handle`](Self::handle), [`poll_output`](Self::poll_output) and [`next_deadline`](Self::next_deadline); has no
/// clock, no random source and no IO of its own. The same inputs give the same outputs.
#[derive(Clone, Debug)]
pub struct Replica<S> {
    cluster: ClusterId,
    id: NodeId,
    configuration: Configuration,
    cluster_options: ClusterOptions,
    options: Options,

    /// What is durable, or about to be.
    identity: Identity,
    /// The incarnation of this life; 0 until it is known.
    incarnation: Incarnation,
    crash_vector: CrashVector,
    /// The nonce of the RECOVERY that announced each node's present incarnation, where this replica saw it.
    recoveries: BTreeMap<NodeId, Nonce>,

    /// The paper's view-number.
    view: ViewNumber,
    /// The paper's v': the latest view in which the status was normal. The log belongs to this view.
    log_view: ViewNumber,
    log: Log,
    /// The paper's commit-number: everything up to it, in this replica's own log, is committed.
    commit: OpNumber,
    executor: Executor<S>,
    checkpoints: Checkpoints,

    status: Status,
    transfer: Option<Transfer>,
    /// A checkpoint that is being fetched.
    checkpoint_transfer: Option<CheckpointTransfer>,
    /// What was fetched for a view that did not come about: used again where it is a part of the next view's log.
    spare: Option<Staged>,
    votes: Votes,
    /// The highest view heard to have started, and the highest op-number heard of. Hints, never trusted.
    heard_view: ViewNumber,
    heard_op: OpNumber,
    /// View changes that failed since something was committed last: doubles the timeout.
    failed_view_changes: u32,
    /// As a new primary that lagged far, it has given way to a better one since something was committed last.
    has_forfeited: bool,
    evidence: Evidence,
    journal: Journal,
    /// Before this moment no view is started and no DOVIEWCHANGE sent (R9).
    promises_from: Time,

    now: Now,
    random: Random,
    outputs: VecDeque<Output>,
    /// The bytes of the results made since outputs were drained.
    result_bytes: usize,
    ignored: BTreeMap<Ignored, u64>,
    reported_foreign: BTreeSet<(NodeId, Ignored)>,
}

impl<S: Service> Replica<S> {
    /// Makes a replica. What it wants done first is in [`Self::poll_output`] at once.
    ///
    /// # Panics
    /// When `setup.id` is no member of `setup.configuration`.
    pub fn new(setup: Setup, service: S, now: Now) -> Self {
        let Setup { cluster, id, configuration, cluster_options, options, identity, durability, surviving, seed } =
            setup;
        assert!(configuration.contains(id), "{id} is a member of its own configuration");
        let mut random = Random::new(seed);
        let instance = InstanceId(random.next_u128());
        let mut replica = Self {
            cluster,
            id,
            configuration,
            cluster_options,
            options,
            identity: identity.clone().unwrap_or_else(|| Identity::formatted(instance)),
            incarnation: Incarnation::ZERO,
            crash_vector: CrashVector::default(),
            recoveries: BTreeMap::new(),
            view: ViewNumber::ZERO,
            log_view: ViewNumber::ZERO,
            log: Log::default(),
            commit: OpNumber::ZERO,
            executor: Executor::new(service, &cluster_options),
            checkpoints: Checkpoints::default(),
            status: Status::default(),
            transfer: None,
            checkpoint_transfer: None,
            spare: None,
            votes: Votes::default(),
            heard_view: ViewNumber::ZERO,
            heard_op: OpNumber::ZERO,
            failed_view_changes: 0,
            has_forfeited: false,
            evidence: Evidence::default(),
            journal: Journal::new(durability),
            promises_from: Time::ZERO,
            now,
            random,
            outputs: VecDeque::new(),
            result_bytes: 0,
            ignored: BTreeMap::new(),
            reported_foreign: BTreeSet::new(),
        };
        match identity {
            Some(identity) if identity.is_virgin() => replica.enter_starting(),
            Some(identity) => replica.start_again(&identity, surviving),
            None => replica.enter_recovering(None),
        }
        replica.journal.touch();
        replica
    }

    /// Takes one input. Never fails, whatever a peer sends; panics only when an invariant of this replica is broken.
    pub fn handle(&mut self, now: Now, input: Input) {
        if self.journal.is_stopped {
            return;
        }
        self.journal.touch();
        self.now = Now { monotonic: self.now.monotonic.max(now.monotonic), wall: now.wall };
        match input {
            Input::Message(message) => {
                if let Err(reason) = self.on_message(message) {
                    *self.ignored.entry(reason).or_default() += 1;
                }
            }
            Input::Client(message) => self.on_client(message),
            Input::Tick => self.on_tick(),
            Input::IdentitySaved => self.on_identity_saved(),
            Input::PeerUnreachable(node) => self.on_peer_unreachable(node),
            Input::CheckpointTaken { op, service, client_table } => {
                if let Err(reason) = self.on_checkpoint_taken(op, service, client_table) {
                    *self.ignored.entry(reason).or_default() += 1;
                }
            }
            Input::Persisted { sequence } => self.on_persisted(sequence),
            Input::CheckpointSaved { op } => self.on_checkpoint_saved(op),
            Input::JournalBroken => self.on_journal_broken(),
            Input::ForceRecover { without } => self.on_force_recover(without),
            Input::ShutDown => self.on_shut_down(),
        }
        self.execute();
        self.check_invariants();
    }

    /// The next thing to do; `None` when there is nothing more for now.
    ///
    /// What several inputs asked for since the last drain goes out together: one PREPARE, one PREPAREOK (6.2).
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.journal.next_released() {
            return Some(output);
        }
        self.journal_changes();
        loop {
            if self.outputs.is_empty() {
                self.result_bytes = 0;
                self.flush();
            }
            let output = self.outputs.pop_front()?;
            if let Some(output) = self.unless_held(output) {
                return Some(output);
            }
        }
    }

    fn on_message(&mut self, message: Message) -> Result<(), Ignored> {
        self.admit(&message)?;
        let Message { header, body } = message;
        self.note_present(header.from, &body);
        match body {
            Body::Prepare(m) => self.on_prepare(header, m),
            Body::PrepareOk(m) => self.on_prepare_ok(header, m.op, m.head, m.checkpoint),
            Body::Commit(m) => self.on_commit(header, m),
            Body::CommitAck(m) => self.on_prepare_ok(header, m.op, m.head, m.checkpoint),
            Body::StartViewChange(m) => self.on_start_view_change(header, m),
            Body::DoViewChange(m) => self.on_do_view_change(header, *m),
            Body::StartView(m) => self.on_start_view(header, *m),
            Body::StartViewPending(m) => self.on_start_view_pending(header, m),
            Body::GetState(m) => self.on_get_state(header, m),
            Body::NewState(m) => self.on_new_state(header, *m),
            Body::GetLog(m) => self.on_get_log(header, m),
            Body::LogChunk(m) => self.on_log_chunk(header, m),
            Body::Recovery(m) => self.on_recovery(header, m),
            Body::RecoveryResponse(m) => self.on_recovery_response(header, *m),
            Body::GetIncarnation(m) => self.on_get_incarnation(header, m),
            Body::AlsoRecovering(m) => self.on_also_recovering(header, m),
            Body::Revive(m) => self.on_revive(header, m),
            Body::ReviveOk(m) => self.on_revive_ok(header, m),
            Body::KnownIncarnation(m) => self.on_known_incarnation(header, m),
            Body::StaleIncarnation(m) => self.on_stale_incarnation(m),
            Body::Bootstrap(m) => self.on_bootstrap(header, m),
            Body::Founded(m) => self.on_founded(m.founders),
            Body::GetConfiguration => self.on_get_configuration(header),
            Body::ConfigurationInfo(_) => Err(Ignored::Unasked),
            Body::ViewHint => self.on_view_hint(header),
            Body::Predict(m) => self.on_predict(header, *m),
            Body::PredictOk(m) => self.on_predict_ok(header, *m),
            Body::GetPages(m) => self.on_get_pages(header, *m),
            Body::Pages(m) => self.on_pages(header, *m),
            Body::NewRoot(m) => self.on_new_root(header, m),
        }
    }

    /// The timers. Each is a moment after which something is due; being late is harmless.
    fn on_tick(&mut self) {
        match &self.status {
            Status::Starting(_) => self.tick_starting(),
            Status::Primary(_) => self.tick_primary(),
            Status::Backup(_) => self.tick_backup(),
            Status::ViewChange(_) => self.tick_view_change(),
            Status::Recovering(_) => self.tick_recovering(),
        }
        self.tick_transfer();
        self.tick_checkpoint_transfer();
        self.tick_pre_steps();
    }

    /// When to come back with [`Input::Tick`]; a time in the past means at once, after other inputs had their turn.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if self.journal.is_stopped {
            return None;
        }
        let execution = self.has_execution_backlog().then_some(self.now.monotonic);
        // The log is asked for again when the checkpoint is there.
        let transfer = self.transfer.as_ref().filter(|_| self.checkpoint_transfer.is_none());
        let transfer = transfer.map(|transfer| transfer.retry_at);
        let pages = self.checkpoint_transfer.as_ref().and_then(CheckpointTransfer::next_deadline);
        let journal = self.journal_deadline();
        [execution, transfer, pages, journal, self.status.next_deadline()].into_iter().flatten().min()
    }

    /// Turns what has gathered since the last drain into messages.
    fn flush(&mut self) {
        match &self.status {
            _ if self.journal.is_stopped => {}
            Status::Primary(_) => self.flush_prepares(),
            Status::Backup(_) => self.flush_prepare_ok(),
            _ => {}
        }
    }

    fn header(&self) -> Header {
        Header {
            cluster: self.cluster,
            epoch: self.configuration.epoch(),
            view: self.view,
            from: self.id,
            incarnation: self.incarnation,
        }
    }

    fn send(&mut self, to: NodeId, body: Body) {
        assert_ne!(to, self.id, "a replica does not write to itself");
        let message = Message { header: self.header(), body };
        self.outputs.push_back(Output::Send { to: Destination::Node(to), message });
    }

    fn broadcast(&mut self, body: Body) {
        if self.configuration.len() > 1 {
            let message = Message { header: self.header(), body };
            self.outputs.push_back(Output::Send { to: Destination::Others, message });
        }
    }

    /// Answers a client. The view it sees is one that has started, never one that is merely attempted (N6).
    fn reply(&mut self, client: ClientId, body: ClientReply) {
        let header = Header { view: self.log_view, ..self.header() };
        self.outputs.push_back(Output::Reply(ToClient { header, client, body }));
    }

    fn primary_of(&self, view: ViewNumber) -> NodeId {
        self.configuration.primary(view)
    }

    fn others(&self) -> Vec<NodeId> {
        self.configuration.ids().filter(|id| *id != self.id).collect()
    }

    /// `base` plus up to a quarter of it, so that replicas do not act in step.
    fn jittered(&mut self, base: std::time::Duration) -> std::time::Duration {
        let nanos = u64::try_from(base.as_nanos()).unwrap_or(u64::MAX);
        base + std::time::Duration::from_nanos(self.random.below(nanos / 4))
    }

    /// 4.3: the configuration can be learned from any member, in any status.
    fn on_get_configuration(&mut self, header: Header) -> Result<(), Ignored> {
        let info = ConfigurationInfo { configuration: self.configuration.clone(), options: self.cluster_options };
        self.send(header.from, Body::ConfigurationInfo(info));
        Ok(())
    }

    /// What an operator wants to know.
    #[must_use]
    pub fn report(&self) -> Report {
        let (durable_op, is_journal_broken) = self.journal_report();
        let head = self.log.op().max(self.heard_op);
        Report {
            id: self.id,
            status: self.status.name(),
            not_serving: self.not_serving(),
            epoch: self.configuration.epoch(),
            view: self.view,
            log_view: self.log_view,
            primary: self.primary_of(self.view),
            op: self.log.op(),
            commit: self.commit,
            executed: self.executor.executed(),
            lag: head.distance_from(self.executor.executed()),
            incarnation: self.incarnation,
            log_bytes: self.log.bytes() as u64,
            log_base: self.log.base(),
            checkpoint: self.checkpoints.newest_id(),
            quorum_checkpoint: self.checkpoints.quorum(),
            is_divergent: self.checkpoints.is_divergent(),
            durable_op,
            is_journal_broken,
            transfer: self.checkpoint_transfer.as_ref().map(CheckpointTransfer::report),
            sessions: self.executor.client_table().len() as u64,
            survivor: self.survivor(),
        }
    }

    /// Why this replica does not take part in serving requests, if so.
    fn not_serving(&self) -> Option<NotServingReason> {
        match &self.status {
            Status::Starting(_) => Some(NotServingReason::Starting),
            Status::ViewChange(_) => Some(NotServingReason::ViewChange),
            Status::Recovering(_) if self.is_quorum_lost() => Some(NotServingReason::QuorumLost),
            Status::Recovering(_) => Some(NotServingReason::Recovering),
            // From a wrong state nobody is answered; another takes over.
            Status::Primary(_) if self.checkpoints.is_divergent() => Some(NotServingReason::ViewChange),
            Status::Primary(_) | Status::Backup(_) => None,
        }
    }

    /// How often inputs were ignored, by reason.
    pub fn ignored(&self) -> impl Iterator<Item = (Ignored, u64)> + '_ {
        self.ignored.iter().map(|(reason, count)| (*reason, *count))
    }

    /// The replicated state, as of `executed`.
    #[must_use]
    pub fn state(&self) -> &State {
        self.executor.state()
    }

    /// What invariant checkers want to know.
    #[must_use]
    pub fn probe(&self) -> Probe<'_> {
        Probe {
            id: self.id,
            incarnation: self.incarnation,
            status: self.status.name(),
            view: self.view,
            log_view: self.log_view,
            log: &self.log,
            commit: self.commit,
            executed: self.executor.executed(),
            installed: self.checkpoints.installed_op(),
            kept: self.checkpoints.kept_ops(),
            quorum_has: self.checkpoints.quorum().held,
            is_divergent: self.checkpoints.is_divergent(),
            crash_vector: &self.crash_vector,
            do_view_changes: self.status.do_view_changes(),
        }
    }
}

/// A replica's state, laid open to invariant checkers.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// Its id.
    pub id: NodeId,
    /// Its incarnation; 0 while it does not know it.
    pub incarnation: Incarnation,
    /// Its status.
    pub status: StatusName,
    /// Its view-number.
    pub view: ViewNumber,
    /// The latest view in which it was normal.
    pub log_view: ViewNumber,
    /// Its log; empty while recovering.
    pub log: &'a Log,
    /// The commit-number.
    pub commit: OpNumber,
    /// How far it has executed.
    pub executed: OpNumber,
    /// The op-number of the checkpoint it has installed last; zero when it has executed everything itself.
    pub installed: OpNumber,
    /// The op-numbers of its two newest checkpoints, the older first; zero for none.
    pub kept: [OpNumber; 2],
    /// The op-number at or above which a quorum has a checkpoint, as far as it knows.
    pub quorum_has: OpNumber,
    /// Whether its state is not that of a quorum.
    pub is_divergent: bool,
    /// The incarnations it knows.
    pub crash_vector: &'a CrashVector,
    /// As the primary of a new view, the DOVIEWCHANGEs it holds (its own included); else empty.
    pub do_view_changes: &'a [Message],
}
