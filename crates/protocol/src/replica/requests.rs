//! Requests from clients: which are ordered, which are answered at once (4.1 steps 1 and 2).

use super::Replica;
use super::io::{Event, Output};
use super::status::Status;
use crate::client_table::Lookup;
use crate::log::{ENTRY_OVERHEAD_BYTES, Request};
use crate::message::{BusyReason, ClientReply, ClientRequest, FromClient, NotServingReason, RefusedReason, RequestId};
use crate::numbers::{ClientId, ClusterId, Nonce, RequestNumber, SessionNumber, Slot};
use crate::service::{PREDICTED_BYTES_MAX, Service};
use bytes::Bytes;

impl<S: Service> Replica<S> {
    pub(super) fn on_client(&mut self, message: FromClient) {
        let client = message.client;
        if message.cluster != self.cluster && message.cluster != ClusterId::default() {
            // Under our own name: the client sees that it is in the wrong place. A client that names none is new.
            return self.reply(client, ClientReply::Redirect { primary: self.primary_of(self.view) });
        }
        if message.epoch > self.configuration.epoch() {
            return;
        }
        if let Some(reason) = self.not_serving() {
            return self.reply(client, ClientReply::NotServing { reason });
        }
        // 4.1: "Backups ignore client requests; only the primary processes them." Ours say who that is (N6).
        let primary = self.primary_of(self.view);
        if primary != self.id {
            return self.reply(client, ClientReply::Redirect { primary });
        }
        if self.may_admit() { self.admit_request(message) } else { self.queue_request(message) }
    }

    /// Whether requests can be judged and ordered now.
    ///
    /// V13: the client-table says nothing before the inherited log is executed.
    fn may_admit(&self) -> bool {
        let Status::Primary(primary) = &self.status else { return false };
        self.executor.executed() >= primary.view_start && primary.queue.is_empty() && self.has_room_in_pipeline()
    }

    pub(super) fn has_room_in_pipeline(&self) -> bool {
        let Status::Primary(primary) = &self.status else { return false };
        self.log.op().distance_from(self.commit) < self.options.pipeline_ops_max
            && primary.pipeline_bytes < self.options.pipeline_bytes_max
    }

    /// Whether the log has room. Asked when a request is about to be ordered: what was executed is answered from the table, be the
    /// log full or not (O5).
    pub(super) fn has_room_in_log(&self) -> bool {
        self.log.bytes() < self.options.log_bytes_max
    }

    fn queue_request(&mut self, message: FromClient) {
        let bytes = queued_bytes(&message);
        let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
        if primary.queue_bytes + bytes > self.options.queue_bytes_max {
            let of = match message.body {
                ClientRequest::Operation { slot, number, .. } => Some((slot, number)),
                ClientRequest::Register { .. } | ClientRequest::Resume { .. } | ClientRequest::TakeCheckpoint => None,
            };
            return self.busy(message.client, of, BusyReason::QueueFull);
        }
        primary.queue_bytes += bytes;
        primary.queue.push_back(message);
    }

    /// Orders waiting requests while there is room.
    pub(super) fn admit_queued(&mut self) {
        self.order_ready();
        loop {
            let Status::Primary(primary) = &self.status else { return };
            if self.executor.executed() < primary.view_start || !self.has_room_in_pipeline() {
                return;
            }
            let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
            let Some(message) = primary.queue.pop_front() else { return };
            primary.queue_bytes -= queued_bytes(&message);
            self.admit_request(message);
        }
    }

    /// Try again here, later; `of` is the slot and number of an operation. Not said by a primary that hears no quorum: its clients
    /// would wait for it for ever, and never hear that there is another (V8).
    pub(super) fn busy(&mut self, client: ClientId, of: Option<(Slot, RequestNumber)>, reason: BusyReason) {
        if matches!(&self.status, Status::Primary(primary) if primary.abdicated) {
            let reason = NotServingReason::ViewChange;
            return self.reply(client, ClientReply::NotServing { reason });
        }
        let (slot, number) = (of.map(|(slot, _)| slot), of.map_or(RequestNumber::ZERO, |(_, number)| number));
        self.reply(client, ClientReply::Busy { slot, number, reason });
    }

    fn admit_request(&mut self, message: FromClient) {
        let FromClient { client, body, .. } = message;
        match body {
            ClientRequest::Operation { session, slot, number, payload } => {
                self.admit_operation(RequestId { client, session, slot, number }, payload);
            }
            ClientRequest::Register { slots } => {
                if let Some(reply) = self.executor.client_table().registered(client) {
                    self.reply(client, reply);
                } else {
                    self.admit_session_request(Request::Register { client, slots });
                }
            }
            ClientRequest::TakeCheckpoint => self.admit_session_request(Request::Checkpoint { client }),
            ClientRequest::Resume { session, nonce } => self.admit_resume(client, session, nonce),
        }
    }

    /// Orders a RESUME only if it can take the session over: any other would fill the log for nothing. While another request of
    /// the client for a session is in flight, nobody can tell yet.
    fn admit_resume(&mut self, client: ClientId, session: SessionNumber, nonce: Nonce) {
        let Status::Primary(primary) = &self.status else { unreachable!("asked by status") };
        if primary.in_flight.has_session_request(client) {
            return;
        }
        match self.executor.client_table().look_up_resume(self.executor.executed(), client, session, nonce) {
            Lookup::New => self.admit_session_request(Request::Resume { client, session, nonce }),
            Lookup::Answered(reply) => self.reply(client, reply),
            Lookup::Unknown => {}
        }
    }

