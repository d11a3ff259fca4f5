//! A client and a simplified group under loss, duplication, delay, view changes, BUSY and evictions: exactly once, always.

use super::*;
use crate::message::{BusyReason, RefusedReason};
use crate::random::Random;

const REPLICAS: usize = 3;

/// A group that never loses what it executed: one table, whoever is primary.
#[derive(Default)]
struct Group {
    view: u64,
    op: u64,
    sessions: BTreeMap<ClientId, (SessionNumber, Vec<(RequestNumber, OpNumber)>)>,
    /// How often each payload was executed, and under which op-number at last.
    executed: BTreeMap<Bytes, (u32, OpNumber)>,
    evictions: u64,
}

impl Group {
    fn primary(&self) -> usize {
        usize::try_from(self.view).unwrap() % REPLICAS
    }

    fn on_request(&mut self, at: usize, message: &FromClient, random: &mut Random, has_faults: bool) -> ClientReply {
        if at != self.primary() {
            return redirect(self.primary());
        }
        if has_faults && random.below(50) == 0 {
            return ClientReply::NotServing { reason: NotServingReason::ViewChange };
        }
        let is_busy = has_faults && random.below(10) == 0;
        match message.body.clone() {
            ClientRequest::Operation { session, slot, number, payload } => {
                if is_busy {
                    return ClientReply::Busy { slot: Some(slot), number, reason: BusyReason::QueueFull };
                }
                self.on_operation(message.client, session, slot, number, payload)
            }
            ClientRequest::Register { slots } => {
                self.op += 1;
                let new = (SessionNumber(self.op), vec![Default::default(); slots as usize]);
                let (session, table) = self.sessions.entry(message.client).or_insert(new);
                ClientReply::Registered { session: *session, slots: u32::try_from(table.len()).unwrap() }
            }
            ClientRequest::Resume { .. } | ClientRequest::TakeCheckpoint => {
                unreachable!("no client asks for that here")
            }
        }
    }

    fn on_operation(
        &mut self,
        client: ClientId,
        session: SessionNumber,
        slot: Slot,
        number: RequestNumber,
        payload: Bytes,
    ) -> ClientReply {
        let known = self.sessions.get_mut(&client).filter(|(known, _)| *known == session);
        let Some((_, table)) = known else { return ClientReply::NoSession { session } };
        let (last, op) = &mut table[slot as usize];
        if number < *last {
            return ClientReply::Refused { session, slot, number, reason: RefusedReason::StaleRequest };
        }
        if number > *last {
            self.op += 1;
            (*last, *op) = (number, OpNumber(self.op));
            let executed = self.executed.entry(payload.clone()).or_default();
            *executed = (executed.0 + 1, *op);
        }
        ClientReply::Reply { session, slot, number, op: *op, result: payload }
    }

    fn on_fault(&mut self, random: &mut Random) {
        if random.below(400) == 0 {
            self.view += 1 + random.below(3);
        }
        if random.below(2_000) == 0 && self.sessions.pop_first().is_some() {
            self.evictions += 1;
        }
    }
}

enum Parcel {
    ToReplica(usize, FromClient),
    ToClient(usize, ToClient),
}

struct World {
    bench: Bench,
    group: Group,
    random: Random,
    has_faults: bool,
    /// What is on its way, by the time of its arrival.
    network: BTreeMap<(Time, u64), Parcel>,
    sequence: u64,
    submitted: BTreeMap<Ticket, Bytes>,
}

impl World {
    fn new(seed: u64) -> Self {
        let slots = 1 + u32::try_from(seed % 5).unwrap();
        let options = ClientOptions { request_timeout: Duration::from_secs(2), ..options(slots) };
        let setup = ClientSetup { options, seed: u128::from(seed), ..setup(REPLICAS, slots) };
        Self {
            bench: Bench::new(setup),
            group: Group::default(),
            random: Random::new(u128::from(seed)),
            has_faults: true,
            network: BTreeMap::new(),
            sequence: 0,
            submitted: BTreeMap::new(),
        }
    }

    fn submit(&mut self) {
        let payload = Bytes::from(self.submitted.len().to_string());
        let ticket = self.bench.client.submit(self.bench.now, payload.clone());
        self.submitted.insert(ticket, payload);
    }

    fn send(&mut self, parcel: impl Fn() -> Parcel) {
        let copies = match self.random.below(20) {
            0 | 1 if self.has_faults => 0,
            2 if self.has_faults => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let is_late = self.has_faults && self.random.below(30) == 0;
            let delay = self.random.below(if is_late { 3_000 } else { 10 });
            self.sequence += 1;
            self.network.insert((self.bench.now.after(ms(delay)), self.sequence), parcel());
        }
    }

    /// One millisecond.
    fn step(&mut self) {
        if self.has_faults {
            self.group.on_fault(&mut self.random);
        }
        self.bench.advance(ms(1));
        while let Some(entry) = self.network.first_entry().filter(|entry| entry.key().0 <= self.bench.now) {
            match entry.remove() {
                Parcel::ToReplica(at, message) => {
                    let body = self.group.on_request(at, &message, &mut self.random, self.has_faults);
                    let header = header(at, self.group.view);
                    let answer = ToClient { header, client: message.client, body };
                    self.send(|| Parcel::ToClient(at, answer.clone()));
                }
                Parcel::ToClient(from, message) => self.bench.deliver(from, message),
            }
        }
        self.bench.drain();
        for (to, message) in std::mem::take(&mut self.bench.sent) {
            self.send(|| Parcel::ToReplica(to, message.clone()));
        }
    }

    fn check(&self) {
        for (ticket, payload) in &self.submitted {
            let (count, op) = self.group.executed.get(payload).copied().unwrap_or_default();
            assert!(count <= 1, "{payload:?} was executed {count} times");
            match &self.bench.done[ticket] {
                Ok(completion) => {
                    assert_eq!((count, completion.op, &completion.result), (1, op, payload), "its own result");
                }
                Err(error) if error.is_outcome_unknown() => {}
                Err(error) => assert_eq!(count, 0, "{payload:?} was executed in spite of: {error}"),
            }
        }
    }
}

#[test]
fn every_request_completes_once_with_its_own_result_and_is_executed_at_most_once() {
    let (mut done, mut lost, mut unknown) = (0, 0, 0);
    for seed in 0..200 {
        let mut world = World::new(seed);
        for _ in 0..5_000 {
            if world.random.below(40) == 0 {
                world.submit();
            }
            world.step();
        }
        world.has_faults = false;
        let healed = world.bench.now;
        world.submit();
        let last = *world.submitted.last_key_value().unwrap().0;
        while world.bench.done.len() < world.submitted.len() {
            world.step();
            assert!(world.bench.now.since(healed) < Duration::from_secs(2), "seed {seed} makes no progress");
        }
        // The session may have been evicted just before the faults ended.
        let result = world.bench.result(last);
        assert!(result == "done" || (result == "session lost" && world.group.evictions > 0), "seed {seed}: {result}");
        // What is late arrives, too.
        for _ in 0..3_100 {
            world.step();
        }
        world.check();
        assert_eq!(world.bench.client.next_deadline(), None);
        done += world.bench.done.values().filter(|result| result.is_ok()).count();
        lost += world.bench.done.values().filter(|result| **result == Err(ClientError::SessionLost)).count();
        unknown += world.bench.done.values().filter(|r| matches!(r, Err(ClientError::OutcomeUnknown(_)))).count();
    }
    // The run means something: most requests succeed, and some meet each fault.
    assert!(done > 18_000 && lost > 100 && unknown > 0, "{done} done, {lost} lost, {unknown} unknown");
}
