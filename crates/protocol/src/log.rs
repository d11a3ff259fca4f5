//! The log: the requests in their assigned order, chained by hash (4, figure 2).

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::numbers::{ChainHash, ClientId, Nonce, OpNumber, RequestNumber, SessionNumber, Slot, Timestamp, Viewstamp};

/// What a log entry asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// A client's operation on the service (4.1).
    Operation {
        /// Who asks.
        client: ClientId,
        /// The session under which it asks.
        session: SessionNumber,
        /// Which of the session's slots the request occupies.
        slot: Slot,
        /// The paper's s: larger than every earlier number of the slot.
        number: RequestNumber,
        /// The value chosen for the non-deterministic part of the operation (4.4); empty when there is none.
        predicted: Bytes,
        /// The operation with its arguments, opaque to the protocol.
        payload: Bytes,
    },
    /// Opens a session.
    Register {
        /// The client that opens it.
        client: ClientId,
        /// How many slots it asks for; granted up to the cluster's limit.
        slots: u32,
    },
    /// Takes over a session after a crash of the client (4.5).
    Resume {
        /// The client that crashed.
        client: ClientId,
        /// The session it had.
        session: SessionNumber,
        /// Random: tells a retry of this RESUME from another one.
        nonce: Nonce,
    },
    /// A checkpoint is taken here, because an operator wants one.
    Checkpoint {
        /// Who asked.
        client: ClientId,
    },
}

impl Request {
    /// The client that asked.
    #[must_use]
    pub fn client(&self) -> ClientId {
        match self {
            Self::Operation { client, .. }
            | Self::Register { client, .. }
            | Self::Resume { client, .. }
            | Self::Checkpoint { client } => *client,
        }
    }

    /// The bytes of user data in the request.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        match self {
            Self::Operation { predicted, payload, .. } => predicted.len() + payload.len(),
            Self::Register { .. } | Self::Resume { .. } | Self::Checkpoint { .. } => 0,
        }
    }
}

/// One entry of the log. Never changed once made, whatever view it survives into.
///
/// A handle: the log, and the messages that carry the entry, share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry(Arc<EntryFields>);

/// What an entry consists of.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct EntryFields {
    /// The view that assigned the op-number, and that number.
    pub stamp: Viewstamp,
    /// The replicated clock: chosen by the primary, larger than that of every earlier entry.
    pub timestamp: Timestamp,
    /// The hash of this entry and of all before it.
    pub hash: ChainHash,
    /// The hash of all before it.
    pub previous: ChainHash,
    /// What to do.
    pub request: Request,
}

impl Deref for Entry {
    type Target = EntryFields;

    fn deref(&self) -> &EntryFields {
        &self.0
    }
}

/// What an entry counts besides its user data, in log, window and message limits: its fields in memory and on the wire.
pub const ENTRY_OVERHEAD_BYTES: usize = 192;

impl Entry {
    /// Makes the entry that follows one with the hash `previous`.
    #[must_use]
    pub fn new(previous: ChainHash, stamp: Viewstamp, timestamp: Timestamp, request: Request) -> Self {
        let hash = chain(previous, stamp, timestamp, &request);
        Self(Arc::new(EntryFields { stamp, timestamp, hash, previous, request }))
    }

    /// The op-number.
    #[must_use]
    pub fn op(&self) -> OpNumber {
        self.stamp.op
    }

    /// The bytes this entry counts against limits.
    #[must_use]
    pub fn size(&self) -> usize {
        ENTRY_OVERHEAD_BYTES + self.request.payload_len()
    }

    /// Whether the entry was made to follow one with the hash `previous`. Then its own hash is right: whoever makes an entry,
    /// of a request or of what a message says, computes it.
    #[must_use]
    pub fn follows(&self, previous: ChainHash) -> bool {
        self.previous == previous
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.stamp.op, self.stamp.ballot.view)
    }
}

/// The bytes of an entry's fixed fields, as they are hashed.
const HASHED_HEADER_BYTES: usize = 96;

