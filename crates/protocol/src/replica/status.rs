//! The status, each variant with the data it owns; leaving a status drops that data, so that nothing stale is counted later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::checkpoints::Reports;
use super::io::StatusName;
use super::outage::Outage;
use super::prediction::PreSteps;
use super::reach::Reach;
use super::staged::Staged;
use crate::crash_vector::CrashVector;
use crate::in_flight::InFlight;
use crate::message::{Founder, FromClient, Message, Prepare};
use crate::numbers::{ChainHash, Incarnation, InstanceId, NodeId, Nonce, OpNumber, Time, ViewNumber};

/// What a replica is doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Status {
    /// Newly formatted, looking for the other members of the new cluster.
    Starting(Starting),
    /// Normal, and the primary of the view.
    Primary(Primary),
    /// Normal, and not the primary.
    Backup(Backup),
    /// In a view change.
    ViewChange(ViewChange),
    /// Without memory, asking the others.
    Recovering(Recovering),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Starting {
    /// The members heard of, itself included, each with the instance it was formatted with.
    pub heard: BTreeMap<NodeId, InstanceId>,
    /// Whom each member has heard of, by its own latest word.
    pub reports: BTreeMap<NodeId, Vec<Founder>>,
    /// The founders are known and being saved.
    pub saving: bool,
    pub retry_at: Time,
    pub retries: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Primary {
    /// The backups, in the order of the configuration.
    pub peers: Vec<Peer>,
    /// The op-number with which the view began: nothing is answered from the client-table before it is executed (V13).
    pub view_start: OpNumber,
    pub in_flight: InFlight,
    /// Bytes of the entries above the commit-number.
    pub pipeline_bytes: usize,
    /// Requests waiting for the pipeline, or for `view_start`.
    pub queue: VecDeque<FromClient>,
    pub queue_bytes: usize,
    /// Requests whose value is being asked of the backups (4.4).
    pub pre_steps: PreSteps,
    pub heartbeat_at: Time,
    pub heartbeat_sequence: u64,
    /// When a backup last acknowledged something new, or when the first of what is not committed was prepared, if that is later.
    pub progress_at: Time,
    /// It hears no quorum, or makes no progress, and has fallen silent, so that others take over (V8).
    pub abdicated: bool,
    /// The checkpoints of the backups.
    pub reports: Reports,
}

/// What the primary knows of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub id: NodeId,
    /// It holds the log of this view up to here.
    pub acked: OpNumber,
    /// The highest op-number sent to it.
    pub sent: OpNumber,
    /// When it was heard last.
    pub heard_at: Time,
    /// When to send again what is not acknowledged; `None` when everything is.
    pub retry_at: Option<Time>,
    pub retries: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Backup {
    /// When to suspect the primary, unless it is heard before.
    pub suspect_at: Time,
    /// When to send the vote again.
    pub vote_at: Time,
    /// The largest commit-number heard in this view; may be above the log.
    pub commit_heard: OpNumber,
    /// A PREPAREOK is owed to the primary.
    pub ack_owed: bool,
    /// PREPAREs that arrived before their turn, by their first op-number (N10).
    pub reorder: BTreeMap<OpNumber, Prepare>,
    pub reorder_bytes: usize,
    /// When to ask for what is missing.
    pub gap_at: Option<Time>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ViewChange {
    /// As the primary of the new view: the DOVIEWCHANGEs received and its own, one for each member.
    pub do_view_changes: Vec<Message>,
    /// The log that won, while parts of it are missing.
    pub building: Option<Building>,
    pub retry_at: Time,
    /// When to vote for the next view.
    pub timeout_at: Time,
    /// How far the new primary has said it has the log, and how many parts of a checkpoint.
    pub pending: Option<(OpNumber, u64)>,
    /// Who was heard, and whom they hear.
    pub reach: Reach,
}

/// The log of a new view while the new primary completes it (5.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Building {
    /// Whose log won.
    pub winner: NodeId,
    pub log_view: ViewNumber,
    pub op: OpNumber,
    pub head: ChainHash,
    /// The largest commit-number of the quorum.
    pub commit: OpNumber,
    /// The smallest commit-number of the quorum: STARTVIEW reaches back to here, if it may.
    pub commit_floor: OpNumber,
    /// The suffix that came with the winner's DOVIEWCHANGE.
    pub suffix: Staged,
    /// What was fetched so far, from the own commit-number upwards.
    pub fetched: Staged,
    /// When to tell the others how far that is.
    pub tell_at: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Recovering {
    pub stage: RecoveryStage,
    pub retry_at: Time,
    pub retries: u32,
    /// Members that answered this attempt by saying that they are recovering themselves.
    pub also_recovering: BTreeSet<NodeId>,
    /// Those who answered the attempt before in that way.
    pub also_recovering_before: BTreeSet<NodeId>,
    /// So many did both times that too few are left who remember.
    pub quorum_lost: bool,
    /// What is known in case that nobody remembers.
    pub outage: Outage,
    /// It was in this view before, by its disk, and goes back into no earlier one.
    pub view_floor: ViewNumber,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum RecoveryStage {
    /// No counter survived: asks a quorum which incarnation was the last (C3).
    AskIncarnation { nonce: Nonce, answers: BTreeMap<NodeId, Incarnation> },
    /// The new incarnation is being made durable.
    Saving,
    /// RECOVERY is out.
    Asking { nonce: Nonce, responses: BTreeMap<NodeId, Message> },
    /// A quorum has answered; the log is being fetched.
    Fetching { nonce: Nonce, responses: BTreeMap<NodeId, Message>, found: Found },
}

/// What a quorum of RECOVERYRESPONSEs says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Found {
    pub view: ViewNumber,
    pub op: OpNumber,
    pub head: ChainHash,
    pub commit: OpNumber,
    /// The vectors of exactly the answers used, merged.
    pub crash_vector: CrashVector,
}

impl Primary {
    /// What is known of a backup. Panics for the primary's own id and for ids of no member, which are not admitted.
    pub(super) fn peer_mut(&mut self, id: NodeId) -> &mut Peer {
        self.peers.iter_mut().find(|peer| peer.id == id).expect("admitted members only")
    }
}

impl Default for Status {
    fn default() -> Self {
        Self::Starting(Starting::default())
    }
}

impl Status {
    pub(super) fn name(&self) -> StatusName {
        match self {
            Self::Starting(_) => StatusName::Starting,
            Self::Primary(_) | Self::Backup(_) => StatusName::Normal,
            Self::ViewChange(_) => StatusName::ViewChange,
            Self::Recovering(_) => StatusName::Recovering,
        }
    }

    pub(super) fn is_normal(&self) -> bool {
        matches!(self, Self::Primary(_) | Self::Backup(_))
    }

    pub(super) fn do_view_changes(&self) -> &[Message] {
        match self {
            Self::ViewChange(change) => &change.do_view_changes,
            _ => &[],
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        match self {
            Self::Starting(starting) => (!starting.saving).then_some(starting.retry_at),
            Self::Primary(primary) => {
                let retries = primary.peers.iter().filter_map(|peer| peer.retry_at);
                let retry = if primary.abdicated { None } else { retries.min() };
                retry.into_iter().chain(primary.pre_steps.next_deadline()).chain([primary.heartbeat_at]).min()
            }
            Self::Backup(backup) => {
                let vote_at = backup.suspect_at.max(backup.vote_at);
                backup.gap_at.into_iter().chain([vote_at]).min()
            }
            Self::ViewChange(change) => Some(change.retry_at),
            Self::Recovering(recovering) => match recovering.stage {
                RecoveryStage::Saving => None,
                _ => Some(recovering.retry_at),
            },
        }
    }
}
