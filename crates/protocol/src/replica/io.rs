//! The one way in and the one way out of a replica: plain data.

use std::collections::BTreeSet;

use viewstamped_state::{Progress, Root, Snapshot};

use crate::checkpoint::{Checkpoint, CheckpointId, CheckpointRoot};
use crate::configuration::Configuration;
use crate::durability::Durability;
use crate::identity::Identity;
use crate::journal::{Record, Surviving};
use crate::message::{FromClient, Message, NotServingReason, QuorumCheckpoint, Survivor, ToClient};
use crate::numbers::{ClusterId, EpochNumber, Incarnation, NodeId, OpNumber, ViewNumber};
use crate::options::{ClusterOptions, Options};

/// What a replica is made from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its own id: a member of `configuration`.
    pub id: NodeId,
    /// The group.
    pub configuration: Configuration,
    /// The options all members share.
    pub cluster_options: ClusterOptions,
    /// This replica's own options.
    pub options: Options,
    /// What survived of it. `None`: an empty or doubtful directory, so it asks its peers which incarnation comes next.
    pub identity: Option<Identity>,
    /// What an acknowledgement waits for: the same at all members.
    pub durability: Durability,
    /// What its journal says, when it has one that says anything. Without an identity it counts for nothing.
    pub surviving: Option<Surviving>,
    /// 128 random bits from the operating system (from the simulation's seed in a simulator); never used twice.
    pub seed: u128,
}

/// Everything that can happen to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A message from a peer arrived.
    Message(Message),
    /// A message from a client arrived.
    Client(FromClient),
    /// The time of `next_deadline` has come. Harmless at any other time.
    Tick,
    /// The identity of the latest [`Output::SaveIdentity`] is durable.
    IdentitySaved,
    /// The address of this member refused a connection: no process listens there. A hint that saves a timeout; may be wrong.
    PeerUnreachable(NodeId),
    /// The roots of the states of an [`Output::TakeCheckpoint`].
    CheckpointTaken {
        /// The op-number of the checkpoint.
        op: OpNumber,
        /// The root of the service's state.
        service: Root,
        /// The root of the client-table's pages.
        client_table: Root,
    },
    /// The record of [`Output::Journal`] with this number is durable, and so are all before it. May be said of the last of several.
    Persisted {
        /// The number.
        sequence: u64,
    },
    /// The checkpoint at this op-number, of an [`Output::SaveCheckpoint`], is durable.
    CheckpointSaved {
        /// Its op-number.
        op: OpNumber,
    },
    /// The journal cannot be written any more, or not fast enough: it ends somewhere before its newest record. In the
    /// `background` mode the replica goes on without one until the next checkpoint. In the `synchronous` mode a replica whose
    /// disk fails must not go on: end the process.
    JournalBroken,
    /// An operator accepts that the group begins again with the best that the members' disks hold, and that what was acknowledged in
    /// the last moments before all of them failed may be lost. Given to all members. Without effect while a quorum remembers.
    ForceRecover {
        /// Members that are gone for good: what they alone have is given up. All others must be there.
        without: BTreeSet<NodeId>,
    },
    /// Stop, so that the next start needs no recovery. Answered by [`Output::ShutDown`]; whatever comes after it is ignored.
    ShutDown,
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// One member.
    Node(NodeId),
    /// All members but the sender.
    Others,
}

