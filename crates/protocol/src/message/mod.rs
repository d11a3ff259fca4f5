//! The messages between replicas: one struct per message of the paper, and ours. Those of clients are in client.rs, the paper's
//! notation in notation.rs.
//!
//! Fields follow the paper's letters in their docs. The table of all messages is in docs/protocol.md.

mod client;
mod notation;

pub use client::{BusyReason, ClientReply, ClientRequest, FromClient, NotServingReason, RefusedReason, ToClient};

use crate::checkpoint::CheckpointId;
use crate::configuration::Configuration;
use crate::crash_vector::CrashVector;
use crate::log::Entry;
use crate::numbers::{
    ChainHash, ClientId, ClusterId, EpochNumber, Incarnation, InstanceId, NodeId, Nonce, OpNumber, RequestNumber,
    SessionNumber, Slot, Time, ViewNumber,
};
use crate::options::ClusterOptions;
use bytes::Bytes;
use viewstamped_state::Place;

/// What every message between replicas carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The sender's cluster.
    pub cluster: ClusterId,
    /// The sender's epoch (7.1).
    pub epoch: EpochNumber,
    /// The sender's current view-number (4.1).
    pub view: ViewNumber,
    /// The sender.
    pub from: NodeId,
    /// How often the sender had lost its memory when it sent this.
    pub incarnation: Incarnation,
}

/// A message from one replica to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Who sends, and from where in time.
    pub header: Header,
    /// What it says.
    pub body: Body,
}

/// What a message between replicas says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// 4.1 step 3.
    Prepare(Prepare),
    /// 4.1 step 4.
    PrepareOk(PrepareOk),
    /// 4.1 step 6.
    Commit(Commit),
    /// Acknowledges COMMIT, so that an idle primary knows who hears it.
    CommitAck(CommitAck),
    /// 4.2 step 1.
    StartViewChange(StartViewChange),
    /// 4.2 step 2.
    DoViewChange(Box<DoViewChange>),
    /// 4.2 step 3.
    StartView(Box<StartView>),
    /// The new primary completes the log of its view, and gets on with it.
    StartViewPending(StartViewPending),
    /// 5.2.
    GetState(GetState),
    /// 5.2.
    NewState(Box<NewState>),
    /// 5.3: the new primary "can ask for more information".
    GetLog(GetLog),
    /// Answers GETLOG.
    LogChunk(LogChunk),
    /// 4.3 step 1.
    Recovery(Recovery),
    /// 4.3 step 2.
    RecoveryResponse(Box<RecoveryResponse>),
    /// A node without a surviving counter asks which incarnations of it are known.
    GetIncarnation(GetIncarnation),
    /// Answers GETINCARNATION.
    KnownIncarnation(KnownIncarnation),
    /// Answers RECOVERY and GETINCARNATION when the one asked is recovering, too.
    AlsoRecovering(AlsoRecovering),
    /// Tells a node that a message of an older incarnation of it was dropped.
    StaleIncarnation(StaleIncarnation),
    /// A newly formatted node looks for the other members of a new cluster.
    Bootstrap(Bootstrap),
    /// A member of a running cluster answers BOOTSTRAP.
    Founded(Founded),
    /// 4.3: the configuration can be learned from another member.
    GetConfiguration,
    /// Answers GETCONFIGURATION.
    ConfigurationInfo(ConfigurationInfo),
    /// Tells a replica that is behind in which view the sender is.
    ViewHint,
    /// 4.4: the pre-step, "in which it requests values from the backups".
    Predict(Box<Predict>),
    /// 4.4: answers PREDICT.
    PredictOk(Box<PredictOk>),
    /// 5.1: asks for pages of a checkpoint.
    GetPages(Box<GetPages>),
    /// Answers GETPAGES.
    Pages(Box<Pages>),
    /// Answers GETPAGES when the sender no longer has that checkpoint.
    NewRoot(NewRoot),
    /// All members have lost their memory: the sender is to lead with what its disk holds.
    Revive(Revive),
    /// Answers REVIVE.
    ReviveOk(ReviveOk),
}

/// Names one request of one client: the paper's c and s (4.1), with session and slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// c: who asks.
    pub client: ClientId,
    /// The session under which it asks.
    pub session: SessionNumber,
    /// Which of the session's slots the request occupies.
    pub slot: Slot,
    /// s.
    pub number: RequestNumber,
}

/// PREPARE v, m, n, k: a contiguous run of entries, the first at n.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prepare {
    /// The chain hash of the log below the first entry.
    pub previous: ChainHash,
    /// m with their op-numbers n: never empty, without holes.
    pub entries: Vec<Entry>,
    /// k: the sender's commit-number.
    pub commit: OpNumber,
    /// Which checkpoint a quorum has.
    pub checkpoint: QuorumCheckpoint,
}

