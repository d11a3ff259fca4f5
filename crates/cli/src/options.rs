//! The options of a replica and of a cluster as flags, each with the default and the reason the core gives it.

use std::sync::LazyLock;

use clap::Args;
use viewstamped::{ClusterOptions, Options};
use viewstamped_state::PageOptions;

use crate::human::{Size, Span};

static REPLICA: LazyLock<Options> = LazyLock::new(Options::default);
static CLUSTER: LazyLock<ClusterOptions> = LazyLock::new(ClusterOptions::default);

/// Timeouts and limits of one replica. Replicas may differ in them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Timeouts and limits of this replica")]
pub(crate) struct ReplicaOptions {
    /// How often an idle primary sends COMMIT
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.heartbeat_interval))]
    heartbeat_interval: Span,
    /// How long a backup hears nothing from the primary before it votes for a view change
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.suspect_timeout))]
    suspect_timeout: Span,
    /// Random addition to the suspect timeout, so that backups rarely start at once
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.suspect_jitter))]
    suspect_jitter: Span,
    /// How long evidence that a member is gone keeps votes from a view that it would lead
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.evidence_lifetime))]
    evidence_lifetime: Span,
    /// How long a primary that hears no quorum goes on before it falls silent
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.abdicate_timeout))]
    abdicate_timeout: Span,
    /// How long a primary goes on while it is heard but nothing it prepares is acknowledged.
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.stall_timeout))]
    stall_timeout: Span,
    /// How often the messages of a view change are sent again
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.view_change_retry))]
    view_change_retry: Span,
    /// How long a view change may take before the next view is tried; doubled by each failure
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.view_change_timeout))]
    view_change_timeout: Span,
    /// The largest view change timeout after doubling
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.view_change_timeout_max))]
    view_change_timeout_max: Span,
    /// How many operations a new primary may lack before it gives way, once, to one that has them
    #[arg(long, value_name = "COUNT", default_value_t = REPLICA.forfeit_ops)]
    forfeit_ops: u64,
    /// How long a PREPARE may stay unacknowledged before it is sent again; doubled by each failure
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.prepare_retry))]
    prepare_retry: Span,
    /// The largest prepare retry after doubling
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.prepare_retry_max))]
    prepare_retry_max: Span,
    /// How often an unanswered RECOVERY is sent again; doubled by each failure
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.recovery_retry))]
    recovery_retry: Span,
    /// The largest recovery_retry after doubling
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.recovery_retry_max))]
    recovery_retry_max: Span,
    /// How long a GETSTATE may stay unanswered before another replica is asked
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.transfer_retry))]
    transfer_retry: Span,
    /// How long a backup waits for a missing PREPARE before it asks for it
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.gap_timeout))]
    gap_timeout: Span,
    /// The most operations prepared but not committed
    #[arg(long, value_name = "COUNT", default_value_t = REPLICA.pipeline_ops_max)]
    pipeline_ops_max: u64,
    /// The most bytes prepared but not committed
    #[arg(long, value_name = "SIZE", default_value_t = size(REPLICA.pipeline_bytes_max))]
    pipeline_bytes_max: Size,
    /// The most bytes of requests waiting for the pipeline; beyond it the answer is BUSY
    #[arg(long, value_name = "SIZE", default_value_t = size(REPLICA.queue_bytes_max))]
    queue_bytes_max: Size,
    /// The most bytes of entries in one PREPARE
    #[arg(long, value_name = "SIZE", default_value_t = size(REPLICA.prepare_bytes_max))]
    prepare_bytes_max: Size,
    /// The most bytes of PREPAREs kept that arrived before their turn
    #[arg(long, value_name = "SIZE", default_value_t = size(REPLICA.reorder_bytes_max))]
    reorder_bytes_max: Size,
    /// The most bytes of log in a DOVIEWCHANGE
    #[arg(long, value_name = "SIZE", default_value_t = size(REPLICA.do_view_change_bytes_max))]
    do_view_change_bytes_max: Size,
    /// The most bytes of log in a STARTVIEW
    #[arg(long, value_name = "SIZE", default_value_t = size(REPLICA.start_view_bytes_max))]
    start_view_bytes_max: Size,
    /// The most bytes of log in a NEWSTATE
    #[arg(long, value_name = "SIZE", default_value_t = size(REPLICA.transfer_bytes_max))]
    transfer_bytes_max: Size,
    /// The most pages asked for and not received, from each replica, while a checkpoint is fetched
    #[arg(long, value_name = "COUNT", default_value_t = REPLICA.pages_window)]
    pages_window: usize,
    /// The most replicas from which pages are fetched at once
    #[arg(long, value_name = "COUNT", default_value_t = REPLICA.pages_sources_max)]
    pages_sources_max: usize,
    /// How long a GETPAGES may stay unanswered before another replica is asked
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.pages_retry))]
    pages_retry: Span,
    /// The most bytes of pages that are sent in a second
    #[arg(long, value_name = "SIZE", default_value_t = size(REPLICA.pages_bytes_per_second_max))]
    pages_bytes_per_second_max: Size,
    /// How long a checkpoint is kept for a replica that fetches it
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.checkpoint_pin))]
    checkpoint_pin: Span,
    /// How long the journal may say nothing of what has been committed
    #[arg(long, value_name = "TIME", default_value_t = Span(REPLICA.commit_mark_interval))]
    commit_mark_interval: Span,
    /// The most messages that wait until a promise is durable, with durability synchronous; beyond it they are lost, and
    /// sent again
    #[arg(long, value_name = "COUNT", default_value_t = REPLICA.held_messages_max)]
    held_messages_max: usize,
    /// The most bytes of log kept; beyond it the answer is BUSY until a checkpoint lets the log be cut
    #[arg(long, value_name = "SIZE", default_value_t = size(REPLICA.log_bytes_max))]
    log_bytes_max: Size,
    /// The most operations executed before other inputs get a turn
    #[arg(long, value_name = "COUNT", default_value_t = REPLICA.execute_ops_max)]
    execute_ops_max: u64,
    /// The most bytes of results made before they are sent
    #[arg(long, value_name = "SIZE", default_value_t = size(REPLICA.execute_bytes_max))]
    execute_bytes_max: Size,
}