/// Everything a replica wants done. May be performed in any order; the core withholds what must wait.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Output {
    /// Send to peers. May be lost, delayed, duplicated.
    Send {
        /// To whom.
        to: Destination,
        /// What.
        message: Message,
    },
    /// Send to a client, if it is connected here.
    Reply(ToClient),
    /// Make this durable, then say [`Input::IdentitySaved`].
    SaveIdentity(Identity),
    /// Compute the roots of these states, on another thread if there is one: it hashes every page that has changed. Then say
    /// [`Input::CheckpointTaken`]. The next one is wanted only after that.
    TakeCheckpoint(TakeCheckpoint),
    /// Add this to the journal, after all records before it; then say [`Input::Persisted`]. In the `background` mode nothing waits
    /// for that.
    Journal {
        /// Counts the records of this process, from 1.
        sequence: u64,
        /// What to write.
        record: Record,
    },
    /// Make this checkpoint durable, in the background, and then, in one step with that and after the record of this number is
    /// durable, have the journal begin with that record; then say [`Input::CheckpointSaved`]. Where the one before is still being
    /// saved, it may be given up for this one.
    SaveCheckpoint {
        /// The checkpoint.
        checkpoint: Box<Checkpoint>,
        /// The number of the record that stands on it.
        sequence: u64,
    },
    /// The replica has stopped.
    ShutDown {
        /// The last record: when it is durable, with the checkpoint it stands on, mark the directory as cleanly shut down. `None`:
        /// it was recovering, or had not begun, so that there is nothing to mark.
        sequence: Option<u64>,
    },
    /// Something an operator wants to know.
    Event(Event),
}

/// A checkpoint whose roots are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TakeCheckpoint {
    /// The op-number of the checkpoint.
    pub op: OpNumber,
    /// The service's state.
    pub service: Snapshot,
    /// The client-table as pages.
    pub client_table: Snapshot,
}

impl TakeCheckpoint {
    /// Computes the roots. Takes as long as it takes to hash all pages that changed since the checkpoint before.
    #[must_use]
    pub fn taken(&self) -> Input {
        Input::CheckpointTaken { op: self.op, service: self.service.root(), client_table: self.client_table.root() }
    }
}

/// What happened, for logs, metrics and status streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The status changed, or the view did.
    StatusChanged {
        /// The status now.
        status: StatusName,
        /// The view now.
        view: ViewNumber,
    },
    /// So many members recover at once that too few remember. Nothing is served until an operator acts.
    QuorumLost {
        /// The members known to be recovering, this one included.
        recovering: Vec<NodeId>,
    },
    /// All members had lost their memory; the group begins again with what the disk of this one holds.
    BeganAgain {
        /// The view that it leads.
        view: ViewNumber,
        /// How far its log goes. What was acknowledged above is lost.
        op: OpNumber,
    },
    /// The service panicked in an up-call. It is a bug of the service, and the group goes on.
    ServicePanicked {
        /// The operation that was executed; `None` for one that was being judged, and was refused.
        op: Option<OpNumber>,
        /// What the panic said.
        message: String,
    },
    /// A checkpoint was taken, and its root is known.
    CheckpointTaken {
        /// Its name.
        id: CheckpointId,
    },
    /// A checkpoint that this replica lacks is being fetched from others, or a newer one instead.
    TransferStarted {
        /// Its name.
        checkpoint: CheckpointId,
    },
    /// The state is now that of a checkpoint that was fetched.
    CheckpointInstalled {
        /// Its name.
        id: CheckpointId,
        /// Whether it replaced a state that was not that of a quorum.
        is_repair: bool,
    },
    /// A quorum has another root than this replica: the service did not do the same everywhere. This replica refuses to be primary
    /// until its state is repaired.
    Diverged {
        /// The checkpoint of the quorum.
        quorum: CheckpointId,
        /// The own root at its op-number.
        own: CheckpointRoot,
    },
    /// No root of the checkpoint at this op-number is that of a quorum: the service is not deterministic, and nobody can tell which
    /// state is right. The group goes on.
    RootsDiffer {
        /// The op-number of the checkpoint.
        op: OpNumber,
    },
    /// The journal ends here for now: it could not be written. It goes on with the next checkpoint. Until then a crash of this
    /// replica costs a longer recovery, and a crash of all may cost what it does not hold.
    JournalBroken {
        /// The op-number up to which it is certain to hold the log.
        op: OpNumber,
    },
    /// The log on this replica's disk is not that of the others, although it said that it was committed: the disk changed what was
    /// written, or it is another replica's. Everything is fetched again.
    DiskDistrusted {
        /// Where they differ, or above.
        op: OpNumber,
    },
    /// A peer is in another cluster, names this replica's own id, or is no member.
    ForeignPeer {
        /// Who, and what is wrong with it.
        reason: Ignored,
        /// The sender it names.
        from: NodeId,
    },
}

