//! Every limit and timeout, by name, with its unit, default and reason.

use std::time::Duration;

use viewstamped_state::PageOptions;

/// Options that all replicas of a cluster share, because execution depends on them. Fixed when the cluster is formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterOptions {
    /// The most sessions kept. Default 10,000: a gateway needs few. The least recently active one is evicted for a new one.
    pub sessions_max: u32,
    /// The most slots (requests outstanding at once) of a session. Default 1,024: enough to keep one connection busy.
    pub slots_max: u32,
    /// The largest result, in bytes, kept for a retry. Default 64 KiB. A retry of a request with a larger one is told that it is lost.
    pub reply_bytes_max: u32,
    /// The largest operation accepted, in bytes. Default 1 MiB: so that heartbeats never wait long behind one.
    pub operation_bytes_max: u32,
    /// The most slots of all sessions together. Default 640,000, 64 for each session: it bounds the client-table's memory, to
    /// 210 MiB with every slot used and every result of the small size. The least recently active sessions are evicted beyond it.
    pub slots_total_max: u32,
    /// Results up to this many bytes are kept for every slot; larger ones share `large_replies_bytes_max`. Default 256: what most
    /// operations answer.
    pub small_reply_bytes_max: u32,
    /// The most bytes of larger results kept in all; the oldest are forgotten first. Default 64 MiB: 1,024 of the largest that
    /// are kept, far more than clients that just crashed or lost a reply ask for.
    pub large_replies_bytes_max: u32,
    /// The largest result sent at all, in bytes. Default 8 MiB: it fits a frame of any connection (1 GiB at the most). A client
    /// is told that a larger one is lost.
    pub result_bytes_max: u32,
    /// A checkpoint is taken at every op-number that is a multiple of this (5.1). Default 65,536, at least 1. The paper's 100 or
    /// 1,000 would hash each page that is changed often over and over; this many operations are executed again, or sent, in well
    /// under a second.
    pub checkpoint_ops: u32,
    /// A checkpoint is taken as well when the operations since the last one count this many bytes, so that few large ones do not
    /// fill the log. Default 64 MiB: two checkpoints of log and what comes before the next fit many times in `log_bytes_max`.
    pub checkpoint_bytes: u32,
    /// The most bytes of a page of the state, from 512 to 16,384 (beyond, the nearest counts). Default 4,096; see
    /// [`PageOptions`].
    pub page_bytes: u32,
    /// The longest lease a backup may grant, in milliseconds. Default 0: there are no leases. A replica that starts again without
    /// asking the others has forgotten what it granted, and so promises no view change for so long.
    pub lease_max_ms: u32,
    /// Whether the group begins again by itself, with the best that its disks hold, when all members lost their memory at once: 0 or
    /// 1. Default 0: in the `background` mode that may lose what was acknowledged in the last moments, and an operator decides.
    pub recover_automatically: u32,
}

/// The order in which messages and files have the options: named once, and all of them, or it does not compile.
macro_rules! in_this_order {
    ($($option:ident),+ $(,)?) => {
        impl ClusterOptions {
            /// How many there are.
            pub const COUNT: usize = [$(stringify!($option)),+].len();

            /// All of them, in the order in which messages and files have them.
            #[must_use]
            pub fn to_array(self) -> [u32; Self::COUNT] {
                let Self { $($option),+ } = self;
                [$($option),+]
            }

            /// The reverse of [`Self::to_array`].
            #[must_use]
            pub fn from_array([$($option),+]: [u32; Self::COUNT]) -> Self {
                Self { $($option),+ }
            }
        }
    };
}

in_this_order!(
    sessions_max,
    slots_max,
    reply_bytes_max,
    operation_bytes_max,
    slots_total_max,
    small_reply_bytes_max,
    large_replies_bytes_max,
    result_bytes_max,
    checkpoint_ops,
    checkpoint_bytes,
    page_bytes,
    lease_max_ms,
    recover_automatically,
);

impl ClusterOptions {
    /// The pages of the state and of the client-table.
    #[must_use]
    pub fn page_options(&self) -> PageOptions {
        let bytes = self.page_bytes as usize;
        PageOptions::new(bytes.clamp(PageOptions::PAGE_BYTES_MIN, PageOptions::PAGE_BYTES_MAX))
            .expect("within the limits")
    }
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            sessions_max: 10_000,
            slots_max: 1_024,
            reply_bytes_max: 64 << 10,
            operation_bytes_max: 1 << 20,
            slots_total_max: 640_000,
            small_reply_bytes_max: 256,
            large_replies_bytes_max: 64 << 20,
            result_bytes_max: 8 << 20,
            checkpoint_ops: 65_536,
            checkpoint_bytes: 64 << 20,
            page_bytes: 4_096,
            lease_max_ms: 0,
            recover_automatically: 0,
        }
    }
}