impl ReplicaOptions {
    /// The options as the core takes them.
    pub(crate) fn options(&self) -> Options {
        Options {
            heartbeat_interval: self.heartbeat_interval.0,
            suspect_timeout: self.suspect_timeout.0,
            evidence_lifetime: self.evidence_lifetime.0,
            suspect_jitter: self.suspect_jitter.0,
            abdicate_timeout: self.abdicate_timeout.0,
            stall_timeout: self.stall_timeout.0,
            view_change_retry: self.view_change_retry.0,
            view_change_timeout: self.view_change_timeout.0,
            view_change_timeout_max: self.view_change_timeout_max.0,
            forfeit_ops: self.forfeit_ops,
            prepare_retry: self.prepare_retry.0,
            prepare_retry_max: self.prepare_retry_max.0,
            recovery_retry: self.recovery_retry.0,
            recovery_retry_max: self.recovery_retry_max.0,
            transfer_retry: self.transfer_retry.0,
            gap_timeout: self.gap_timeout.0,
            pipeline_ops_max: self.pipeline_ops_max,
            pipeline_bytes_max: self.pipeline_bytes_max.bytes(),
            queue_bytes_max: self.queue_bytes_max.bytes(),
            prepare_bytes_max: self.prepare_bytes_max.bytes(),
            reorder_bytes_max: self.reorder_bytes_max.bytes(),
            do_view_change_bytes_max: self.do_view_change_bytes_max.bytes(),
            start_view_bytes_max: self.start_view_bytes_max.bytes(),
            transfer_bytes_max: self.transfer_bytes_max.bytes(),
            pages_window: self.pages_window,
            pages_sources_max: self.pages_sources_max,
            pages_retry: self.pages_retry.0,
            pages_bytes_per_second_max: self.pages_bytes_per_second_max.bytes(),
            checkpoint_pin: self.checkpoint_pin.0,
            commit_mark_interval: self.commit_mark_interval.0,
            held_messages_max: self.held_messages_max,
            log_bytes_max: self.log_bytes_max.bytes(),
            execute_ops_max: self.execute_ops_max,
            execute_bytes_max: self.execute_bytes_max.bytes(),
            // The map predicts nothing, so limits of predictions would be flags without effect.
            ..Options::default()
        }
    }
}

