//! How much memory a replica may take, computed from its options (docs/limits.md has the formula).

use std::fmt;

use viewstamped_protocol::codec::Limits;
use viewstamped_protocol::{ClusterOptions, Options};

use crate::config::TransportOptions;
use crate::disk::StorageOptions;
use crate::runtime::frames::READ_BYTES_MAX;

/// What a replica takes that has no connection, no session and an empty log: program, stacks, event loop.
const PROCESS_BYTES: usize = 16 << 20;

/// A connection without what waits for it: its tasks, its place in tables, and a buffer for a hello.
const CONNECTION_BYTES: usize = 8 << 10;

/// A client's place in the table of who is reached where.
const CLIENT_BYTES: usize = 256;

/// A session, and a slot, without the results kept for them; tables may have grown to twice what is in them.
const SESSION_BYTES: usize = 512;
const SLOT_BYTES: usize = 192;

/// The most memory that a replica may take, by what it is for; the state of the service comes on top of it, and so do the buffers
/// of the operating system's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryBudget {
    /// The program itself.
    pub process: usize,
    /// Connections, whoever holds them, and where each client is reached.
    pub connections: usize,
    /// What has been received and not handled, whole messages or parts of them.
    pub received: usize,
    /// What waits to be sent.
    pub queued: usize,
    /// The log, with what a part of a receive buffer costs that is kept with an operation.
    pub log: usize,
    /// Requests that wait for the pipeline, PREPAREs that came early, and messages being made.
    pub protocol: usize,
    /// Records that wait for the disk or are being written, and where the journal's batches are.
    pub disk: usize,
    /// Sessions and the results that are kept for them.
    pub client_table: usize,
}

impl MemoryBudget {
    /// What a replica with these options, in a group of `members`, may take.
    #[must_use]
    pub fn of(
        options: &Options,
        transport: &TransportOptions,
        storage: &StorageOptions,
        cluster: &ClusterOptions,
        members: usize,
    ) -> Self {
        let peers = members.saturating_sub(1);
        let links = 2 * peers;
        let operation_bytes_max = cluster.operation_bytes_max;
        let of_client = Limits::for_clients(operation_bytes_max).frame_bytes_max;
        let of_peer = Limits::for_peers(operation_bytes_max).frame_bytes_max;
        let unfinished = transport.client_unfinished_bytes_max.max(of_client);
        Self {
            process: PROCESS_BYTES,
            connections: (transport.client_connections_max + transport.peer_connections_max) * CONNECTION_BYTES
                + (transport.client_connections_max + transport.clients_max) * CLIENT_BYTES,
            // A queue's own table may have grown to twice what is in it. A buffer that grows exists twice for a moment.
            received: twice(transport.client_inbox_bytes_max + READ_BYTES_MAX)
                + twice(transport.peer_inbox_bytes_max + READ_BYTES_MAX)
                + unfinished
                + of_client
                + (links + 1) * of_peer,
            // What is encoded for one client lies in one buffer, which may have grown to twice what is in it.
            queued: twice(transport.client_queues_bytes_max) + links * transport.peer_queue_bytes_max,
            log: options.log_bytes_max.saturating_add(options.log_bytes_max / 4),
            protocol: options.queue_bytes_max
                + options.pipeline_bytes_max
                + options.reorder_bytes_max
                + options.pre_steps_bytes_max
                + members * options.do_view_change_bytes_max
                + options.start_view_bytes_max
                + options.transfer_bytes_max
                + options.prepare_bytes_max
                + options.execute_bytes_max
                + cluster.result_bytes_max as usize
                // Pages that were asked for, and pages that were asked of this replica.
                + twice(options.pages_window * options.pages_sources_max * options.transfer_bytes_max),
            disk: disk_bytes(storage),
            client_table: client_table_bytes(cluster),
        }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        let Self { process, connections, received, queued, log, protocol, disk, client_table } = *self;
        [process, connections, received, queued, log, protocol, disk, client_table]
            .into_iter()
            .fold(0, usize::saturating_add)
    }
}

impl fmt::Display for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, connections, received, queued, log, protocol, disk, client_table } = self;
        let [total, process, connections, received, queued, log, protocol, disk, client_table] =
            [&self.total(), process, connections, received, queued, log, protocol, disk, client_table]
                .map(|bytes| bytes >> 20);
        write!(
            f,
            "at most {total} MiB of memory (process {process}, connections {connections}, received {received}, \
             queued {queued}, log {log}, protocol {protocol}, disk {disk}, client-table {client_table})"
        )
    }
}

/// Every session open, every slot used, every result as large as can be.
fn client_table_bytes(cluster: &ClusterOptions) -> usize {
    let sessions = (cluster.sessions_max as usize).saturating_mul(SESSION_BYTES);
    let slots = (cluster.slots_total_max as usize).saturating_mul(SLOT_BYTES + cluster.small_reply_bytes_max as usize);
    // Where each large result is, is kept in a table of its own.
    let large = cluster.large_replies_bytes_max as usize;
    sessions.saturating_add(slots).saturating_add(large + large / 4)
}

/// Some records wait while others are written, encoded once more; the batches of the journal take 16 bytes for each sector at most.
fn disk_bytes(storage: &StorageOptions) -> usize {
    twice(storage.journal_queue_bytes_max)
        .saturating_add(3 * storage.journal_batch_bytes)
        .saturating_add(twice(storage.pages_step_bytes))
        .saturating_add(usize::try_from(storage.journal_bytes / 32).unwrap_or(usize::MAX))
}

fn twice(bytes: usize) -> usize {
    bytes.saturating_mul(2)
}
