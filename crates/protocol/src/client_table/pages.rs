//! The client-table as pages, for checkpoints (5.1; docs/deviations.md, T5).
//!
//! Each operation changes the table, and most operations of a client change the same slot: so the table itself is a map in memory,
//! and only what has changed between two checkpoints is written to the pages, when the second one is taken. What is written, and in
//! which order, follows from the executed operations alone; so do the pages.
//!
//! | key | value |
//! | --- | --- |
//! | client (16 bytes, big endian) | session number, newest operation (8 bytes each), slots granted (4); of a resumed session also the old session (8) and the nonce (16) |
//! | client, slot (4, big endian) | request-number, op-number, checksum (8 each), outcome (1), the result that is kept |
//!
//! Numbers in values are little endian.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes};
use viewstamped_state::State;

use super::{ClientTable, Outcome, Session, SlotState};
use crate::numbers::{ClientId, Nonce, OpNumber, RequestNumber, SessionNumber, Slot};
use crate::options::ClusterOptions;

/// The bytes of a client-id in a key.
const CLIENT_BYTES: usize = 16;

const LOST: u8 = 0;
const KEPT: u8 = 1;
const PANICKED: u8 = 2;

/// What the op-numbers in the table do not tell about its changes since the last checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Unwritten {
    /// Clients whose session was evicted; they may have another one.
    pub(super) evicted: BTreeSet<ClientId>,
    /// Slots whose result was forgotten.
    pub(super) forgotten: BTreeSet<(ClientId, Slot)>,
}

/// Why pages are no client-table: they were not written by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pages of the client-table make no sense")]
pub struct NoClientTable;

impl ClientTable {
    /// Writes what has changed since the checkpoint at `last` into the pages, which hold the table as it was then.
    pub(crate) fn write_changes(&mut self, last: OpNumber, pages: &mut State) {
        let Unwritten { evicted, forgotten } = std::mem::take(&mut self.unwritten);
        for client in evicted {
            remove_client(client, pages);
        }
        let mut value = Vec::new();
        for (client, session) in self.sessions.iter().filter(|(_, session)| session.last_op > last) {
            encode_session(session, &mut value);
            pages.put(&session_key(*client), &value);
            let slots = session.slots.iter().enumerate().filter(|(_, state)| state.op > last);
            for (slot, state) in slots {
                write_slot(*client, slot, state, &mut value, pages);
            }
        }
        for (client, slot) in forgotten {
            let session = self.sessions.get(&client);
            if let Some(state) = session.and_then(|session| session.slots.get(slot as usize)) {
                write_slot(client, slot as usize, state, &mut value, pages);
            }
        }
    }

    /// The table that was written to these pages.
    ///
    /// # Errors
    /// When no table was.
    pub(crate) fn read(pages: &State, options: &ClusterOptions) -> Result<Self, NoClientTable> {
        let mut table = Self::default();
        for (key, value) in pages.range(..) {
            let (client, slot) = key.split_at_checked(CLIENT_BYTES).ok_or(NoClientTable)?;
            let client = ClientId(u128::from_be_bytes(client.try_into().expect("split there")));
            if slot.is_empty() {
                let session = decode_session(value).ok_or(NoClientTable)?;
                table.slots_granted += session.slots_granted as usize;
                table.sessions.insert(client, session);
                if table.is_beyond(options) {
                    return Err(NoClientTable);
                }
            } else {
                let slot = slot.try_into().map(u32::from_be_bytes).map_err(|_| NoClientTable)?;
                table.restore_slot(client, slot, decode_slot(value).ok_or(NoClientTable)?, options)?;
            }
        }
        Ok(table)
    }

    /// Whether there is more than operations could have made.
    fn is_beyond(&self, options: &ClusterOptions) -> bool {
        let slots_max = options.slots_total_max.max(options.slots_max).max(1) as usize;
        self.sessions.len() > options.sessions_max.max(1) as usize || self.slots_granted > slots_max
    }

