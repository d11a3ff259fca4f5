//! The kinds of messages between replicas, for faults that single one out and for counting.

use viewstamped_protocol::message::Body;

macro_rules! kinds {
    ($($kind:ident = $name:literal,)+) => {
        /// A kind of message between replicas.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each is the message of that name")]
        pub enum Kind { $($kind,)+ }

        /// All kinds.
        pub const KINDS: &[Kind] = &[$(Kind::$kind,)+];

        impl Kind {
            /// Its name, as traces and the protocol's documents write it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }
        }
    };
}

kinds! {
    Prepare = "PREPARE",
    PrepareOk = "PREPAREOK",
    Commit = "COMMIT",
    CommitAck = "COMMITACK",
    StartViewChange = "STARTVIEWCHANGE",
    DoViewChange = "DOVIEWCHANGE",
    StartView = "STARTVIEW",
    GetState = "GETSTATE",
    NewState = "NEWSTATE",
    GetLog = "GETLOG",
    LogChunk = "LOGCHUNK",
    Recovery = "RECOVERY",
    RecoveryResponse = "RECOVERYRESPONSE",
    GetIncarnation = "GETINCARNATION",
    KnownIncarnation = "KNOWNINCARNATION",
    AlsoRecovering = "ALSORECOVERING",
    StaleIncarnation = "STALEINCARNATION",
    Bootstrap = "BOOTSTRAP",
    Founded = "FOUNDED",
    GetConfiguration = "GETCONFIGURATION",
    ConfigurationInfo = "CONFIGURATION",
    ViewHint = "VIEWHINT",
    Predict = "PREDICT",
    PredictOk = "PREDICTOK",
    StartViewPending = "SVPENDING",
    GetPages = "GETPAGES",
    Pages = "PAGES",
    NewRoot = "NEWROOT",
    Revive = "REVIVE",
    ReviveOk = "REVIVEOK",
}

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
            Body::Predict(_) => Self::Predict,
            Body::PredictOk(_) => Self::PredictOk,
            Body::StartViewPending(_) => Self::StartViewPending,
            Body::GetPages(_) => Self::GetPages,
            Body::Pages(_) => Self::Pages,
            Body::NewRoot(_) => Self::NewRoot,
            Body::Revive(_) => Self::Revive,
            Body::ReviveOk(_) => Self::ReviveOk,
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

    #[test]
    fn a_kind_is_called_what_its_messages_are_called() {
        for body in [Body::ViewHint, Body::GetConfiguration] {
            assert_eq!(Kind::of(&body).name(), body.name());
        }
    }
}