    fn admit_session_request(&mut self, request: Request) {
        let Status::Primary(primary) = &self.status else { unreachable!("asked by status") };
        if primary.in_flight.has_session_request(request.client()) {
            return;
        }
        if !self.has_room_in_log() {
            return self.busy(request.client(), None, BusyReason::LogFull);
        }
        self.append(request);
    }

    fn admit_operation(&mut self, request: RequestId, payload: Bytes) {
        if !self.is_new(request, &payload) {
            return;
        }
        let RequestId { client, session, slot, number } = request;
        let Status::Primary(primary) = &self.status else { unreachable!("asked by status") };
        let being_predicted = primary.pre_steps.latest(client, session, slot);
        match primary.in_flight.latest(client, session, slot).max(being_predicted) {
            // K6: it is being prepared, or predicted; its reply will come.
            Some(latest) if latest == number => return,
            Some(latest) if latest > number => return self.refuse(request, RefusedReason::StaleRequest),
            _ => {}
        }
        if !self.has_room_in_log() {
            return self.busy(client, Some((slot, number)), BusyReason::LogFull);
        }
        match self.foresee(&payload) {
            Ok(Foreseen::Ask) => self.start_pre_step(request, payload),
            Ok(Foreseen::Value(predicted)) => self.order(request, predicted, payload),
            Err(reason) => self.refuse(request, reason),
        }
    }

    /// What the service says of an operation before it is ordered.
    fn foresee(&mut self, payload: &[u8]) -> Result<Foreseen, RefusedReason> {
        self.validate(payload)?;
        let asks_backups = self.executor.up_call(|service, _| service.asks_backups(payload));
        if self.unless_panicked(asks_backups)? { Ok(Foreseen::Ask) } else { self.predict(payload).map(Foreseen::Value) }
    }

    /// 4.1 step 2: compares the request with the client-table, and answers it unless it is new.
    pub(super) fn is_new(&mut self, request: RequestId, payload: &[u8]) -> bool {
        let RequestId { client, session, slot, number } = request;
        let executed = self.executor.executed();
        match self.executor.client_table().look_up(executed, client, session, slot, number, payload) {
            Lookup::New => return true,
            Lookup::Answered(reply) => self.reply(client, reply),
            Lookup::Unknown => {}
        }
        false
    }

    pub(super) fn refuse(&mut self, request: RequestId, reason: RefusedReason) {
        let RequestId { client, session, slot, number } = request;
        self.reply(client, ClientReply::Refused { session, slot, number, reason });
    }

    /// 4.4: "an up-call to obtain a predicted value from the application prior to running the protocol".
    pub(super) fn predict(&mut self, payload: &[u8]) -> Result<Bytes, RefusedReason> {
        let (wall, seed) = (self.now.wall, self.random.next_u64());
        let predicted = self.executor.up_call(|service, _| service.predict(payload, wall, seed));
        self.usable(predicted)
    }

    /// What the service predicts, unless it panicked, or made it longer than a frame has room for.
    pub(super) fn usable(&mut self, predicted: Result<Bytes, String>) -> Result<Bytes, RefusedReason> {
        let predicted = self.unless_panicked(predicted)?;
        if predicted.len() <= PREDICTED_BYTES_MAX {
            return Ok(predicted);
        }
        let bytes = predicted.len();
        let reason = format!("the service predicts a value of {bytes} bytes, of at most {PREDICTED_BYTES_MAX}");
        Err(RefusedReason::Invalid(reason))
    }

    /// Gives the request the next op-number. An earlier one of its slot that is still being predicted is given up: the client no
    /// longer waits for it, and may not find it behind this one.
    pub(super) fn order(&mut self, request: RequestId, predicted: Bytes, payload: Bytes) {
        let RequestId { client, session, slot, number } = request;
        let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
        primary.pre_steps.give_up(client, slot);
        self.append(Request::Operation { client, session, slot, number, predicted, payload });
    }

    pub(super) fn validate(&mut self, payload: &[u8]) -> Result<(), RefusedReason> {
        let bytes_max = self.cluster_options.operation_bytes_max;
        if payload.len() > bytes_max as usize {
            return Err(RefusedReason::TooLarge(bytes_max));
        }
        let verdict = self.executor.up_call(|service, _| service.validate(payload));
        self.unless_panicked(verdict)?.map_err(RefusedReason::Invalid)
    }

    /// A request that makes the service panic before it is ordered is refused, or it would bring down every primary it is sent to.
    pub(super) fn unless_panicked<T>(&mut self, up_call: Result<T, String>) -> Result<T, RefusedReason> {
        up_call.map_err(|message| {
            self.outputs.push_back(Output::Event(Event::ServicePanicked { op: None, message }));
            RefusedReason::Invalid(
                "the service panicked while it judged the operation: report it as a bug of the service".into(),
            )
        })
    }
}

/// How the non-deterministic part of an operation is found.
enum Foreseen {
    /// The backups are asked (4.4).
    Ask,
    /// The primary's prediction, empty when there is nothing to predict.
    Value(Bytes),
}

/// What a waiting request counts.
fn queued_bytes(message: &FromClient) -> usize {
    ENTRY_OVERHEAD_BYTES
        + match &message.body {
            ClientRequest::Operation { payload, .. } => payload.len(),
            ClientRequest::Register { .. } | ClientRequest::Resume { .. } | ClientRequest::TakeCheckpoint => 0,
        }
}