/// Which checkpoint a quorum has, as far as the primary knows: then logs may be cut, and states compared (5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct QuorumCheckpoint {
    /// Each member of a quorum has a checkpoint at or above this op-number.
    pub held: OpNumber,
    /// The newest checkpoint that a quorum has with one and the same root.
    pub agreed: CheckpointId,
}

/// PREPAREOK v, n, i: the sender holds everything up to n in this view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrepareOk {
    /// n, cumulative.
    pub op: OpNumber,
    /// The chain hash of the sender's log up to n: a number alone does not say what is held under it.
    pub head: ChainHash,
    /// The sender's newest checkpoint.
    pub checkpoint: CheckpointId,
}

/// COMMIT v, k, sent when there is nothing to prepare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    /// k: the commit-number.
    pub commit: OpNumber,
    /// The primary's op-number, so that a backup notices a lost tail.
    pub op: OpNumber,
    /// Numbers the heartbeats of a view, for their acknowledgements.
    pub sequence: u64,
    /// When it was sent, by the primary's clock; comes back in the acknowledgement.
    pub sent_at: Time,
    /// Which checkpoint a quorum has.
    pub checkpoint: QuorumCheckpoint,
}

/// Acknowledges a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommitAck {
    /// The sequence number of the COMMIT.
    pub sequence: u64,
    /// The send time of the COMMIT.
    pub sent_at: Time,
    /// The op-number up to which the sender holds the log of this view.
    pub op: OpNumber,
    /// The chain hash of the sender's log up to there.
    pub head: ChainHash,
    /// How far the sender has executed.
    pub executed: OpNumber,
    /// The sender's newest checkpoint.
    pub checkpoint: CheckpointId,
}

/// One replica's wish for a view change, passed on by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    /// Who voted.
    pub node: NodeId,
    /// Its incarnation when it voted.
    pub incarnation: Incarnation,
}

/// STARTVIEWCHANGE v, i, with the votes for v that the sender knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StartViewChange {
    /// The view to be started.
    pub candidate: ViewNumber,
    /// Who wants it, as far as the sender knows; if confirmed, whom it has heard in this view change. At most one a member.
    pub votes: Vec<Vote>,
    /// Whether a quorum of votes was seen: everyone then joins the view change.
    pub confirmed: bool,
}

/// DOVIEWCHANGE v, l, v', n, k, i; v is the header's view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DoViewChange {
    /// v': the latest view in which the sender's status was normal.
    pub log_view: ViewNumber,
    /// n: the sender's op-number.
    pub op: OpNumber,
    /// k: the sender's commit-number.
    pub commit: OpNumber,
    /// The sender's log holds the entries above this (a checkpoint covers the rest).
    pub base: OpNumber,
    /// The chain hash of the sender's log up to n.
    pub head: ChainHash,
    /// The chain hash of the sender's log below the first entry of the suffix.
    pub previous: ChainHash,
    /// l: the topmost entries of the log, bounded in bytes, ending at n (5.3).
    pub suffix: Vec<Entry>,
    /// The incarnations the sender knows.
    pub crash_vector: CrashVector,
}

/// STARTVIEW v, l, n, k; v is the header's view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StartView {
    /// n: the op-number of the new view's log.
    pub op: OpNumber,
    /// k: the commit-number.
    pub commit: OpNumber,
    /// The sender's log holds the entries above this.
    pub base: OpNumber,
    /// The chain hash of the log up to n.
    pub head: ChainHash,
    /// The chain hash of the log below the first entry of the suffix.
    pub previous: ChainHash,
    /// l: the topmost entries of the log, bounded in bytes, ending at n (5.3).
    pub suffix: Vec<Entry>,
}

/// SVPENDING v: the log of the view is chosen, and the new primary fetches what it lacks of it (V10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StartViewPending {
    /// How far the new primary has the log. This or `parts` grows, or it is not heard.
    pub op: OpNumber,
    /// How many parts of a checkpoint it has fetched, when it needs one first.
    pub parts: u64,
    /// How far the log goes.
    pub of: OpNumber,
}

/// GETSTATE v, n', i (5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GetState {
    /// v: the view whose log is wanted.
    pub target: ViewNumber,
    /// The sender holds everything up to this for certain: it is committed, or received in this same transfer.
    pub from: OpNumber,
    /// The topmost op-number of the sender's log.
    pub head_op: OpNumber,
    /// The chain hash of the sender's log at `head_op`: when the receiver's log agrees there, it sends only what follows.
    pub head: ChainHash,
    /// The most bytes wanted in one answer.
    pub bytes_max: u32,
}