    fn restore_slot(
        &mut self,
        client: ClientId,
        slot: Slot,
        state: SlotState,
        options: &ClusterOptions,
    ) -> Result<(), NoClientTable> {
        // The key of a session comes before those of its slots.
        let session = self.sessions.get_mut(&client).ok_or(NoClientTable)?;
        if slot >= session.slots_granted || slot >= options.slots_max.max(1) {
            return Err(NoClientTable);
        }
        if matches!(state.outcome, Outcome::Kept(_)) && state.outcome.bytes() > options.small_reply_bytes_max as usize {
            self.large_bytes += state.outcome.bytes();
            self.large.insert(state.op, (client, slot));
        }
        let place = slot as usize;
        if session.slots.len() <= place {
            session.slots.resize_with(place + 1, SlotState::default);
        }
        session.slots[place] = state;
        Ok(())
    }
}

fn session_key(client: ClientId) -> [u8; CLIENT_BYTES] {
    client.0.to_be_bytes()
}

fn slot_key(client: ClientId, slot: usize) -> [u8; CLIENT_BYTES + 4] {
    let mut key = [0; CLIENT_BYTES + 4];
    key[..CLIENT_BYTES].copy_from_slice(&session_key(client));
    key[CLIENT_BYTES..].copy_from_slice(&u32::try_from(slot).expect("slots have numbers of 32 bits").to_be_bytes());
    key
}

/// Removes a session and its slots.
fn remove_client(client: ClientId, pages: &mut State) {
    let (first, last) = (session_key(client), slot_key(client, u32::MAX as usize));
    let keys: Vec<Vec<u8>> = pages.range(first.as_slice()..=last.as_slice()).map(|(key, _)| key.to_vec()).collect();
    for key in keys {
        pages.remove(&key);
    }
}

fn encode_session(session: &Session, value: &mut Vec<u8>) {
    value.clear();
    value.put_u64_le(session.number.0);
    value.put_u64_le(session.last_op.0);
    value.put_u32_le(session.slots_granted);
    if let Some((old, nonce)) = session.resumed {
        value.put_u64_le(old.0);
        value.put_u128_le(nonce.0);
    }
}

fn decode_session(mut value: &[u8]) -> Option<Session> {
    let mut session = Session {
        number: SessionNumber(value.try_get_u64_le().ok()?),
        last_op: OpNumber(value.try_get_u64_le().ok()?),
        slots_granted: value.try_get_u32_le().ok()?,
        slots: Vec::new(),
        resumed: None,
    };
    if !value.is_empty() {
        let old = SessionNumber(value.try_get_u64_le().ok()?);
        session.resumed = Some((old, Nonce(value.try_get_u128_le().ok()?)));
    }
    value.is_empty().then_some(session)
}

fn write_slot(client: ClientId, slot: usize, state: &SlotState, value: &mut Vec<u8>, pages: &mut State) {
    value.clear();
    value.put_u64_le(state.number.0);
    value.put_u64_le(state.op.0);
    value.put_u64_le(state.checksum);
    match &state.outcome {
        Outcome::Lost => value.put_u8(LOST),
        Outcome::Kept(result) => {
            value.put_u8(KEPT);
            value.put_slice(result);
        }
        Outcome::Panicked => value.put_u8(PANICKED),
    }
    pages.put(&slot_key(client, slot), value);
}

