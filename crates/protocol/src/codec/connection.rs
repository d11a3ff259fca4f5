//! Frames about the connection itself: who is there, and how it is.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};

use super::header::{Envelope, Kind, Sender, write_frame};
use super::reader::Reader;
use super::replica::put_count;
use super::{DecodeError, Frame};
use crate::configuration::MEMBERS_MAX;
use crate::durability::Durability;
use crate::numbers::{ClusterId, EpochNumber, Incarnation, NodeId, ViewNumber};

/// The first frame each side of a connection sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hello {
    /// The sender's cluster; 0 from a client that does not know it yet.
    pub cluster: ClusterId,
    /// Which replica it is; `None` for a client.
    pub node: Option<NodeId>,
    /// The replica's incarnation; 0 while it does not know it, and from a client.
    pub incarnation: Incarnation,
    /// What the connection is for.
    pub purpose: Purpose,
    /// The newest version of the format that the sender speaks, which may be newer than that of this frame.
    pub version: u16,
    /// Random for each start of a replica, so that two processes that run under one id are told apart; 0 from a client.
    pub process: u64,
    /// The durability mode of the replica's cluster; `None` while it does not know it, and from a client.
    pub durability: Option<Durability>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Messages between replicas that must not wait.
    Replica,
    /// Large messages between replicas that may, so that the others never queue behind them.
    Bulk,
    /// A client's requests and their replies, and status.
    Client,
}

/// An operator's consent that the group begins again with what its disks hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForceRecover {
    /// The cluster it is meant for; a replica of another one does nothing.
    pub cluster: ClusterId,
    /// Members that are gone for good: at most as many as a group has.
    pub without: BTreeSet<NodeId>,
}

const REPLICA: u8 = 1;
const BULK: u8 = 2;
const CLIENT: u8 = 3;

const UNKNOWN: u8 = 0;
const REPLICATED: u8 = 1;
const BACKGROUND: u8 = 2;
const SYNCHRONOUS: u8 = 3;

pub(super) fn encode_hello(hello: &Hello, out: &mut BytesMut) {
    let sender = Sender::node(hello.node.unwrap_or_default(), hello.incarnation);
    let envelope = Envelope { cluster: hello.cluster, sender, ..Envelope::default() };
    write_frame(out, Kind::Hello, envelope, 13, |out| {
        out.put_u16_le(hello.version);
        out.put_u8(match hello.purpose {
            Purpose::Replica => REPLICA,
            Purpose::Bulk => BULK,
            Purpose::Client => CLIENT,
        });
        out.put_u8(u8::from(hello.node.is_some()));
        out.put_u64_le(hello.process);
        out.put_u8(match hello.durability {
            None => UNKNOWN,
            Some(Durability::Replicated) => REPLICATED,
            Some(Durability::Background) => BACKGROUND,
            Some(Durability::Synchronous) => SYNCHRONOUS,
        });
    });
}

pub(super) fn decode_hello(envelope: &Envelope, reader: &mut Reader<'_>) -> Result<Hello, DecodeError> {
    reader.unused("epoch", envelope.epoch == EpochNumber::ZERO)?;
    reader.unused("view", envelope.view == ViewNumber::ZERO)?;
    let version = reader.u16("newest version")?;
    let purpose = match reader.u8("purpose")? {
        REPLICA => Purpose::Replica,
        BULK => Purpose::Bulk,
        CLIENT => Purpose::Client,
        found => return Err(reader.choice("purpose", found)),
    };
    let is_node = reader.bool("whether a replica sends")?;
    let process = reader.u64("process")?;
    let durability = match reader.u8("durability mode")? {
        UNKNOWN => None,
        REPLICATED => Some(Durability::Replicated),
        BACKGROUND => Some(Durability::Background),
        SYNCHRONOUS => Some(Durability::Synchronous),
        found => return Err(reader.choice("durability mode", found)),
    };
    let (node, incarnation) = envelope.sender.as_node(reader)?;
    reader.unused("node", is_node || node == NodeId::ZERO)?;
    let node = is_node.then_some(node);
    Ok(Hello { cluster: envelope.cluster, node, incarnation, purpose, version, process, durability })
}

pub(super) fn encode_status_request(out: &mut BytesMut) {
    write_frame(out, Kind::StatusRequest, Envelope::default(), 0, |_| {});
}

pub(super) fn decode_status_request(envelope: &Envelope, reader: &Reader<'_>) -> Result<Frame, DecodeError> {
    anonymous(envelope, reader)?;
    Ok(Frame::StatusRequest)
}

pub(super) fn encode_status(status: &Bytes, out: &mut BytesMut) {
    write_frame(out, Kind::Status, Envelope::default(), status.len(), |out| out.put_slice(status));
}

pub(super) fn decode_status(envelope: &Envelope, reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    anonymous(envelope, reader)?;
    Ok(Frame::Status(reader.kept_rest()))
}

pub(super) fn encode_force_recover(consent: &ForceRecover, out: &mut BytesMut) {
    debug_assert!(consent.without.len() <= MEMBERS_MAX);
    let envelope = Envelope { cluster: consent.cluster, ..Envelope::default() };
    write_frame(out, Kind::ForceRecover, envelope, 4 + 8 * consent.without.len(), |out| {
        put_count(out, consent.without.len());
        consent.without.iter().for_each(|node| out.put_u64_le(node.0));
    });
}

pub(super) fn decode_force_recover(envelope: &Envelope, reader: &mut Reader<'_>) -> Result<ForceRecover, DecodeError> {
    reader.unused("epoch", envelope.epoch == EpochNumber::ZERO)?;
    reader.unused("view", envelope.view == ViewNumber::ZERO)?;
    reader.unused("sender", envelope.sender.is_zero())?;
    let count = reader.count("members given up", MEMBERS_MAX, 8)?;
    let mut without: BTreeSet<NodeId> = BTreeSet::new();
    for _ in 0..count {
        let node = NodeId(reader.u64("member given up")?);
        if let Some(after) = without.last().filter(|last| **last >= node) {
            return Err(DecodeError::Disorder { frame: reader.name(), found: node.0, after: after.0 });
        }
        without.insert(node);
    }
    Ok(ForceRecover { cluster: envelope.cluster, without })
}

/// Refuses an envelope that says anything.
fn anonymous(envelope: &Envelope, reader: &Reader<'_>) -> Result<(), DecodeError> {
    reader.unused("cluster", envelope.cluster == ClusterId::default())?;
    reader.unused("epoch", envelope.epoch == EpochNumber::ZERO)?;
    reader.unused("view", envelope.view == ViewNumber::ZERO)?;
    reader.unused("sender", envelope.sender.is_zero())
}