/// NEWSTATE v, l, n, k (5.2); v is the header's view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewState {
    /// What the sender can give.
    pub content: StateContent,
    /// n: the sender's op-number.
    pub op: OpNumber,
    /// k: the sender's commit-number.
    pub commit: OpNumber,
}

/// The content of a NEWSTATE, or of a LOGCHUNK.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StateContent {
    /// A contiguous run of the log, perhaps empty, perhaps followed by more.
    Entries {
        /// The op-number below the first entry.
        after: OpNumber,
        /// The chain hash at `after`.
        previous: ChainHash,
        /// l.
        entries: Vec<Entry>,
    },
    /// The log no longer reaches so far back: this checkpoint is needed first.
    NeedCheckpoint(CheckpointId),
}

/// Asks a member of the new view for entries of the log that won the view change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GetLog {
    /// The last normal view of the log that is wanted.
    pub log_view: ViewNumber,
    /// The first op-number wanted.
    pub first: OpNumber,
    /// The last op-number wanted.
    pub last: OpNumber,
    /// The most bytes wanted in one answer.
    pub bytes_max: u32,
}

/// Entries of a log that is frozen by a view change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogChunk {
    /// The last normal view of the log.
    pub log_view: ViewNumber,
    /// What the sender can give.
    pub content: StateContent,
}

/// RECOVERY i, x (4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recovery {
    /// x: the nonce.
    pub nonce: Nonce,
    /// Counts the times it was sent.
    pub attempt: u32,
    /// How far the sender's disk holds what is certain, its checkpoint (5.1) and the log up to its commit mark; 0 without one.
    pub op: OpNumber,
    /// The view in which the sender was before, where that is durable: it comes back into no earlier one. 0 otherwise.
    pub view: ViewNumber,
}

/// RECOVERYRESPONSE v, x, l, n, k, j (4.3); l is fetched by GETSTATE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecoveryResponse {
    /// x: the nonce of the RECOVERY answered.
    pub nonce: Nonce,
    /// The incarnations the sender knows.
    pub crash_vector: CrashVector,
    /// n and k, from the primary of the view only.
    pub primary: Option<PrimaryState>,
}

/// What only the primary of a view can say in a RECOVERYRESPONSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrimaryState {
    /// n: the op-number.
    pub op: OpNumber,
    /// k: the commit-number.
    pub commit: OpNumber,
    /// The chain hash of the log up to n.
    pub head: ChainHash,
    /// The log holds the entries above this.
    pub base: OpNumber,
}

/// Asks which incarnations of the sender are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GetIncarnation {
    /// Random: only answers to this question count.
    pub nonce: Nonce,
    /// Counts the times it was sent.
    pub attempt: u32,
}

/// Answers RECOVERY and GETINCARNATION: the sender cannot help, it is recovering itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlsoRecovering {
    /// The nonce of the question.
    pub nonce: Nonce,
    /// The attempt that is answered.
    pub attempt: u32,
    /// What its disk holds.
    pub survivor: Survivor,
}

/// The highest incarnation of the receiver that the sender knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KnownIncarnation {
    /// The nonce of the question.
    pub nonce: Nonce,
    /// The highest incarnation known; 0 for none.
    pub incarnation: Incarnation,
    /// The founders of the cluster, when the sender knows them.
    pub founders: Vec<Founder>,
}

/// A message of an older incarnation of `node` was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StaleIncarnation {
    /// Who sent it. Named, because it forgets everything: whoever else reads this must not.
    pub node: NodeId,
    /// The incarnation of it that the sender knows.
    pub known: Incarnation,
    /// The nonce of the RECOVERY that announced it, 0 when the sender never saw that RECOVERY.
    pub nonce: Nonce,
}

/// A node as it was formatted when the cluster began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Founder {
    /// The member.
    pub node: NodeId,
    /// Its directory's instance.
    pub instance: InstanceId,
}

/// A newly formatted node announces itself, and whom it has heard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bootstrap {
    /// The instance minted when the sender was formatted.
    pub instance: InstanceId,
    /// The members the sender has heard of, itself included, each with its instance, by node. The cluster begins when all have
    /// heard of the same ones: less proves nothing once a directory was lost and formatted again.
    pub heard: Vec<Founder>,
}

/// The cluster has begun, with these founders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Founded {
    /// All members as they were when the cluster began; empty when the sender does not know them.
    pub founders: Vec<Founder>,
}