/// The paper's status, by name (figure 2), with what a replica does before it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusName {
    /// Newly formatted; waits for all members of the new cluster.
    Starting,
    /// Processes requests.
    Normal,
    /// Changes the view.
    ViewChange,
    /// Has lost its memory and asks the others.
    Recovering,
}

impl StatusName {
    /// As the paper writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Normal => "normal",
            Self::ViewChange => "view-change",
            Self::Recovering => "recovering",
        }
    }
}

/// Why an input was ignored. Counted, never an error: the network may deliver anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// The message belongs to another cluster.
    OtherCluster,
    /// The sender is no member of the configuration.
    NotAMember,
    /// The sender claims this replica's own id.
    FromSelf,
    /// The sender's epoch differs.
    OtherEpoch,
    /// The sender has lost its memory since it sent this.
    StaleIncarnation,
    /// The message is for an earlier view.
    OlderView,
    /// The message is for a later view than this replica is in; it asks for that view's log.
    LaterView,
    /// This kind of message means nothing in the present status.
    WrongStatus,
    /// The sender is not the primary of the view it speaks for.
    NotPrimary,
    /// The message was known already.
    Duplicate,
    /// The message answers a question that is no longer asked.
    Unasked,
    /// The message contradicts itself or the log; its sender is broken.
    Malformed,
    /// The sender holds another log than this one under the same number.
    OtherLog,
    /// It would replace an operation known to be committed; its sender is broken.
    DropsCommitted,
    /// There is no room to keep it for later.
    NoRoom,
    /// The service predicted nothing that can be sent: it panicked, or the value is too long.
    NotPredicted,
}

/// How far a replica has come with fetching a checkpoint (5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferReport {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Of the service's state.
    pub service: Progress,
    /// Of the client-table.
    pub client_table: Progress,
}

/// A replica's view of itself, for `vr status` and status streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its id.
    pub id: NodeId,
    /// Its status.
    pub status: StatusName,
    /// Why it does not serve, if so.
    pub not_serving: Option<NotServingReason>,
    /// Its epoch.
    pub epoch: EpochNumber,
    /// Its view-number.
    pub view: ViewNumber,
    /// The latest view in which it was normal.
    pub log_view: ViewNumber,
    /// The primary of `view`.
    pub primary: NodeId,
    /// Its op-number.
    pub op: OpNumber,
    /// Its commit-number.
    pub commit: OpNumber,
    /// How far it has executed.
    pub executed: OpNumber,
    /// How far it is behind the highest op-number it has heard of.
    pub lag: u64,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its journal certainly holds the log up to here.
    pub durable_op: OpNumber,
    /// Whether its journal cannot be written for now.
    pub is_journal_broken: bool,
    /// The bytes its log counts.
    pub log_bytes: u64,
    /// Its log holds the entries above this; the rest is in a checkpoint.
    pub log_base: OpNumber,
    /// Its newest checkpoint.
    pub checkpoint: CheckpointId,
    /// The newest checkpoint of a quorum, as far as this replica knows.
    pub quorum_checkpoint: QuorumCheckpoint,
    /// Whether its state is not that of a quorum, and must be repaired.
    pub is_divergent: bool,
    /// The checkpoint that it is fetching, and how far it has come.
    pub transfer: Option<TransferReport>,
    /// Sessions open.
    pub sessions: u64,
    /// While it recovers, what its disk holds.
    pub survivor: Option<Survivor>,
}