/// Options of one replica. Replicas may differ in them; nothing but speed and memory depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// How often an idle primary sends COMMIT. Default 50 ms: many within one `suspect_timeout`.
    pub heartbeat_interval: Duration,
    /// How long a backup hears nothing from the primary before it votes for a view change. Default 350 ms: seven heartbeats.
    pub suspect_timeout: Duration,
    /// How long evidence that a member is gone keeps votes from a view that it would lead. Default 350 ms: who is really gone goes
    /// on to refuse connections, or to ask for its memory, more often.
    pub evidence_lifetime: Duration,
    /// Random addition to `suspect_timeout`, so that backups rarely start at once. Default up to 50 ms.
    pub suspect_jitter: Duration,
    /// How long a primary that hears no quorum goes on before it falls silent, so that others take over. Default 350 ms.
    pub abdicate_timeout: Duration,
    /// How long a primary goes on while it is heard but nothing it has prepared is acknowledged, as when only large messages
    /// vanish. Default 3 s: longer than the largest PREPARE takes on a slow network.
    pub stall_timeout: Duration,
    /// How often STARTVIEWCHANGE, DOVIEWCHANGE and GETLOG are sent again. Default 100 ms.
    pub view_change_retry: Duration,
    /// How long a view change may take before the next view is tried. Default 300 ms, doubled by each failure.
    pub view_change_timeout: Duration,
    /// The largest `view_change_timeout` after doubling. Default 5 s.
    pub view_change_timeout_max: Duration,
    /// How many operations a new primary may lack, beyond which it gives way, once, to one that has them. Default 4,096, the
    /// length of a pipeline: fetching that much takes less than another view change.
    pub forfeit_ops: u64,
    /// How long a PREPARE may stay unacknowledged before it is sent again. Default 50 ms, doubled by each failure.
    pub prepare_retry: Duration,
    /// The largest `prepare_retry` after doubling. Default 1 s.
    pub prepare_retry_max: Duration,
    /// How long a primary waits for the backups' contributions to a value before it does with those it has (4.4). Default 200 ms:
    /// four tries, and less than a view change takes.
    pub predict_timeout: Duration,
    /// How long a PREDICT may stay unanswered before it is sent again to those who have not answered. Default 50 ms.
    pub predict_retry: Duration,
    /// The most requests waiting for contributions; beyond it the answer is BUSY. Default 1,024: five thousand draws a second, even
    /// if all of them wait until `predict_timeout`.
    pub pre_steps_max: usize,
    /// The most bytes of requests waiting for contributions, with the contributions; beyond it the answer is BUSY. Default 4 MiB.
    pub pre_steps_bytes_max: usize,
    /// How often an unanswered RECOVERY, GETINCARNATION or BOOTSTRAP is sent again. Default 100 ms, doubled by each failure.
    pub recovery_retry: Duration,
    /// The largest `recovery_retry` after doubling, and how long RECOVERY is put off when a piece of the log arrives. Default 1 s:
    /// a group that comes back is noticed soon.
    pub recovery_retry_max: Duration,
    /// How long a GETSTATE may stay unanswered before another replica is asked. Default 100 ms.
    pub transfer_retry: Duration,
    /// How long a backup waits for a missing PREPARE before it asks for it. Default 10 ms: longer than reordering takes.
    pub gap_timeout: Duration,
    /// The most operations prepared but not committed. Default 4,096: also what a view change may have to carry.
    pub pipeline_ops_max: u64,
    /// The most bytes prepared but not committed. Default 8 MiB.
    pub pipeline_bytes_max: usize,
    /// The most bytes of requests waiting for the pipeline; beyond it the answer is BUSY. Default 8 MiB.
    pub queue_bytes_max: usize,
    /// The most bytes of entries in one PREPARE. Default 1 MiB, so that heartbeats pass between two.
    pub prepare_bytes_max: usize,
    /// The most bytes of PREPAREs kept that arrived before their turn. Default 4 MiB.
    pub reorder_bytes_max: usize,
    /// The most bytes of log in a DOVIEWCHANGE. Default 64 KiB: the new primary is usually up to date (5.3).
    pub do_view_change_bytes_max: usize,
    /// The most bytes of log in a STARTVIEW. Default 256 KiB; who needs more asks with GETSTATE.
    pub start_view_bytes_max: usize,
    /// The most bytes of log in a NEWSTATE or LOGCHUNK. Default 1 MiB.
    pub transfer_bytes_max: usize,
    /// How many GETPAGES to one source may be unanswered. Default 2, each for `transfer_bytes_max`: while one answer is checked the
    /// next is on its way.
    pub pages_window: usize,
    /// From how many replicas pages are fetched at once. Default 2.
    pub pages_sources_max: usize,
    /// How long a GETPAGES may stay unanswered before the source is given up for another. Default 1 s: more than the largest answer
    /// takes over 10 Mbit/s.
    pub pages_retry: Duration,
    /// The most bytes of pages asked for in a second. Default 0, no limit: they have a connection of their own, and are asked for
    /// no faster than they come.
    pub pages_bytes_per_second_max: usize,
    /// How long a checkpoint is kept for a replica that has asked for a page of it. Default 10 s, several `pages_retry`: one that
    /// pauses for longer begins with a newer checkpoint, and keeps what it has.
    pub checkpoint_pin: Duration,
    /// The most bytes of log kept; beyond it the answer is BUSY until a checkpoint lets the log be cut. Default 1 GiB.
    pub log_bytes_max: usize,
    /// How long the commit-number may grow without a record of the journal that tells it, before it gets one of its own. Default
    /// 1 s: usually it goes along with entries, and what it saves in a recovery is no more than what was committed since.
    pub commit_mark_interval: Duration,
    /// The most messages and replies kept while a promise is not durable; beyond it they are lost, and said again later. Default
    /// 4,096: what a disk that is stuck for a second lets gather.
    pub held_messages_max: usize,
    /// The most operations executed before other inputs get a turn. Default 1,024: a few milliseconds.
    pub execute_ops_max: u64,
    /// The most bytes of results made before they are sent. Default 16 MiB: a thousand large ones at once would take gigabytes.
    pub execute_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(50),
            suspect_timeout: Duration::from_millis(350),
            evidence_lifetime: Duration::from_millis(350),
            suspect_jitter: Duration::from_millis(50),
            abdicate_timeout: Duration::from_millis(350),
            stall_timeout: Duration::from_secs(3),
            view_change_retry: Duration::from_millis(100),
            view_change_timeout: Duration::from_millis(300),
            view_change_timeout_max: Duration::from_secs(5),
            forfeit_ops: 4_096,
            prepare_retry: Duration::from_millis(50),
            prepare_retry_max: Duration::from_secs(1),
            predict_timeout: Duration::from_millis(200),
            predict_retry: Duration::from_millis(50),
            pre_steps_max: 1_024,
            pre_steps_bytes_max: 4 << 20,
            recovery_retry: Duration::from_millis(100),
            recovery_retry_max: Duration::from_secs(1),
            transfer_retry: Duration::from_millis(100),
            gap_timeout: Duration::from_millis(10),
            pipeline_ops_max: 4_096,
            pipeline_bytes_max: 8 << 20,
            queue_bytes_max: 8 << 20,
            prepare_bytes_max: 1 << 20,
            reorder_bytes_max: 4 << 20,
            do_view_change_bytes_max: 64 << 10,
            start_view_bytes_max: 256 << 10,
            transfer_bytes_max: 1 << 20,
            pages_window: 2,
            pages_sources_max: 2,
            pages_retry: Duration::from_secs(1),
            pages_bytes_per_second_max: 0,
            checkpoint_pin: Duration::from_secs(10),
            log_bytes_max: 1 << 30,
            commit_mark_interval: Duration::from_secs(1),
            held_messages_max: 4_096,
            execute_ops_max: 1_024,
            execute_bytes_max: 16 << 20,
        }
    }
}

