//! The pre-step of non-deterministic operations: the primary asks the backups what they predict, before it orders the request (4.4).
//!
//! What is pending belongs to the primary of one view and goes with its status: a value computed in one view never reaches another.
//! Nobody waits for a pre-step but its own request. Where the paper is silent, see N9 in docs/deviations.md.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::Replica;
use super::io::Ignored;
use super::status::Status;
use crate::log::ENTRY_OVERHEAD_BYTES;
use crate::message::{Body, BusyReason, Header, Predict, PredictOk, RequestId};
use crate::numbers::{ClientId, NodeId, RequestNumber, SessionNumber, Slot, Time};
use crate::options::Options;
use crate::service::{Contributions, PREDICTED_BYTES_MAX, Service};

/// Each slot has one request outstanding (K7), so at most one pre-step.
type Key = (ClientId, Slot);

/// The requests whose value is not known yet, or is known and waits for room in the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct PreSteps {
    pending: BTreeMap<Key, PreStep>,
    /// What is due when: asking again, or doing with the values that are there.
    due: BTreeSet<(Time, Key)>,
    /// Those that are complete, or late, in the order in which they will be ordered.
    ready: VecDeque<Key>,
    /// What all of them count.
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PreStep {
    request: RequestId,
    payload: Bytes,
    /// What each replica predicts, this one included.
    values: BTreeMap<NodeId, Bytes>,
    /// When to do with the values that are there.
    deadline: Time,
    /// When it is due next; `None` when it is ready.
    due_at: Option<Time>,
}

impl PreStep {
    fn key(&self) -> Key {
        (self.request.client, self.request.slot)
    }

    fn bytes(&self) -> usize {
        ENTRY_OVERHEAD_BYTES + self.payload.len() + self.values.values().map(Bytes::len).sum::<usize>()
    }
}

impl PreSteps {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(due_at, _)| *due_at)
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The request of the slot that is being predicted in this session.
    pub(super) fn latest(&self, client: ClientId, session: SessionNumber, slot: Slot) -> Option<RequestNumber> {
        let pending = self.pending.get(&(client, slot)).filter(|pending| pending.request.session == session);
        pending.map(|pending| pending.request.number)
    }

    /// Forgets the pre-step of the slot, if there is one.
    pub(super) fn give_up(&mut self, client: ClientId, slot: Slot) {
        // Of most services nothing is ever pending.
        if !self.pending.is_empty()
            && let Some(pending) = self.remove((client, slot))
        {
            self.ready.retain(|key| *key != pending.key());
        }
    }

    fn remove(&mut self, key: Key) -> Option<PreStep> {
        let pending = self.pending.remove(&key)?;
        self.bytes -= pending.bytes();
        if let Some(due_at) = pending.due_at {
            self.due.remove(&(due_at, key));
        }
        Some(pending)
    }

    fn has_room_for(&self, bytes: usize, options: &Options) -> bool {
        self.pending.len() < options.pre_steps_max && self.bytes + bytes <= options.pre_steps_bytes_max
    }

    fn insert(&mut self, pending: PreStep) {
        let key = pending.key();
        self.bytes += pending.bytes();
        self.due.extend(pending.due_at.map(|due_at| (due_at, key)));
        let before = self.pending.insert(key, pending);
        assert!(before.is_none(), "a slot has one pre-step");
    }

    /// Sets when the pre-step is due next; `None`: it is ready.
    fn schedule(&mut self, key: Key, due_at: Option<Time>) {
        let pending = self.pending.get_mut(&key).expect("pending");
        if let Some(before) = std::mem::replace(&mut pending.due_at, due_at) {
            self.due.remove(&(before, key));
        }
        match due_at {
            Some(due_at) => drop(self.due.insert((due_at, key))),
            None => self.ready.push_back(key),
        }
    }

    fn pop_ready(&mut self) -> Option<PreStep> {
        let key = self.ready.pop_front()?;
        Some(self.remove(key).expect("what is ready is pending"))
    }
}

impl<S: Service> Replica<S> {
    /// 4.4: "a pre-step in the protocol in which it requests values from the backups". An earlier request of the slot is given up.
    pub(super) fn start_pre_step(&mut self, request: RequestId, payload: Bytes) {
        let own = match self.predict(&payload) {
            Ok(own) => own,
            Err(reason) => return self.refuse(request, reason),
        };
        let now = self.now.monotonic;
        let deadline = now.after(self.options.predict_timeout);
        let due_at = Some(now.after(self.options.predict_retry).min(deadline));
        let values = BTreeMap::from([(self.id, own)]);
        let pre_step = PreStep { request, payload, values, deadline, due_at };
        let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
        primary.pre_steps.give_up(request.client, request.slot);
        if !primary.pre_steps.has_room_for(pre_step.bytes(), &self.options) {
            return self.busy(request.client, Some((request.slot, request.number)), BusyReason::QueueFull);
        }
        let key = pre_step.key();
        primary.pre_steps.insert(pre_step);
        if self.configuration.threshold() == 0 {
            return self.finish_pre_step(key);
        }
        self.ask_backups(key);
    }

