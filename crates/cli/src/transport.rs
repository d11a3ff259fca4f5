//! The timeouts and limits of a replica's sockets as flags.

use std::sync::LazyLock;

use clap::Args;
use viewstamped::TransportOptions;

use crate::human::{Size, Span};

static DEFAULT: LazyLock<TransportOptions> = LazyLock::new(TransportOptions::default);

/// Timeouts and limits of the sockets of one replica.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Timeouts and limits of the sockets of this replica")]
pub(crate) struct TransportFlags {
    /// The most client connections; beyond it new ones are closed at once
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT.client_connections_max)]
    client_connections_max: usize,
    /// The most connections on the peer port
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT.peer_connections_max)]
    peer_connections_max: usize,
    /// How long a new connection may stay silent before its first frame is complete
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.hello_timeout))]
    hello_timeout: Span,
    /// The most bytes queued for one client; one that reads no faster is disconnected
    #[arg(long, value_name = "SIZE", default_value_t = size(DEFAULT.client_queue_bytes_max))]
    client_queue_bytes_max: Size,
    /// The most bytes queued for all clients together; beyond it the one with the longest queue is disconnected
    #[arg(long, value_name = "SIZE", default_value_t = size(DEFAULT.client_queues_bytes_max))]
    client_queues_bytes_max: Size,
    /// The most bytes of messages that clients have begun and not completed, all together; beyond it the one begun first
    /// is given up with its connection
    #[arg(long, value_name = "SIZE", default_value_t = size(DEFAULT.client_unfinished_bytes_max))]
    client_unfinished_bytes_max: Size,
    /// How long a client may take from the first byte of a message to the last
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.client_frame_timeout))]
    client_frame_timeout: Span,
    /// The most clients reached through one connection
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT.connection_clients_max)]
    connection_clients_max: usize,
    /// The most clients reached through connections that serve more than one, all together
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT.clients_max)]
    clients_max: usize,
    /// The most bytes queued for one peer; beyond it messages are dropped and sent again later
    #[arg(long, value_name = "SIZE", default_value_t = size(DEFAULT.peer_queue_bytes_max))]
    peer_queue_bytes_max: Size,
    /// The most bytes queued for a peer that is not connected: the newest
    #[arg(long, value_name = "SIZE", default_value_t = size(DEFAULT.peer_queue_down_bytes_max))]
    peer_queue_down_bytes_max: Size,
    /// The most bytes received from peers and not handled; beyond it their sockets are not read
    #[arg(long, value_name = "SIZE", default_value_t = size(DEFAULT.peer_inbox_bytes_max))]
    peer_inbox_bytes_max: Size,
    /// The most bytes received from clients and not handled; beyond it their sockets are not read
    #[arg(long, value_name = "SIZE", default_value_t = size(DEFAULT.client_inbox_bytes_max))]
    client_inbox_bytes_max: Size,
    /// How long a peer may acknowledge nothing that was sent before its connection is given up
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.peer_silence_timeout))]
    peer_silence_timeout: Span,
    /// The same for a client
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.client_silence_timeout))]
    client_silence_timeout: Span,
    /// The most messages of peers, and of clients, handled before outputs are written and timers looked at
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT.turn_messages_max)]
    turn_messages_max: usize,
    /// The longest time they are handled for before that
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.turn_time_max))]
    turn_time_max: Span,
    /// How long connecting to a peer may take
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.connect_timeout))]
    connect_timeout: Span,
    /// The first pause before a peer is dialed again; doubled by each failure
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.reconnect_backoff))]
    reconnect_backoff: Span,
    /// The longest pause before a peer is dialed again
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.reconnect_backoff_max))]
    reconnect_backoff_max: Span,
    /// How often the status is refreshed while nothing but numbers changes
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.status_interval))]
    status_interval: Span,
}

impl TransportFlags {
    /// The options as the runtime takes them.
    pub(crate) fn options(&self) -> TransportOptions {
        TransportOptions {
            client_connections_max: self.client_connections_max,
            peer_connections_max: self.peer_connections_max,
            hello_timeout: self.hello_timeout.0,
            client_queue_bytes_max: self.client_queue_bytes_max.bytes(),
            client_queues_bytes_max: self.client_queues_bytes_max.bytes(),
            client_unfinished_bytes_max: self.client_unfinished_bytes_max.bytes(),
            client_frame_timeout: self.client_frame_timeout.0,
            connection_clients_max: self.connection_clients_max,
            clients_max: self.clients_max,
            peer_queue_bytes_max: self.peer_queue_bytes_max.bytes(),
            peer_queue_down_bytes_max: self.peer_queue_down_bytes_max.bytes(),
            peer_inbox_bytes_max: self.peer_inbox_bytes_max.bytes(),
            client_inbox_bytes_max: self.client_inbox_bytes_max.bytes(),
            peer_silence_timeout: self.peer_silence_timeout.0,
            client_silence_timeout: self.client_silence_timeout.0,
            turn_messages_max: self.turn_messages_max,
            turn_time_max: self.turn_time_max.0,
            connect_timeout: self.connect_timeout.0,
            reconnect_backoff: self.reconnect_backoff.0,
            reconnect_backoff_max: self.reconnect_backoff_max.0,
            status_interval: self.status_interval.0,
        }
    }
}

fn size(bytes: usize) -> Size {
    Size(bytes as u64)
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    #[test]
    fn without_flags_the_options_are_the_defaults() {
        let matches = TransportFlags::augment_args(Command::new("vr")).get_matches_from(["vr"]);
        assert_eq!(TransportFlags::from_arg_matches(&matches).unwrap().options(), TransportOptions::default());
    }
}