/// Entries up to this size are hashed in one go from the stack, which is several times faster than piece by piece.
const SMALL_ENTRY_BYTES: usize = 512;

fn chain(previous: ChainHash, stamp: Viewstamp, timestamp: Timestamp, request: &Request) -> ChainHash {
    let (header, predicted, payload) = hashed_parts(previous, stamp, timestamp, request);
    let length = HASHED_HEADER_BYTES + predicted.len() + payload.len();
    if length <= SMALL_ENTRY_BYTES {
        let mut whole = [0u8; SMALL_ENTRY_BYTES];
        let payload_start = length - payload.len();
        whole[..HASHED_HEADER_BYTES].copy_from_slice(&header);
        whole[HASHED_HEADER_BYTES..payload_start].copy_from_slice(predicted);
        whole[payload_start..length].copy_from_slice(payload);
        return ChainHash(xxh3_128(&whole[..length]));
    }
    let mut hasher = Xxh3::new();
    hasher.update(&header);
    hasher.update(predicted);
    hasher.update(payload);
    ChainHash(hasher.digest128())
}

/// What is hashed of an entry: its fixed fields, the predicted value, the payload.
fn hashed_parts(
    previous: ChainHash,
    stamp: Viewstamp,
    timestamp: Timestamp,
    request: &Request,
) -> ([u8; HASHED_HEADER_BYTES], &[u8], &[u8]) {
    let mut header = [0u8; HASHED_HEADER_BYTES];
    header[..16].copy_from_slice(&previous.0.to_le_bytes());
    header[16..24].copy_from_slice(&stamp.ballot.epoch.0.to_le_bytes());
    header[24..32].copy_from_slice(&stamp.ballot.view.0.to_le_bytes());
    header[32..40].copy_from_slice(&stamp.op.0.to_le_bytes());
    header[40..48].copy_from_slice(&timestamp.0.to_le_bytes());
    header[48..64].copy_from_slice(&request.client().0.to_le_bytes());
    match request {
        Request::Operation { session, slot, number, predicted, payload, .. } => {
            header[64..72].copy_from_slice(&session.0.to_le_bytes());
            header[72..80].copy_from_slice(&number.0.to_le_bytes());
            header[80..84].copy_from_slice(&slot.to_le_bytes());
            header[84..88].copy_from_slice(&u32::try_from(predicted.len()).expect("bounded").to_le_bytes());
            header[88] = 1;
            (header, predicted, payload)
        }
        Request::Register { slots, .. } => {
            header[64..68].copy_from_slice(&slots.to_le_bytes());
            header[88] = 2;
            (header, &[], &[])
        }
        Request::Resume { session, nonce, .. } => {
            header[64..72].copy_from_slice(&session.0.to_le_bytes());
            header[72..88].copy_from_slice(&nonce.0.to_le_bytes());
            header[88] = 3;
            (header, &[], &[])
        }
        Request::Checkpoint { .. } => {
            header[88] = 4;
            (header, &[], &[])
        }
    }
}

/// The entries above `base`, without holes, each chained to the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    base: OpNumber,
    base_hash: ChainHash,
    base_timestamp: Timestamp,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The journal has the log up to here.
    journaled: OpNumber,
}

impl Log {
    /// An empty log above a checkpoint: all up to `base` is in it, where the chain hash and the replicated clock are these.
    pub(crate) fn above(base: OpNumber, base_hash: ChainHash, base_timestamp: Timestamp) -> Self {
        Self { base, base_hash, base_timestamp, ..Self::default() }
    }

    /// The op-number below the first entry; everything up to it is in a checkpoint (5.1). Zero until there are checkpoints.
    #[must_use]
    pub fn base(&self) -> OpNumber {
        self.base
    }

    /// The paper's op-number: that of the topmost entry.
    #[must_use]
    pub fn op(&self) -> OpNumber {
        self.base.plus(self.entries.len() as u64)
    }

