//! All messages that any replica has sent in any state, each once.

use std::hash::Hash;

use viewstamped_protocol::log::Log;
use viewstamped_protocol::message::Body;
use viewstamped_protocol::{Configuration, Incarnation, Message, OpNumber, ViewNumber};
use xxhash_rust::xxh3::Xxh3;

use crate::message_kind::Kind;
use crate::search::table::{Table, folded};

/// The number of a message.
pub(super) type LetterId = u32;

/// A message on its way to one replica or to all others.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) message: Message,
    pub(super) from: usize,
    /// `None`: to all others.
    pub(super) to: Option<usize>,
    pub(super) kind: Kind,
    pub(super) view: ViewNumber,
    pub(super) incarnation: Incarnation,
    /// The largest op-number that it speaks of.
    pub(super) op: OpNumber,
    /// The commit-number that it speaks of.
    pub(super) commit: OpNumber,
    /// The life of its receiver that it answers, where it answers one.
    pub(super) answers: Incarnation,
    /// Of a DOVIEWCHANGE, the log of its sender.
    pub(super) log: Option<Log>,
}

impl Letter {
    /// Whether the replica at `place` may get it.
    pub(super) fn is_for(&self, place: usize) -> bool {
        self.to.map_or(self.from != place, |to| to == place)
    }

    /// Whether nobody needs `older` once this was sent: it brings more of the same log, or acknowledges more. Who needs
    /// the older one may as well have got it before.
    pub(super) fn supersedes(&self, older: &Self) -> bool {
        let is_same_kind = (self.kind, self.from, self.to) == (older.kind, older.from, older.to);
        is_same_kind
            && match self.kind {
                Kind::NewState => self.view == older.view,
                Kind::PrepareOk | Kind::Commit | Kind::StartView => {
                    (self.view, self.incarnation) == (older.view, older.incarnation)
                        && (self.op >= older.op && self.commit >= older.commit)
                }
                _ => false,
            }
    }

    /// Whether it is one of several that the replica at `place` needs together.
    pub(super) fn is_part_for(&self, place: usize) -> bool {
        let is_part = matches!(self.kind, Kind::RecoveryResponse | Kind::KnownIncarnation | Kind::DoViewChange);
        is_part && self.is_for(place)
    }
}

/// The messages.
#[derive(Debug)]
pub(super) struct Letters {
    letters: Vec<Letter>,
    by_content: Table<u32>,
}

impl Letters {
    pub(super) fn new() -> Self {
        Self { letters: Vec::new(), by_content: Table::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn get(&self, id: LetterId) -> &Letter {
        &self.letters[id as usize]
    }

    /// The number of this message; `log` is what its sender holds.
    pub(super) fn number(
        &mut self,
        configuration: &Configuration,
        to: Option<usize>,
        message: Message,
        log: &Log,
    ) -> LetterId {
        let mut hasher = Xxh3::new();
        (to, &message).hash(&mut hasher);
        let key = folded(hasher.digest128());
        if let Some(id) = self.by_content.get(key) {
            return id;
        }
        let id = u32::try_from(self.letters.len()).expect("fewer messages than states");
        self.by_content.insert(key, id);
        self.letters.push(opened(configuration, to, message, log));
        id
    }
}

/// Reads what decides whether a message can still matter.
fn opened(configuration: &Configuration, to: Option<usize>, message: Message, log: &Log) -> Letter {
    let header = message.header;
    let from = configuration.index_of(header.from).expect("a member");
    let zero = OpNumber::ZERO;
    let (view, op, commit) = match &message.body {
        Body::Prepare(m) => (header.view, m.entries.last().map_or(zero, |entry| entry.op()), m.commit),
        Body::PrepareOk(m) => (header.view, m.op, zero),
        Body::Commit(m) => (header.view, m.op, m.commit),
        Body::StartView(m) => (header.view, m.op, m.commit),
        Body::StartViewChange(m) => (m.candidate, zero, zero),
        Body::GetState(m) => (m.target, zero, zero),
        _ => (header.view, zero, zero),
    };
    let answers = match (&message.body, to) {
        (Body::RecoveryResponse(m), Some(to)) => {
            let asker = configuration.members()[to].id;
            m.crash_vector.iter().find(|(id, _)| *id == asker).map_or(Incarnation::ZERO, |(_, life)| life)
        }
        _ => Incarnation::ZERO,
    };
    let is_promise = matches!(message.body, Body::DoViewChange(_));
    Letter {
        from,
        to,
        kind: Kind::of(&message.body),
        view,
        incarnation: header.incarnation,
        op,
        commit,
        answers,
        log: is_promise.then(|| log.clone()),
        message,
    }
}
