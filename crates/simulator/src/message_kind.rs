//! The kinds of messages between replicas, for faults that single one out and for counting.

use viewstamped_protocol::message::Body;

/// A kind of message between replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the message of that name")]
pub enum Kind {
    Prepare,
    PrepareOk,
    Commit,
    CommitAck,
    StartViewChange,
    DoViewChange,
    StartView,
    GetState,
    NewState,
    GetLog,
    LogChunk,
    Recovery,
    RecoveryResponse,
    GetIncarnation,
    KnownIncarnation,
    AlsoRecovering,
    StaleIncarnation,
    Bootstrap,
    Founded,
    GetConfiguration,
    ConfigurationInfo,
    ViewHint,
    StartViewPending,
}

/// All kinds.
pub const KINDS: [Kind; 23] = [
    Kind::Prepare,
    Kind::PrepareOk,
    Kind::Commit,
    Kind::CommitAck,
    Kind::StartViewChange,
    Kind::DoViewChange,
    Kind::StartView,
    Kind::GetState,
    Kind::NewState,
    Kind::GetLog,
    Kind::LogChunk,
    Kind::Recovery,
    Kind::RecoveryResponse,
    Kind::GetIncarnation,
    Kind::KnownIncarnation,
    Kind::AlsoRecovering,
    Kind::StaleIncarnation,
    Kind::Bootstrap,
    Kind::Founded,
    Kind::GetConfiguration,
    Kind::ConfigurationInfo,
    Kind::ViewHint,
    Kind::StartViewPending,
];

/// Messages that matter most when they are late, lost, or the last that their sender sent: promises, acknowledgements, and what
/// others rely on.
pub(crate) const CRUCIAL: [Kind; 9] = [
    Kind::Prepare,
    Kind::PrepareOk,
    Kind::StartViewChange,
    Kind::DoViewChange,
    Kind::StartView,
    Kind::Recovery,
    Kind::RecoveryResponse,
    Kind::KnownIncarnation,
    Kind::NewState,
];

impl Kind {
    /// The kind of a message.
    #[must_use]
    pub fn of(body: &Body) -> Self {
        match body {
            Body::Prepare(_) => Self::Prepare,
            Body::PrepareOk(_) => Self::PrepareOk,
            Body::Commit(_) => Self::Commit,
            Body::CommitAck(_) => Self::CommitAck,
            Body::StartViewChange(_) => Self::StartViewChange,
            Body::DoViewChange(_) => Self::DoViewChange,
            Body::StartView(_) => Self::StartView,
            Body::GetState(_) => Self::GetState,
            Body::NewState(_) => Self::NewState,
            Body::GetLog(_) => Self::GetLog,
            Body::LogChunk(_) => Self::LogChunk,
            Body::Recovery(_) => Self::Recovery,
            Body::RecoveryResponse(_) => Self::RecoveryResponse,
            Body::GetIncarnation(_) => Self::GetIncarnation,
            Body::KnownIncarnation(_) => Self::KnownIncarnation,
            Body::AlsoRecovering(_) => Self::AlsoRecovering,
            Body::StaleIncarnation(_) => Self::StaleIncarnation,
            Body::Bootstrap(_) => Self::Bootstrap,
            Body::Founded(_) => Self::Founded,
            Body::GetConfiguration => Self::GetConfiguration,
            Body::ConfigurationInfo(_) => Self::ConfigurationInfo,
            Body::ViewHint => Self::ViewHint,
            Body::StartViewPending(_) => Self::StartViewPending,
        }
    }

    /// Its place among all kinds.
    #[must_use]
    pub fn place(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_stands_at_its_place() {
        assert!(KINDS.iter().enumerate().all(|(place, kind)| kind.place() == place));
    }
}