/// Options that all replicas of a cluster share.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of the whole cluster (the same at every replica)")]
pub(crate) struct SharedOptions {
    /// The most sessions kept; the least recently active one is evicted for a new one
    #[arg(long, value_name = "COUNT", default_value_t = CLUSTER.sessions_max)]
    sessions_max: u32,
    /// The most requests a session may have outstanding at once
    #[arg(long, value_name = "COUNT", default_value_t = CLUSTER.slots_max)]
    slots_max: u32,
    /// The largest result kept for a retry
    #[arg(long, value_name = "SIZE", default_value_t = Size(CLUSTER.reply_bytes_max.into()), value_parser = size_below_4_gib)]
    reply_bytes_max: Size,
    /// The largest operation accepted
    #[arg(long, value_name = "SIZE", default_value_t = Size(CLUSTER.operation_bytes_max.into()), value_parser = size_below_4_gib)]
    operation_bytes_max: Size,
    /// The most slots of all sessions together; the least recently active sessions are evicted beyond it
    #[arg(long, value_name = "COUNT", default_value_t = CLUSTER.slots_total_max)]
    slots_total_max: u32,
    /// Results up to this size are kept for every slot; larger ones share --large-replies-bytes-max
    #[arg(long, value_name = "SIZE", default_value_t = Size(CLUSTER.small_reply_bytes_max.into()), value_parser = size_below_4_gib)]
    small_reply_bytes_max: Size,
    /// The most bytes of larger results kept in all; the oldest are forgotten first
    #[arg(long, value_name = "SIZE", default_value_t = Size(CLUSTER.large_replies_bytes_max.into()), value_parser = size_below_4_gib)]
    large_replies_bytes_max: Size,
    /// The largest result sent at all; a client is told that a larger one is lost
    #[arg(long, value_name = "SIZE", default_value_t = Size(CLUSTER.result_bytes_max.into()), value_parser = size_below_4_gib)]
    result_bytes_max: Size,
    /// A checkpoint is taken after so many operations, and the log before the one before is dropped
    #[arg(long, value_name = "COUNT", default_value_t = CLUSTER.checkpoint_ops, value_parser = clap::value_parser!(u32).range(1..))]
    checkpoint_ops: u32,
    /// A checkpoint is taken as well after so many bytes of operations
    #[arg(long, value_name = "SIZE", default_value_t = Size(CLUSTER.checkpoint_bytes.into()), value_parser = size_below_4_gib)]
    checkpoint_bytes: Size,
    /// The size of a page of the state, from 512 bytes to 16 KiB
    #[arg(long, value_name = "SIZE", default_value_t = Size(CLUSTER.page_bytes.into()), value_parser = page_size)]
    page_bytes: Size,
    /// When all members lost their memory at once, begin again by themselves with the best that their disks hold, without asking
    /// (`vr recover` asks); with durability background that may lose what was acknowledged in the last moments
    #[arg(long)]
    recover_automatically: bool,
}

impl SharedOptions {
    /// The options as the core takes them.
    pub(crate) fn options(&self) -> ClusterOptions {
        let narrow = |size: Size| u32::try_from(size.0).expect("the flag accepts sizes below 4 GiB only");
        ClusterOptions {
            sessions_max: self.sessions_max,
            slots_max: self.slots_max,
            reply_bytes_max: narrow(self.reply_bytes_max),
            operation_bytes_max: narrow(self.operation_bytes_max),
            slots_total_max: self.slots_total_max,
            small_reply_bytes_max: narrow(self.small_reply_bytes_max),
            large_replies_bytes_max: narrow(self.large_replies_bytes_max),
            result_bytes_max: narrow(self.result_bytes_max),
            checkpoint_ops: self.checkpoint_ops,
            checkpoint_bytes: narrow(self.checkpoint_bytes),
            page_bytes: narrow(self.page_bytes),
            lease_max_ms: CLUSTER.lease_max_ms,
            recover_automatically: u32::from(self.recover_automatically),
        }
    }
}

fn size_below_4_gib(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    if u32::try_from(size.0).is_ok() { Ok(size) } else { Err(format!("{text} is too much: the limit is below 4GiB")) }
}

fn page_size(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    PageOptions::new(size.bytes()).map(|_| size).map_err(|error| error.to_string())
}

fn size(bytes: usize) -> Size {
    Size(bytes as u64)
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn parse<T: Args + FromArgMatches>(args: &[&str]) -> Result<T, clap::Error> {
        let matches = T::augment_args(Command::new("vr")).try_get_matches_from([&["vr"], args].concat())?;
        T::from_arg_matches(&matches)
    }

    #[test]
    fn without_flags_the_options_are_the_defaults() {
        assert_eq!(parse::<ReplicaOptions>(&[]).unwrap().options(), Options::default());
        assert_eq!(parse::<SharedOptions>(&[]).unwrap().options(), ClusterOptions::default());
    }

    #[test]
    fn flags_are_human_durations_and_sizes() {
        let options =
            parse::<ReplicaOptions>(&["--suspect-timeout", "2s", "--log-bytes-max", "16MiB"]).unwrap().options();
        assert_eq!(options.suspect_timeout, std::time::Duration::from_secs(2));
        assert_eq!(options.log_bytes_max, 16 << 20);
        assert!(parse::<SharedOptions>(&["--reply-bytes-max", "4GiB"]).is_err());
    }
}
