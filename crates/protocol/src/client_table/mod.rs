//! The client-table: what each session has executed, and what it was told (4, figure 2; 4.5).
//!
//! Changed by executing committed operations and by nothing else, so that it is the same at every replica. Requests that
//! are only in the log are known to `InFlight`, which is rebuilt whenever the log is replaced.

mod pages;

use std::collections::BTreeMap;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::log::{Entry, Request};
use crate::message::{ClientReply, RefusedReason};
use crate::numbers::{ClientId, Nonce, OpNumber, RequestNumber, SessionNumber, Slot};
use crate::options::ClusterOptions;

/// No result is larger, whatever the cluster's options say: a frame's length has 32 bits.
const RESULT_BYTES_LIMIT: u32 = 1 << 30;

pub use pages::NoClientTable;
use pages::Unwritten;

/// The table of all sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTable {
    sessions: BTreeMap<ClientId, Session>,
    /// Large results that are kept, by the op-number that produced them.
    large: BTreeMap<OpNumber, (ClientId, Slot)>,
    large_bytes: usize,
    /// The slots granted to all sessions.
    slots_granted: usize,
    /// What the next checkpoint must write besides what has been executed since the last one.
    unwritten: Unwritten,
}

/// One client's session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Session {
    number: SessionNumber,
    /// The newest operation of the session: the least recent session is evicted first.
    last_op: OpNumber,
    slots_granted: u32,
    /// Grows to the highest slot used.
    slots: Vec<SlotState>,
    /// The RESUME that opened this session, and the session it took over.
    resumed: Option<(SessionNumber, Nonce)>,
}

/// The latest request of one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct SlotState {
    number: RequestNumber,
    op: OpNumber,
    checksum: u64,
    outcome: Outcome,
}

/// What an executed request came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Outcome {
    /// Its result was too large to keep.
    #[default]
    Lost,
    Kept(Bytes),
    /// The service panicked.
    Panicked,
}

/// What the table says of a request that asks to be ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It is new.
    New,
    /// It has an answer already.
    Answered(ClientReply),
    /// The session is newer than this table: only a later state can tell.
    Unknown,
}

impl ClientTable {
    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are no sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// 4.1 step 2: compares a request with the table. `executed` is how far the table has come.
    #[must_use]
    pub fn look_up(
        &self,
        executed: OpNumber,
        client: ClientId,
        session: SessionNumber,
        slot: Slot,
        number: RequestNumber,
        payload: &[u8],
    ) -> Lookup {
        let Some(known) = self.sessions.get(&client).filter(|known| known.number == session) else {
            return no_session(session, executed);
        };
        let refuse = |reason| Lookup::Answered(ClientReply::Refused { session, slot, number, reason });
        if slot >= known.slots_granted {
            return refuse(RefusedReason::NoSuchSlot);
        }
        match known.slots.get(slot as usize) {
            None => Lookup::New,
            Some(latest) if number > latest.number => Lookup::New,
            Some(latest) if number < latest.number => refuse(RefusedReason::StaleRequest),
            Some(latest) if latest.checksum != xxh3_64(payload) => refuse(RefusedReason::DifferentOperation),
            Some(latest) => Lookup::Answered(latest.reply(session, slot)),
        }
    }

    /// 4.5: what a RESUME of this session is answered, when that does not depend on where it would be ordered. Only one that
    /// takes a session over needs a place in the log; any other would do nothing there but fill it.
    #[must_use]
    pub fn look_up_resume(&self, executed: OpNumber, client: ClientId, old: SessionNumber, nonce: Nonce) -> Lookup {
        match self.sessions.get(&client) {
            Some(known) if known.number == old => Lookup::New,
            Some(known) if known.resumed == Some((old, nonce)) => Lookup::Answered(known.resumed(old, nonce)),
            _ => no_session(old, executed),
        }
    }

    /// The session a REGISTER of this client would be answered with, when it has one.
    #[must_use]
    pub fn registered(&self, client: ClientId) -> Option<ClientReply> {
        let known = self.sessions.get(&client)?;
        Some(ClientReply::Registered { session: known.number, slots: known.slots_granted })
    }

