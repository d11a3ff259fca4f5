//! The up-calls: committed operations are executed in order, once, here and nowhere else (4.1 steps 5 and 7).

use viewstamped_state::State;

use super::Replica;
use super::checkpoints::Taken;
use super::io::{Event, Output};
use super::status::Status;
use crate::client_table::{ClientTable, Lookup};
use crate::log::{Entry, Request};
use crate::message::ClientReply;
use crate::numbers::OpNumber;
use crate::options::ClusterOptions;
use crate::service::{Operation, Service, guarded};

/// The service, its state and the client-table: all that executing changes.
#[derive(Clone, Debug)]
pub(super) struct Executor<S> {
    service: S,
    state: State,
    client_table: ClientTable,
    /// The client-table as of the last checkpoint, in pages.
    client_pages: State,
    /// The newest operation executed. Grows by one, never shrinks: not even when a message names an older commit-number (N1).
    executed: OpNumber,
    /// The op-number of the last checkpoint.
    checkpoint: OpNumber,
    /// What the operations since then count.
    checkpoint_bytes: usize,
}

impl<S: Service> Executor<S> {
    pub(super) fn new(service: S, options: &ClusterOptions) -> Self {
        Self {
            service,
            state: State::with_options(options.page_options()),
            client_table: ClientTable::default(),
            client_pages: State::with_options(options.page_options()),
            executed: OpNumber::ZERO,
            checkpoint: OpNumber::ZERO,
            checkpoint_bytes: 0,
        }
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

    /// Makes an up-call, or tells what its panic said (O3). The service's own fields may then be half changed: it rebuilds them.
    pub(super) fn up_call<T>(&mut self, call: impl FnOnce(&mut S, &mut State) -> T) -> Result<T, String> {
        let result = guarded(|| call(&mut self.service, &mut self.state));
        result.inspect_err(|_| self.service.restored(&self.state))
    }

    /// Forgets everything, as a crash would.
    pub(super) fn reset(&mut self, options: &ClusterOptions) {
        self.state = State::with_options(options.page_options());
        self.client_table = ClientTable::default();
        self.client_pages = self.state.clone();
        self.executed = OpNumber::ZERO;
        (self.checkpoint, self.checkpoint_bytes) = (OpNumber::ZERO, 0);
        self.service.restored(&self.state);
    }

    /// Takes over the state of a checkpoint; says what the service said if it panicked.
    pub(super) fn install(
        &mut self,
        op: OpNumber,
        state: State,
        client_pages: State,
        client_table: ClientTable,
    ) -> Result<(), String> {
        (self.state, self.client_pages, self.client_table) = (state, client_pages, client_table);
        self.executed = op;
        (self.checkpoint, self.checkpoint_bytes) = (op, 0);
        guarded(|| self.service.restored(&self.state))
    }

    /// Whether there is a checkpoint at this entry, which was just executed: that follows from the log alone, so that all replicas
    /// take the same ones.
    fn is_checkpoint_due(&mut self, entry: &Entry, options: &ClusterOptions) -> bool {
        self.checkpoint_bytes += entry.size();
        entry.op().0.is_multiple_of(u64::from(options.checkpoint_ops.max(1)))
            || self.checkpoint_bytes >= options.checkpoint_bytes as usize
            || matches!(entry.request, Request::Checkpoint { .. })
    }

    /// 5.1: "it must not modify the snapshot, but this can be accomplished by using copy-on-write". Also what the service said if it
    /// panicked.
    fn take_checkpoint(&mut self, entry: &Entry) -> (Taken, Option<String>) {
        let op = self.executed;
        assert_eq!(entry.op(), op, "a checkpoint is what was executed last");
        let panic = self.up_call(|service, state| service.take_checkpoint(state, op)).err();
        self.client_table.write_changes(self.checkpoint, &mut self.client_pages);
        (self.checkpoint, self.checkpoint_bytes) = (op, 0);
        let taken = Taken {
            op,
            head: entry.hash,
            ballot: entry.stamp.ballot,
            timestamp: entry.timestamp,
            service: self.state.snapshot(),
            client_table: self.client_pages.snapshot(),
        };
        (taken, panic)
    }

    /// The reply, and what the service said if it panicked.
    fn execute(&mut self, entry: &Entry, options: &ClusterOptions) -> (ClientReply, Option<String>) {
        assert_eq!(entry.op(), self.executed.next(), "operations are executed in order, each once");
        self.executed = entry.op();
        let reply = match &entry.request {
            Request::Operation { client, session, slot, number, predicted, payload } => {
                match self.client_table.look_up(self.executed, *client, *session, *slot, *number, payload) {
                    Lookup::New => {}
                    // Its session was evicted or taken over between ordering and execution: no effect, everywhere.
                    Lookup::Answered(reply) => return (reply, None),
                    Lookup::Unknown => return (ClientReply::NoSession { session: *session }, None),
                }
                let operation =
                    Operation { op: entry.op(), timestamp: entry.timestamp, client: *client, payload, predicted };
                return match self.up_call(|service, state| service.execute(state, operation)) {
                    Ok(result) => (self.client_table.record(entry, Some(result), options), None),
                    Err(panic) => (self.client_table.record(entry, None, options), Some(panic)),
                };
            }
            Request::Checkpoint { .. } => ClientReply::CheckpointTaken { op: entry.op() },
            Request::Register { client, slots } => self.client_table.register(entry.op(), *client, *slots, options),
            Request::Resume { client, session, nonce } => {
                self.client_table.resume(entry.op(), *client, *session, *nonce)
            }
        };
        (reply, None)
    }
}

impl<S: Service> Replica<S> {
    /// Whether committed operations wait for execution, and may be executed: replies wait for a promise, and are not gathered; and
    /// nothing is executed on a state that is known to be wrong.
    pub(super) fn has_execution_backlog(&self) -> bool {
        self.executor.executed() < self.commit && !self.journal.is_holding() && !self.checkpoints.is_divergent()
    }

    /// Executes what is committed, up to the limits of one turn; the primary answers the clients.
    pub(super) fn execute(&mut self) {
        if self.checkpoints.is_divergent() {
            return;
        }
        if !self.has_execution_backlog() {
            return self.admit_queued();
        }
        let count = self.commit.distance_from(self.executor.executed()).min(self.options.execute_ops_max);
        let last = self.executor.executed().plus(count);
        while self.executor.executed() < last && self.result_bytes < self.options.execute_bytes_max {
            let op = self.executor.executed().next();
            let entry = self.log.entry(op).expect("committed operations are in the log");
            let (reply, mut panic) = self.executor.execute(entry, &self.cluster_options);
            if self.executor.is_checkpoint_due(entry, &self.cluster_options) {
                let taken;
                (taken, panic) = self.executor.take_checkpoint(entry);
                self.checkpoints.want_root(taken, &mut self.outputs);
            }
            if let Some(message) = panic {
                self.outputs.push_back(Output::Event(Event::ServicePanicked { op: Some(op), message }));
            }
            let client = entry.request.client();
            if let Status::Primary(primary) = &mut self.status {
                primary.in_flight.executed(entry);
                self.result_bytes += result_bytes(&reply);
                self.reply(client, reply);
            }
        }
        self.admit_queued();
    }
}

/// What a reply takes of memory besides itself.
fn result_bytes(reply: &ClientReply) -> usize {
    if let ClientReply::Reply { result, .. } = reply { result.len() } else { 0 }
}