/// Options of a client proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientOptions {
    /// How many requests may be outstanding at once: the slots asked of the cluster. Default 64.
    pub slots: u32,
    /// How long a request stays unanswered before it goes to all replicas (4.1). Default 200 ms, doubled by each failure.
    pub retry: Duration,
    /// The largest `retry` after doubling. Default 1 s.
    pub retry_max: Duration,
    /// How long to wait after BUSY. Default 10 ms, doubled by each failure up to `retry_max`.
    pub busy_retry: Duration,
    /// How soon one request goes to all replicas again while no primary answers. Default 50 ms, so that a new primary is found
    /// soon; it grows to an eighth of the outage, up to `retry_max`, so that a long one is not made worse.
    pub probe: Duration,
    /// How long a request is tried before it fails with an unknown outcome. Default 30 s.
    pub request_timeout: Duration,
    /// How long a request is tried while every replica says that no try can succeed, because the group has lost its memory or
    /// is another cluster. Default 2 s: long enough for an operator's mistake to be undone, short enough to be noticed.
    pub hopeless_timeout: Duration,
    /// The most bytes of requests waiting for a free slot or a session, 64 each on top of their payload; beyond it they fail
    /// at once. Default 64 MiB.
    pub waiting_bytes_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            slots: 64,
            retry: Duration::from_millis(200),
            retry_max: Duration::from_secs(1),
            busy_retry: Duration::from_millis(10),
            probe: Duration::from_millis(50),
            request_timeout: Duration::from_secs(30),
            hopeless_timeout: Duration::from_secs(2),
            waiting_bytes_max: 64 << 20,
        }
    }
}
