//! Requests from clients: which are ordered, which are answered at once (4.1 steps 1 and 2).

use super::Replica;
use super::io::{Event, Output};
use super::status::Status;
use crate::client_table::Lookup;
use crate::log::{ENTRY_OVERHEAD_BYTES, Request};
use crate::message::{BusyReason, ClientReply, ClientRequest, FromClient, RefusedReason};
use crate::numbers::{ClientId, ClusterId, Nonce, RequestNumber, SessionNumber, Slot};
use crate::service::Service;
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

    fn has_room_in_pipeline(&self) -> bool {
        let Status::Primary(primary) = &self.status else { return false };
        self.log.op().distance_from(self.commit) < self.options.pipeline_ops_max
            && primary.pipeline_bytes < self.options.pipeline_bytes_max
    }

    fn queue_request(&mut self, message: FromClient) {
        let bytes = queued_bytes(&message);
        let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
        if primary.queue_bytes + bytes > self.options.queue_bytes_max {
            return self.busy(&message, BusyReason::QueueFull);
        }
        primary.queue_bytes += bytes;
        primary.queue.push_back(message);
    }

    /// Orders waiting requests while there is room.
    pub(super) fn admit_queued(&mut self) {
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

    fn busy(&mut self, message: &FromClient, reason: BusyReason) {
        let (slot, number) = match &message.body {
            ClientRequest::Operation { slot, number, .. } => (Some(*slot), *number),
            ClientRequest::Register { .. } | ClientRequest::Resume { .. } => (None, RequestNumber::ZERO),
        };
        self.reply(message.client, ClientReply::Busy { slot, number, reason });
    }

    /// Whether the log has room. Asked when a request is about to be ordered: what was executed is answered from the table, be the
    /// log full or not (O5).
    fn has_room_in_log(&self) -> bool {
        self.log.bytes() < self.options.log_bytes_max
    }

    fn admit_request(&mut self, message: FromClient) {
        let FromClient { client, body, .. } = message;
        match body {
            ClientRequest::Operation { session, slot, number, payload } => {
                self.admit_operation(client, session, slot, number, payload);
            }
            ClientRequest::Register { slots } => {
                if let Some(reply) = self.executor.client_table().registered(client) {
                    self.reply(client, reply);
                } else {
                    self.admit_session_request(Request::Register { client, slots });
                }
            }
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
            let reason = BusyReason::LogFull;
            return self.reply(request.client(), ClientReply::Busy { slot: None, number: RequestNumber::ZERO, reason });
        }
        self.append(request);
    }

    /// 4.1 step 2: compares the request with the client-table, and with what is in the log but not executed yet.
    fn admit_operation(
        &mut self,
        client: ClientId,
        session: SessionNumber,
        slot: Slot,
        number: RequestNumber,
        payload: Bytes,
    ) {
        let executed = self.executor.executed();
        match self.executor.client_table().look_up(executed, client, session, slot, number, &payload) {
            Lookup::New => {}
            Lookup::Answered(reply) => return self.reply(client, reply),
            Lookup::Unknown => return,
        }
        let Status::Primary(primary) = &self.status else { unreachable!("asked by status") };
        match primary.in_flight.latest(client, session, slot) {
            // K6: it is being prepared; its reply will come.
            Some(latest) if latest == number => return,
            Some(latest) if latest > number => {
                let reason = RefusedReason::StaleRequest;
                return self.reply(client, ClientReply::Refused { session, slot, number, reason });
            }
            _ => {}
        }
        if !self.has_room_in_log() {
            let reason = BusyReason::LogFull;
            return self.reply(client, ClientReply::Busy { slot: Some(slot), number, reason });
        }
        if let Err(reason) = self.validate(&payload) {
            return self.reply(client, ClientReply::Refused { session, slot, number, reason });
        }
        let (wall, seed) = (self.now.wall, self.random.next_u64());
        let predicted = self.executor.up_call(|service, _| service.predict(&payload, wall, seed));
        let predicted = match self.unless_panicked(predicted) {
            Ok(predicted) => predicted,
            Err(reason) => return self.reply(client, ClientReply::Refused { session, slot, number, reason }),
        };
        self.append(Request::Operation { client, session, slot, number, predicted, payload });
    }

    fn validate(&mut self, payload: &[u8]) -> Result<(), RefusedReason> {
        let bytes_max = self.cluster_options.operation_bytes_max;
        if payload.len() > bytes_max as usize {
            return Err(RefusedReason::TooLarge(bytes_max));
        }
        let verdict = self.executor.up_call(|service, _| service.validate(payload));
        self.unless_panicked(verdict)?.map_err(RefusedReason::Invalid)
    }

    /// A request that makes the service panic before it is ordered is refused, or it would bring down every primary it is sent to.
    fn unless_panicked<T>(&mut self, up_call: Result<T, String>) -> Result<T, RefusedReason> {
        up_call.map_err(|message| {
            self.outputs.push_back(Output::Event(Event::ServicePanicked { op: None, message }));
            RefusedReason::Invalid(
                "the service panicked while it judged the operation: report it as a bug of the service".into(),
            )
        })
    }
}

/// What a waiting request counts.
fn queued_bytes(message: &FromClient) -> usize {
    ENTRY_OVERHEAD_BYTES
        + match &message.body {
            ClientRequest::Operation { payload, .. } => payload.len(),
            ClientRequest::Register { .. } | ClientRequest::Resume { .. } => 0,
        }
}