    /// Sends PREDICT to those who have not answered; a primary that has fallen silent sends nothing (V8).
    fn ask_backups(&mut self, key: Key) {
        let Status::Primary(primary) = &self.status else { unreachable!("asked by status") };
        if primary.abdicated {
            return;
        }
        let pending = &primary.pre_steps.pending[&key];
        let body = Body::Predict(Box::new(Predict { request: pending.request, payload: pending.payload.clone() }));
        let asked: Vec<NodeId> =
            primary.peers.iter().map(|peer| peer.id).filter(|id| !pending.values.contains_key(id)).collect();
        if asked.len() == primary.peers.len() {
            return self.broadcast(body);
        }
        for id in asked {
            self.send(id, body.clone());
        }
    }

    /// A backup answers with its own prediction, and keeps nothing.
    pub(super) fn on_predict(&mut self, header: Header, predict: Predict) -> Result<(), Ignored> {
        self.admit_from_primary(header)?;
        let Predict { request, payload } = predict;
        if self.validate(&payload).is_err() {
            return Err(Ignored::Malformed);
        }
        let Ok(value) = self.predict(&payload) else { return Err(Ignored::NotPredicted) };
        self.send(header.from, Body::PredictOk(Box::new(PredictOk { request, value })));
        Ok(())
    }

    /// 4.4: "waits for f responses". An answer counts in the view and for the request it was given, once for each backup.
    pub(super) fn on_predict_ok(&mut self, header: Header, answer: PredictOk) -> Result<(), Ignored> {
        self.admit_from_backup(header)?;
        let Status::Primary(primary) = &mut self.status else { return Err(Ignored::WrongStatus) };
        let key = (answer.request.client, answer.request.slot);
        let asked = primary.pre_steps.pending.get_mut(&key).filter(|asked| asked.request == answer.request);
        let Some(pending) = asked.filter(|asked| asked.due_at.is_some()) else { return Err(Ignored::Unasked) };
        if pending.values.contains_key(&header.from) {
            return Err(Ignored::Duplicate);
        }
        let bytes = primary.pre_steps.bytes + answer.value.len();
        if answer.value.len() > PREDICTED_BYTES_MAX || bytes > self.options.pre_steps_bytes_max {
            return Err(Ignored::NoRoom);
        }
        primary.pre_steps.bytes = bytes;
        pending.values.insert(header.from, answer.value);
        if pending.values.len() > self.configuration.threshold() {
            self.finish_pre_step(key);
        }
        Ok(())
    }

    /// Asks again whoever has not answered; when the deadline has passed, does with the values that are there.
    pub(super) fn tick_pre_steps(&mut self) {
        let now = self.now.monotonic;
        let Status::Primary(primary) = &self.status else { return };
        let due = primary.pre_steps.due.iter().take_while(|(due_at, _)| *due_at <= now);
        for key in due.map(|(_, key)| *key).collect::<Vec<_>>() {
            let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
            let deadline = primary.pre_steps.pending[&key].deadline;
            if deadline <= now {
                self.finish_pre_step(key);
            } else {
                let again_at = now.after(self.options.predict_retry).min(deadline);
                primary.pre_steps.schedule(key, Some(again_at));
                self.ask_backups(key);
            }
        }
    }

    /// No more answers are awaited. The request is ordered as soon as there is room.
    fn finish_pre_step(&mut self, key: Key) {
        let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
        primary.pre_steps.schedule(key, None);
        self.order_ready();
    }

    /// Orders the requests whose value is known, while there is room: before those that wait for room and came later.
    pub(super) fn order_ready(&mut self) {
        loop {
            let Status::Primary(primary) = &self.status else { return };
            if !primary.pre_steps.has_ready() || !self.has_room_in_pipeline() {
                return;
            }
            let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
            let Some(pre_step) = primary.pre_steps.pop_ready() else { return };
            self.order_pre_step(pre_step);
        }
    }

    /// 4.4: "computes the predicted value as a deterministic function of their responses and its own".
    fn order_pre_step(&mut self, pre_step: PreStep) {
        let PreStep { request, payload, values, .. } = pre_step;
        // Its session may have ended meanwhile, or the log have become full.
        if !self.is_new(request, &payload) {
            return;
        }
        if !self.has_room_in_log() {
            return self.busy(request.client, Some((request.slot, request.number)), BusyReason::LogFull);
        }
        let values: Vec<Bytes> = values.into_values().collect();
        let contributions = Contributions { values: &values, wanted: self.configuration.threshold() + 1 };
        let value = self.executor.up_call(|service, _| service.combine(&payload, contributions));
        match self.usable(value) {
            Ok(value) => self.order(request, value, payload),
            Err(reason) => self.refuse(request, reason),
        }
    }
}