/// The configuration and the options every member must share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigurationInfo {
    /// Members and epoch.
    pub configuration: Configuration,
    /// The options that all replicas share.
    pub options: ClusterOptions,
}

/// PREDICT v: asks a backup what it predicts for a request that is not ordered yet (4.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Predict {
    /// The request.
    pub request: RequestId,
    /// Its operation with the arguments.
    pub payload: Bytes,
}

/// PREDICTOK v: what the sender predicts for a request (4.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PredictOk {
    /// The request.
    pub request: RequestId,
    /// The value.
    pub value: Bytes,
}

/// A part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// What it holds besides pages.
    Header,
    /// Of the service's state.
    Service(Place),
    /// Of the client-table's pages.
    ClientTable(Place),
}

/// GETPAGES: asks for parts of a checkpoint (5.1: "uses the Merkle tree to determine which pages to fetch").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GetPages {
    /// Numbers the questions of the sender; comes back in the answer.
    pub number: u64,
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// What is wanted of it. Never empty.
    pub parts: Vec<Part>,
    /// The most bytes wanted in one answer.
    pub bytes_max: u32,
}

/// PAGES: answers GETPAGES.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pages {
    /// The number of the question.
    pub number: u64,
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// The first of the parts asked for, in their order, as many as the question has room for; at least one.
    pub pages: Vec<Bytes>,
}

/// NEWROOT: answers GETPAGES when the sender does not have the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NewRoot {
    /// The number of the question.
    pub number: u64,
    /// The checkpoint to ask for instead; that with op-number 0 when the sender has none.
    pub checkpoint: CheckpointId,
}

/// What the disk of a recovering replica holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Survivor {
    /// Whether there is a journal at all. Without one the rest is zero.
    pub has_journal: bool,
    /// The view-number.
    pub view: ViewNumber,
    /// v': the view to which the log belongs.
    pub log_view: ViewNumber,
    /// How far the log goes.
    pub op: OpNumber,
    /// The chain hash there.
    pub head: ChainHash,
    /// How far it is known to be committed.
    pub commit: OpNumber,
    /// The chain hash there.
    pub commit_hash: ChainHash,
}

/// REVIVE v, v', n: the sender has the best log of all, and leads view v once all have pledged themselves to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revive {
    /// v: later than any that a disk has heard of.
    pub view: ViewNumber,
    /// v' of the log.
    pub log_view: ViewNumber,
    /// n: how far the log goes with which the view begins.
    pub op: OpNumber,
    /// The chain hash there.
    pub head: ChainHash,
}

/// REVIVEOK v: the sender waits for that view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReviveOk {
    /// v.
    pub view: ViewNumber,
}

impl Body {
    /// The name, as the paper writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prepare(_) => "PREPARE",
            Self::PrepareOk(_) => "PREPAREOK",
            Self::Commit(_) => "COMMIT",
            Self::CommitAck(_) => "COMMITACK",
            Self::StartViewChange(_) => "STARTVIEWCHANGE",
            Self::DoViewChange(_) => "DOVIEWCHANGE",
            Self::StartView(_) => "STARTVIEW",
            Self::StartViewPending(_) => "SVPENDING",
            Self::GetState(_) => "GETSTATE",
            Self::NewState(_) => "NEWSTATE",
            Self::GetLog(_) => "GETLOG",
            Self::LogChunk(_) => "LOGCHUNK",
            Self::Recovery(_) => "RECOVERY",
            Self::RecoveryResponse(_) => "RECOVERYRESPONSE",
            Self::GetIncarnation(_) => "GETINCARNATION",
            Self::KnownIncarnation(_) => "KNOWNINCARNATION",
            Self::AlsoRecovering(_) => "ALSORECOVERING",
            Self::StaleIncarnation(_) => "STALEINCARNATION",
            Self::Bootstrap(_) => "BOOTSTRAP",
            Self::Founded(_) => "FOUNDED",
            Self::GetConfiguration => "GETCONFIGURATION",
            Self::ConfigurationInfo(_) => "CONFIGURATION",
            Self::ViewHint => "VIEWHINT",
            Self::Predict(_) => "PREDICT",
            Self::PredictOk(_) => "PREDICTOK",
            Self::GetPages(_) => "GETPAGES",
            Self::Pages(_) => "PAGES",
            Self::NewRoot(_) => "NEWROOT",
            Self::Revive(_) => "REVIVE",
            Self::ReviveOk(_) => "REVIVEOK",
        }
    }

    /// Whether the message may be large and is not urgent: it then travels on a connection of its own.
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        matches!(self, Self::NewState(_) | Self::LogChunk(_) | Self::Pages(_))
    }
}
