//! The ghost history: what was decided and what it did, remembered across all crashes.

use std::collections::{BTreeMap, BTreeSet};

use viewstamped_protocol::log::{Entry, Request};
use viewstamped_protocol::{ChainHash, ClientId, OpNumber, RequestNumber, SessionNumber, Slot, ViewNumber};

use crate::checkers::{Checked, hold};
use crate::observed::UpCall;

/// A committed operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    /// The chain hash up to it.
    pub(crate) hash: ChainHash,
    /// The view in which a primary first counted a quorum for it.
    pub(crate) view: ViewNumber,
    /// Who asked.
    pub(crate) client: ClientId,
    /// What kind of request it is.
    pub(crate) purpose: Purpose,
}

/// What a committed operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A request on the service.
    Operation {
        /// Its session.
        session: SessionNumber,
        /// Its slot.
        slot: Slot,
        /// Its request-number.
        number: RequestNumber,
    },
    /// A new session.
    Register,
    /// A checkpoint that was asked for.
    Checkpoint,
    /// A session taken over from this one.
    Resume(SessionNumber),
}

/// What a committed operation did to the service: the up-call, or none when the session or the request-number forbade it.
pub(crate) type Effect = Option<UpCall>;

/// Everything decided and done so far, by op-number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ghost {
    decided: Vec<Decided>,
    effects: Vec<Effect>,
    /// The views that committed anything, in order, and the last op-number decided in each.
    last_in_view: BTreeMap<ViewNumber, OpNumber>,
    /// The latest request-number executed in each slot.
    numbers: BTreeMap<(ClientId, SessionNumber, Slot), RequestNumber>,
    /// Sessions that a RESUME has ended.
    ended: BTreeSet<(ClientId, SessionNumber)>,
}

impl Ghost {
    /// The latest op-number decided.
    pub(crate) fn head(&self) -> OpNumber {
        OpNumber(self.decided.len() as u64)
    }

    /// What was decided at `op`.
    pub(crate) fn committed(&self, op: OpNumber) -> Option<&Decided> {
        self.decided.get(usize::try_from(op.0.checked_sub(1)?).ok()?)
    }

    /// The chain hash of everything decided up to `op`.
    pub(crate) fn hash_at(&self, op: OpNumber) -> ChainHash {
        if op == OpNumber::ZERO { ChainHash::default() } else { self.committed(op).expect("decided").hash }
    }

    /// The last op-number decided in a view before `view`: what the log of that view must hold.
    pub(crate) fn decided_before(&self, view: ViewNumber) -> OpNumber {
        self.last_in_view.range(..view).map(|(_, op)| *op).max().unwrap_or_default()
    }

    /// The latest view in which anything was decided.
    pub(crate) fn view(&self) -> ViewNumber {
        self.last_in_view.last_key_value().map(|(view, _)| *view).unwrap_or_default()
    }

    /// Notes that a primary of `view` has decided the next entry.
    pub(crate) fn decide(&mut self, entry: &Entry, view: ViewNumber) {
        assert_eq!(entry.op(), self.head().next(), "decided in order");
        let purpose = match &entry.request {
            Request::Operation { session, slot, number, .. } => {
                Purpose::Operation { session: *session, slot: *slot, number: *number }
            }
            Request::Register { .. } => Purpose::Register,
            Request::Checkpoint { .. } => Purpose::Checkpoint,
            Request::Resume { session, .. } => Purpose::Resume(*session),
        };
        self.decided.push(Decided { hash: entry.hash, view, client: entry.request.client(), purpose });
        self.last_in_view.insert(view, entry.op());
    }

    /// The latest op-number executed anywhere.
    pub(crate) fn executed(&self) -> OpNumber {
        OpNumber(self.effects.len() as u64)
    }

    /// What executing `op` did, when any replica has executed it.
    pub(crate) fn effect(&self, op: OpNumber) -> Option<&Effect> {
        self.effects.get(usize::try_from(op.0.checked_sub(1)?).ok()?)
    }

    /// All up-calls of executed operations, in order.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &UpCall> {
        self.effects.iter().flatten()
    }

    /// Notes what the first replica to execute the next operation did.
    ///
    /// I-EXACTLY-ONCE: request-numbers only rise within a slot, so none has effect twice; a session that was taken over has none.
    pub(crate) fn execute(&mut self, effect: Effect) -> Checked {
        let op = self.executed().next();
        let decided = *self.committed(op).expect("checked by the caller");
        self.effects.push(effect);
        match decided.purpose {
            Purpose::Resume(session) => drop(self.ended.insert((decided.client, session))),
            Purpose::Register | Purpose::Checkpoint => {}
            Purpose::Operation { session, slot, number } if effect.is_some() => {
                let name =
                    format_args!("request {number} of client {} in session {session} slot {slot}", decided.client);
                let opened = self.committed(OpNumber(session.0));
                let is_open = opened.is_some_and(|by| by.client == decided.client && by.purpose.opens_a_session());
                hold!("I-EXACTLY-ONCE", is_open, "{name} was executed at {op} in a session that nothing opened");
                let is_ended = self.ended.contains(&(decided.client, session));
                hold!("I-EXACTLY-ONCE", !is_ended, "{name} was executed at {op} after its session was taken over");
                let latest = self.numbers.insert((decided.client, session, slot), number).unwrap_or_default();
                hold!(
                    "I-EXACTLY-ONCE",
                    number > latest,
                    "{name} was executed at {op} after request {latest} of the slot"
                );
                return Ok(());
            }
            Purpose::Operation { .. } => return Ok(()),
        }
        hold!("I-EXACTLY-ONCE", effect.is_none(), "{op} concerns a session, but the service was called for it");
        Ok(())
    }
}

impl Purpose {
    /// Whether a session is named after this operation.
    pub(crate) fn opens_a_session(&self) -> bool {
        matches!(self, Self::Register | Self::Resume(_))
    }
}