    /// Notes the result of an operation that was just executed; `None` when the service panicked.
    pub(crate) fn record(&mut self, entry: &Entry, result: Option<Bytes>, options: &ClusterOptions) -> ClientReply {
        let Request::Operation { client, session, slot, number, payload, .. } = &entry.request else {
            unreachable!("only operations have results")
        };
        let known = self.sessions.get_mut(client).expect("look_up said that it is new");
        let index = *slot as usize;
        if known.slots.len() <= index {
            known.slots.resize_with(index + 1, SlotState::default);
        }
        known.last_op = entry.op();
        let state = &mut known.slots[index];
        if self.large.remove(&state.op).is_some() {
            self.large_bytes -= state.outcome.bytes();
        }
        let (session, slot, number) = (*session, *slot, *number);
        let checksum = xxh3_64(payload);
        let Some(result) = result else {
            *state = SlotState { number, op: entry.op(), checksum, outcome: Outcome::Panicked };
            return state.reply(session, slot);
        };
        let bytes = result.len();
        let fits = |bytes_max: u32| bytes <= bytes_max as usize;
        let is_sent = fits(options.result_bytes_max.min(RESULT_BYTES_LIMIT));
        let is_kept = is_sent && fits(options.reply_bytes_max);
        let reply = if is_sent {
            ClientReply::Reply { session, slot, number, op: entry.op(), result: result.clone() }
        } else {
            ClientReply::Refused { session, slot, number, reason: RefusedReason::ReplyLost }
        };
        let outcome = if is_kept { Outcome::Kept(result) } else { Outcome::Lost };
        *state = SlotState { number, op: entry.op(), checksum, outcome };
        if is_kept && !fits(options.small_reply_bytes_max) {
            self.large.insert(entry.op(), (*client, slot));
            self.large_bytes += bytes;
            self.forget_large_replies(options);
        }
        reply
    }

    /// Forgets the oldest large results beyond the cluster's limit.
    fn forget_large_replies(&mut self, options: &ClusterOptions) {
        while self.large_bytes > options.large_replies_bytes_max as usize {
            let (_, (client, slot)) = self.large.pop_first().expect("bytes are counted per reply");
            let session = self.sessions.get_mut(&client).expect("eviction removes its replies");
            self.large_bytes -= std::mem::take(&mut session.slots[slot as usize].outcome).bytes();
            self.unwritten.forgotten.insert((client, slot));
        }
    }

    /// Executes REGISTER: opens a session, or names the one the client has.
    pub(crate) fn register(
        &mut self,
        op: OpNumber,
        client: ClientId,
        slots: u32,
        options: &ClusterOptions,
    ) -> ClientReply {
        if let Some(reply) = self.registered(client) {
            return reply;
        }
        let slots_granted = slots.clamp(1, options.slots_max.max(1));
        let sessions_max = options.sessions_max.max(1) as usize;
        let slots_max = options.slots_total_max.max(slots_granted) as usize;
        while self.sessions.len() >= sessions_max || self.slots_granted + slots_granted as usize > slots_max {
            self.evict_least_recent();
        }
        self.slots_granted += slots_granted as usize;
        let number = SessionNumber(op.0);
        let session = Session { number, last_op: op, slots_granted, slots: Vec::new(), resumed: None };
        self.sessions.insert(client, session);
        ClientReply::Registered { session: number, slots: slots_granted }
    }

    /// The least recently active session goes; which one that is, is the same at every replica.
    fn evict_least_recent(&mut self) {
        let oldest = self.sessions.iter().min_by_key(|(client, session)| (session.last_op, **client));
        let client = *oldest.expect("more than the limit").0;
        let session = self.sessions.remove(&client).expect("just found");
        self.unwritten.evicted.insert(client);
        self.slots_granted -= session.slots_granted as usize;
        for state in session.slots {
            if self.large.remove(&state.op).is_some() {
                self.large_bytes -= state.outcome.bytes();
            }
        }
    }

    /// Executes RESUME (4.5): a new session that goes on where the old one was; the old one's delayed requests are dead.
    pub(crate) fn resume(&mut self, op: OpNumber, client: ClientId, old: SessionNumber, nonce: Nonce) -> ClientReply {
        match self.look_up_resume(op, client, old, nonce) {
            Lookup::New => {}
            Lookup::Answered(reply) => return reply,
            Lookup::Unknown => return ClientReply::NoSession { session: old },
        }
        let known = self.sessions.get_mut(&client).expect("look_up said that it is there");
        known.number = SessionNumber(op.0);
        known.last_op = op;
        known.resumed = Some((old, nonce));
        known.resumed(old, nonce)
    }
}

/// A session is numbered by the operation that opened it. Beyond `executed` it may simply not be known yet: a primary that was
/// deposed without noticing must not declare a session of the next view dead.
fn no_session(session: SessionNumber, executed: OpNumber) -> Lookup {
    if session.0 > executed.0 { Lookup::Unknown } else { Lookup::Answered(ClientReply::NoSession { session }) }
}

