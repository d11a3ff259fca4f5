//! The up-calls: committed operations are executed in order, once, here and nowhere else (4.1 steps 5 and 7).

use bytes::Bytes;
use viewstamped_state::State;

use super::Replica;
use super::status::Status;
use crate::client_table::{ClientTable, Lookup};
use crate::log::{Entry, Request};
use crate::message::ClientReply;
use crate::numbers::OpNumber;
use crate::options::ClusterOptions;
use crate::service::{Operation, Service};

/// The service, its state and the client-table: all that executing changes.
#[derive(Clone, Debug)]
pub(super) struct Executor<S> {
    service: S,
    state: State,
    client_table: ClientTable,
    /// The newest operation executed. Grows by one, never shrinks: not even when a message names an older commit-number (N1).
    executed: OpNumber,
}

impl<S: Service> Executor<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service, state: State::default(), client_table: ClientTable::default(), executed: OpNumber::ZERO }
    }

    pub(super) fn executed(&self) -> OpNumber {
        self.executed
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn client_table(&self) -> &ClientTable {
        &self.client_table
    }

    pub(super) fn service_mut(&mut self) -> &mut S {
        &mut self.service
    }

    pub(super) fn service(&self) -> &S {
        &self.service
    }

    /// Forgets everything, as a crash would.
    pub(super) fn reset(&mut self) {
        self.state = State::default();
        self.client_table = ClientTable::default();
        self.executed = OpNumber::ZERO;
        self.service.restored(&self.state);
    }

    fn execute(&mut self, entry: &Entry, options: &ClusterOptions) -> ClientReply {
        assert_eq!(entry.op(), self.executed.next(), "operations are executed in order, each once");
        self.executed = entry.op();
        match &entry.request {
            Request::Operation { client, session, slot, number, predicted, payload } => {
                match self.client_table.look_up(self.executed, *client, *session, *slot, *number, payload) {
                    Lookup::New => {}
                    // Its session was evicted or taken over between ordering and execution: no effect, everywhere.
                    Lookup::Answered(reply) => return reply,
                    Lookup::Unknown => return ClientReply::NoSession { session: *session },
                }
                let operation =
                    Operation { op: entry.op(), timestamp: entry.timestamp, client: *client, payload, predicted };
                let result: Bytes = self.service.execute(&mut self.state, operation);
                self.client_table.record(entry, result, options)
            }
            Request::Register { client, slots } => self.client_table.register(entry.op(), *client, *slots, options),
            Request::Resume { client, session, nonce } => {
                self.client_table.resume(entry.op(), *client, *session, *nonce)
            }
        }
    }
}

impl<S: Service> Replica<S> {
    /// Whether committed operations wait for execution.
    pub(super) fn has_execution_backlog(&self) -> bool {
        self.executor.executed() < self.commit
    }

    /// Executes what is committed, up to the limit of one turn; the primary answers the clients.
    pub(super) fn execute(&mut self) {
        let count = self.commit.distance_from(self.executor.executed()).min(self.options.execute_ops_max);
        let last = self.executor.executed().plus(count);
        while self.executor.executed() < last {
            let op = self.executor.executed().next();
            let entry = self.log.entry(op).expect("committed operations are in the log");
            let reply = self.executor.execute(entry, &self.cluster_options);
            let client = entry.request.client();
            if let Status::Primary(primary) = &mut self.status {
                primary.in_flight.executed(entry);
                self.reply(client, reply);
            }
        }
        self.admit_queued();
    }
}