    /// The bytes all entries count together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The topmost entry.
    #[must_use]
    pub fn last(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// The chain hash of the whole log.
    #[must_use]
    pub fn head_hash(&self) -> ChainHash {
        self.last().map_or(self.base_hash, |entry| entry.hash)
    }

    /// The replicated clock: the timestamp of the topmost entry, or that of the checkpoint when there is none.
    #[must_use]
    pub fn head_timestamp(&self) -> Timestamp {
        self.last().map_or(self.base_timestamp, |entry| entry.timestamp)
    }

    /// The chain hash at the base.
    pub(crate) fn base_hash(&self) -> ChainHash {
        self.base_hash
    }

    /// The replicated clock at the base.
    pub(crate) fn base_timestamp(&self) -> Timestamp {
        self.base_timestamp
    }

    /// The entry at `op`, when the log holds it.
    #[must_use]
    pub fn entry(&self, op: OpNumber) -> Option<&Entry> {
        if op <= self.base {
            return None;
        }
        self.entries.get(usize::try_from(op.0 - self.base.0 - 1).ok()?)
    }

    /// The chain hash up to `op`, when the log knows it.
    #[must_use]
    pub fn hash_at(&self, op: OpNumber) -> Option<ChainHash> {
        if op == self.base { Some(self.base_hash) } else { self.entry(op).map(|entry| entry.hash) }
    }

    /// Whether the log's prefix up to `op` has the hash `hash`.
    #[must_use]
    pub fn matches(&self, op: OpNumber, hash: ChainHash) -> bool {
        self.hash_at(op) == Some(hash)
    }

    /// Appends the next entry. Panics unless it is the next one and chained to the head: callers check peers' entries first.
    pub fn append(&mut self, entry: Entry) {
        assert_eq!(entry.op(), self.op().next(), "log without holes");
        assert!(entry.follows(self.head_hash()), "entry {entry} is chained to the head of the log");
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    /// Drops all entries above `op`, to be replaced by those of a better log at once.
    pub(crate) fn truncate(&mut self, op: OpNumber) {
        assert!(op >= self.base && op <= self.op(), "cut within the log");
        while self.op() > op {
            let entry = self.entries.pop_back().expect("above base");
            self.bytes -= entry.size();
        }
        self.journaled = self.journaled.min(op);
    }

    /// How far the journal has this log: entries above are new, or replace others.
    pub(crate) fn journaled(&self) -> OpNumber {
        self.journaled
    }

    /// All of it is in the journal.
    pub(crate) fn set_journaled(&mut self) {
        self.journaled = self.op();
    }

    /// Drops all entries up to `op`, which are in a checkpoint (5.1: "checkpoints allow the system to garbage collect the log").
    pub(crate) fn drop_up_to(&mut self, op: OpNumber) {
        assert!(op >= self.base && op <= self.op(), "cut within the log");
        while self.base < op {
            let entry = self.entries.pop_front().expect("up to the head");
            self.bytes -= entry.size();
            (self.base, self.base_hash, self.base_timestamp) = (entry.op(), entry.hash, entry.timestamp);
        }
    }

    /// The entries from `first` on, as many as fit in `bytes_max` but at least one, up to and including `last`.
    #[must_use]
    pub fn run(&self, first: OpNumber, last: OpNumber, bytes_max: usize) -> Vec<Entry> {
        assert!(first > self.base, "entries at or below base are in a checkpoint");
        let mut run = Vec::new();
        let mut bytes = 0;
        let start = usize::try_from(first.0 - self.base.0 - 1).expect("fits memory");
        for entry in self.entries.range(start.min(self.entries.len())..) {
            bytes += entry.size();
            if entry.op() > last || (!run.is_empty() && bytes > bytes_max) {
                break;
            }
            run.push(entry.clone());
        }
        run
    }

    /// The topmost entries above `floor`, as many as fit in `bytes_max` but at least one when there is one: a suffix (5.3).
    #[must_use]
    pub fn suffix(&self, floor: OpNumber, bytes_max: usize) -> Vec<Entry> {
        let mut count = 0;
        let mut bytes = 0;
        for entry in self.entries.iter().rev().take_while(|entry| entry.op() > floor) {
            bytes += entry.size();
            if count > 0 && bytes > bytes_max {
                break;
            }
            count += 1;
        }
        self.entries.range(self.entries.len() - count..).cloned().collect()
    }

    /// The entries above `floor` in order.
    pub fn iter_above(&self, floor: OpNumber) -> impl Iterator<Item = &Entry> {
        let start = usize::try_from(floor.distance_from(self.base)).expect("fits memory");
        self.entries.range(start.min(self.entries.len())..)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::numbers::{Ballot, EpochNumber, ViewNumber};

    pub(crate) fn entry_after(log: &Log, view: u64, payload: &'static str) -> Entry {
        let ballot = Ballot { epoch: EpochNumber::ZERO, view: ViewNumber(view) };
        let stamp = Viewstamp { ballot, op: log.op().next() };
        let request = Request::Operation {
            client: ClientId(1),
            session: SessionNumber(1),
            slot: 0,
            number: RequestNumber(stamp.op.0),
            predicted: Bytes::new(),
            payload: Bytes::from_static(payload.as_bytes()),
        };
        Entry::new(log.head_hash(), stamp, log.head_timestamp().next(), request)
    }

    fn log_of(payloads: &[&'static str]) -> Log {
        let mut log = Log::default();
        for payload in payloads {
            log.append(entry_after(&log, 0, payload));
        }
        log
    }

    #[test]
    fn equal_hashes_mean_equal_prefixes() {
        let (left, right) = (log_of(&["a", "b", "c"]), log_of(&["a", "x", "c"]));
        assert_eq!(left.hash_at(OpNumber(1)), right.hash_at(OpNumber(1)));
        assert_ne!(left.hash_at(OpNumber(2)), right.hash_at(OpNumber(2)));
        assert_ne!(left.hash_at(OpNumber(3)), right.hash_at(OpNumber(3)), "the same entry on another prefix");
    }

    #[test]
    fn a_run_is_bounded_in_bytes_but_never_empty() {
        let log = log_of(&["a", "b", "c"]);
        assert_eq!(log.run(OpNumber(1), OpNumber(3), 0).len(), 1);
        assert_eq!(log.run(OpNumber(1), OpNumber(3), 2 * (ENTRY_OVERHEAD_BYTES + 1)).len(), 2);
        assert_eq!(log.run(OpNumber(2), OpNumber(2), usize::MAX)[0].op(), OpNumber(2));
        assert!(log.run(OpNumber(4), OpNumber(9), usize::MAX).is_empty());
    }

    #[test]
    fn a_suffix_ends_at_the_head_and_stays_above_its_floor() {
        let log = log_of(&["a", "b", "c"]);
        assert_eq!(log.suffix(OpNumber(0), 0).first().map(Entry::op), Some(OpNumber(3)));
        assert_eq!(log.suffix(OpNumber(1), usize::MAX).first().map(Entry::op), Some(OpNumber(2)));
        assert!(log.suffix(OpNumber(3), usize::MAX).is_empty());
    }

    #[test]
    fn small_and_large_entries_are_hashed_alike() {
        for length in [0, 1, SMALL_ENTRY_BYTES - HASHED_HEADER_BYTES, SMALL_ENTRY_BYTES, 5_000] {
            let entry = entry_after(&Log::default(), 0, "");
            let mut request = entry.request.clone();
            if let Request::Operation { payload, .. } = &mut request {
                *payload = Bytes::from(vec![7; length]);
            }
            let (header, _, payload) = hashed_parts(ChainHash(1), entry.stamp, entry.timestamp, &request);
            let whole = [header.as_slice(), payload].concat();
            assert_eq!(chain(ChainHash(1), entry.stamp, entry.timestamp, &request).0, xxh3_128(&whole));
        }
    }

    #[test]
    #[should_panic(expected = "log without holes")]
    fn a_hole_is_refused() {
        let mut log = log_of(&["a"]);
        let mut longer = log.clone();
        longer.append(entry_after(&longer, 0, "b"));
        log.append(entry_after(&longer, 0, "c"));
    }
}