impl Session {
    fn resumed(&self, old: SessionNumber, nonce: Nonce) -> ClientReply {
        let mut numbers: Vec<RequestNumber> = self.slots.iter().map(|state| state.number).collect();
        numbers.resize(self.slots_granted as usize, RequestNumber::ZERO);
        ClientReply::Resumed { old, nonce, session: self.number, numbers }
    }
}

impl SlotState {
    fn reply(&self, session: SessionNumber, slot: Slot) -> ClientReply {
        let number = self.number;
        let refused = |reason| ClientReply::Refused { session, slot, number, reason };
        match &self.outcome {
            Outcome::Kept(result) => ClientReply::Reply { session, slot, number, op: self.op, result: result.clone() },
            Outcome::Lost => refused(RefusedReason::ReplyLost),
            Outcome::Panicked => refused(RefusedReason::Panicked),
        }
    }
}

impl Outcome {
    fn bytes(&self) -> usize {
        match self {
            Self::Kept(result) => result.len(),
            Self::Lost | Self::Panicked => 0,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::log::Entry;
    use crate::numbers::{ChainHash, Timestamp, Viewstamp};

    const OPTIONS: ClusterOptions = ClusterOptions {
        sessions_max: 2,
        slots_max: 4,
        slots_total_max: 128,
        small_reply_bytes_max: 256,
        reply_bytes_max: 1_000,
        large_replies_bytes_max: 8_000,
        result_bytes_max: 9_000,
        operation_bytes_max: 1_000,
        checkpoint_ops: 16,
        checkpoint_bytes: 1 << 20,
        page_bytes: 512,
        lease_max_ms: 0,
        recover_automatically: 0,
    };

    pub(crate) fn operation(op: u64, client: u128, session: u64, slot: Slot, number: u64) -> Entry {
        let stamp = Viewstamp { op: OpNumber(op), ..Viewstamp::default() };
        let request = Request::Operation {
            client: ClientId(client),
            session: SessionNumber(session),
            slot,
            number: RequestNumber(number),
            predicted: Bytes::new(),
            payload: Bytes::from_static(b"put"),
        };
        Entry::new(ChainHash::default(), stamp, Timestamp(op), request)
    }

    fn table_with(clients: &[u128]) -> ClientTable {
        let mut table = ClientTable::default();
        for (place, client) in clients.iter().enumerate() {
            table.register(OpNumber(place as u64 + 1), ClientId(*client), 2, &OPTIONS);
        }
        table
    }

    fn look_up(table: &ClientTable, session: u64, slot: Slot, number: u64, payload: &[u8]) -> Lookup {
        table.look_up(OpNumber(50), ClientId(7), SessionNumber(session), slot, RequestNumber(number), payload)
    }

    /// 4.1 step 2: "it will re-send the response if the request is the most recent one from this client".
    #[test]
    fn the_latest_request_is_answered_again_and_older_ones_are_refused() {
        let mut table = table_with(&[7]);
        assert_eq!(look_up(&table, 1, 0, 3, b"put"), Lookup::New);
        let reply = table.record(&operation(2, 7, 1, 0, 3), Some(Bytes::from_static(b"ok")), &OPTIONS);
        assert_eq!(look_up(&table, 1, 0, 3, b"put"), Lookup::Answered(reply));
        assert!(matches!(
            look_up(&table, 1, 0, 2, b"put"),
            Lookup::Answered(ClientReply::Refused { reason: RefusedReason::StaleRequest, .. })
        ));
        assert!(matches!(
            look_up(&table, 1, 0, 3, b"other"),
            Lookup::Answered(ClientReply::Refused { reason: RefusedReason::DifferentOperation, .. })
        ));
        assert_eq!(look_up(&table, 1, 1, 1, b"put"), Lookup::New, "each slot has numbers of its own");
        assert!(matches!(
            look_up(&table, 1, 2, 1, b"put"),
            Lookup::Answered(ClientReply::Refused { reason: RefusedReason::NoSuchSlot, .. })
        ));
    }

    /// K2: eviction is decided by op-numbers alone, and an evicted session is told so, never opened again by itself.
    #[test]
    fn the_least_recently_active_session_is_evicted_whole() {
        let mut table = table_with(&[7, 8]);
        table.record(&operation(3, 7, 1, 0, 1), Some(Bytes::new()), &OPTIONS);
        table.register(OpNumber(4), ClientId(9), 2, &OPTIONS);
        assert_eq!(table.len(), 2);
        assert!(table.registered(ClientId(7)).is_some(), "active since");
        assert!(table.registered(ClientId(8)).is_none());
        let gone = table.look_up(OpNumber(4), ClientId(8), SessionNumber(2), 0, RequestNumber(1), b"put");
        assert_eq!(gone, Lookup::Answered(ClientReply::NoSession { session: SessionNumber(2) }));
    }

    /// A deposed primary that has not executed the REGISTER cannot know whether the session lives.
    #[test]
    fn a_session_beyond_the_executed_log_is_not_declared_dead() {
        let table = table_with(&[]);
        let asked = table.look_up(OpNumber(4), ClientId(8), SessionNumber(5), 0, RequestNumber(1), b"put");
        assert_eq!(asked, Lookup::Unknown);
    }

    /// K1: a client crashes twice; the request of its first life arrives in its second.
    #[test]
    fn resume_kills_the_requests_of_the_old_session() {
        let mut table = table_with(&[7]);
        table.record(&operation(2, 7, 1, 1, 5), Some(Bytes::new()), &OPTIONS);
        let resumed = table.resume(OpNumber(3), ClientId(7), SessionNumber(1), Nonce(1));
        let expected = ClientReply::Resumed {
            old: SessionNumber(1),
            nonce: Nonce(1),
            session: SessionNumber(3),
            numbers: vec![RequestNumber(0), RequestNumber(5)],
        };
        assert_eq!(resumed, expected);
        let dead = ClientReply::NoSession { session: SessionNumber(1) };
        assert_eq!(look_up(&table, 1, 1, 7, b"put"), Lookup::Answered(dead), "the old session is dead");
        assert_eq!(look_up(&table, 3, 1, 7, b"put"), Lookup::New);
        let retried = table.resume(OpNumber(4), ClientId(7), SessionNumber(1), Nonce(1));
        assert_eq!(retried, expected, "a retry of the same RESUME");
        let other = table.resume(OpNumber(5), ClientId(7), SessionNumber(1), Nonce(2));
        assert_eq!(other, ClientReply::NoSession { session: SessionNumber(1) }, "a late RESUME of an earlier life");
    }

    #[test]
    fn sessions_are_evicted_when_all_slots_are_granted() {
        let options = ClusterOptions { slots_max: 100, ..OPTIONS };
        let mut table = ClientTable::default();
        for client in 1..=2 {
            table.register(OpNumber(client), ClientId(u128::from(client)), 100, &options);
        }
        assert_eq!((table.len(), table.slots_granted), (1, 100), "2 sessions may have 128 slots in all");
        assert!(table.registered(ClientId(2)).is_some());
    }

    #[test]
    fn large_results_are_kept_up_to_a_limit_in_all() {
        let mut table = ClientTable::default();
        let options = ClusterOptions { slots_max: 100, ..OPTIONS };
        table.register(OpNumber(1), ClientId(7), 100, &options);
        for op in 2..=10 {
            let slot = u32::try_from(op).unwrap();
            table.record(&operation(op, 7, 1, slot, 1), Some(Bytes::from(vec![0; 1_000])), &options);
        }
        assert_eq!((table.large.len(), table.large_bytes), (8, 8_000), "one more was recorded");
        assert!(matches!(
            look_up(&table, 1, 2, 1, b"put"),
            Lookup::Answered(ClientReply::Refused { reason: RefusedReason::ReplyLost, .. })
        ));
        assert!(matches!(look_up(&table, 1, 3, 1, b"put"), Lookup::Answered(ClientReply::Reply { .. })));
        table.record(&operation(11, 7, 1, 5, 2), Some(Bytes::from(vec![0; 1_001])), &options);
        assert!(matches!(
            look_up(&table, 1, 5, 2, b"put"),
            Lookup::Answered(ClientReply::Refused { reason: RefusedReason::ReplyLost, .. })
        ));
    }

    /// A result that fits no frame would be refused by the client's connection, and asked for again for ever.
    #[test]
    fn a_result_that_fits_no_frame_is_lost_at_once() {
        let mut table = table_with(&[7]);
        let reply = table.record(&operation(2, 7, 1, 0, 1), Some(Bytes::from(vec![0; 9_001])), &OPTIONS);
        assert!(matches!(reply, ClientReply::Refused { reason: RefusedReason::ReplyLost, .. }));
        assert_eq!(look_up(&table, 1, 0, 1, b"put"), Lookup::Answered(reply));
    }
}