fn decode_slot(mut value: &[u8]) -> Option<SlotState> {
    let number = RequestNumber(value.try_get_u64_le().ok()?);
    let op = OpNumber(value.try_get_u64_le().ok()?);
    let checksum = value.try_get_u64_le().ok()?;
    let outcome = match (value.try_get_u8().ok()?, value) {
        (LOST, []) => Outcome::Lost,
        (KEPT, result) => Outcome::Kept(Bytes::copy_from_slice(result)),
        (PANICKED, []) => Outcome::Panicked,
        _ => return None,
    };
    Some(SlotState { number, op, checksum, outcome })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_table::tests::operation;
    use crate::random::Random;
    use viewstamped_state::PageOptions;

    const OPTIONS: ClusterOptions = ClusterOptions {
        sessions_max: 5,
        slots_max: 4,
        slots_total_max: 16,
        small_reply_bytes_max: 8,
        reply_bytes_max: 600,
        large_replies_bytes_max: 1_000,
        result_bytes_max: 700,
        operation_bytes_max: 1_000,
        checkpoint_ops: 16,
        checkpoint_bytes: 1 << 20,
        page_bytes: 512,
        lease_max_ms: 0,
        recover_automatically: 0,
    };

    fn empty() -> State {
        State::with_options(PageOptions::new(512).unwrap())
    }

    /// A client does something: opens a session, works in it, or takes it over after a crash.
    fn step(table: &mut ClientTable, op: u64, random: &mut Random) {
        let client = ClientId(u128::from(random.below(9)));
        let Some(session) = table.sessions.get(&client) else {
            let slots = 1 + u32::try_from(random.below(5)).unwrap();
            table.register(OpNumber(op), client, slots, &OPTIONS);
            return;
        };
        let (session, granted) = (session.number, session.slots_granted);
        if random.below(10) == 0 {
            table.resume(OpNumber(op), client, session, Nonce(random.next_u128()));
            return;
        }
        let slot = u32::try_from(random.below(u64::from(granted))).unwrap();
        let result = match random.below(6) {
            0 => None,
            1 => Some(Bytes::from(vec![1; 300])),
            2 => Some(Bytes::from(vec![2; 650])),
            _ => Some(Bytes::from_static(b"ok")),
        };
        table.record(&operation(op, client.0, session.0, slot, op), result, &OPTIONS);
    }

    /// T5, in small: whatever happened to the table, what its pages say is the table, and pages that were written in the same steps
    /// are the same pages.
    #[test]
    fn the_table_is_read_back_from_its_pages_at_every_checkpoint() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let (mut table, mut pages, mut last) = (ClientTable::default(), empty(), 0);
            // A replica that installed the last checkpoint, and executes what came since.
            let mut other: Option<(ClientTable, State)> = None;
            for op in 1..1_500 {
                let mut same_random = random.clone();
                step(&mut table, op, &mut random);
                if let Some((table, _)) = &mut other {
                    step(table, op, &mut same_random);
                }
                if op % 37 != 0 {
                    continue;
                }
                table.write_changes(OpNumber(last), &mut pages);
                let read = ClientTable::read(&pages, &OPTIONS).expect("what was written can be read");
                assert_eq!(read, table, "seed {seed}, operation {op}");
                if let Some((mut table, mut other_pages)) = other.take() {
                    table.write_changes(OpNumber(last), &mut other_pages);
                    assert_eq!(other_pages.root(), pages.root(), "seed {seed}, operation {op}");
                }
                other = Some((read, pages.clone()));
                last = op;
            }
        }
    }

    #[test]
    fn pages_that_no_table_wrote_are_refused() {
        let mut pages = empty();
        pages.put(b"short", b"");
        assert_eq!(ClientTable::read(&pages, &OPTIONS), Err(NoClientTable));
        let mut table = ClientTable::default();
        table.register(OpNumber(1), ClientId(7), 2, &OPTIONS);
        table.record(&operation(2, 7, 1, 1, 1), Some(Bytes::from_static(b"ok")), &OPTIONS);
        let mut pages = empty();
        table.write_changes(OpNumber::ZERO, &mut pages);
        let entries: Vec<(Vec<u8>, Vec<u8>)> =
            pages.range(..).map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        for (key, value) in &entries {
            let mut cut = pages.clone();
            cut.put(key, &value[..value.len() - value.len().min(3)]);
            // Of a result that is kept nothing tells that it was cut: its page's hash does.
            let is_result = key.len() > CLIENT_BYTES;
            assert_eq!(ClientTable::read(&cut, &OPTIONS).is_err(), !is_result || value.len() < 28, "{key:02x?}");
        }
        let mut orphan = pages.clone();
        orphan.remove(&session_key(ClientId(7)));
        assert_eq!(ClientTable::read(&orphan, &OPTIONS), Err(NoClientTable), "slots without their session");
        let mut beyond = pages.clone();
        beyond.put(&slot_key(ClientId(7), 2), &entries[1].1);
        assert_eq!(ClientTable::read(&beyond, &OPTIONS), Err(NoClientTable), "a slot that was never granted");
    }
}
