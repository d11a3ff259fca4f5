//! The gate: a message that does not belong here is refused with a typed reason; behind it, handlers may rely on what it checks.

use super::Replica;
use super::io::{Event, Ignored, Output};
use super::plausible::is_plausible;
use super::status::Status;
use crate::message::{Body, Message, StaleIncarnation};
use crate::numbers::{NodeId, Nonce};
use crate::service::Service;

impl<S: Service> Replica<S> {
    /// Checks what every message must satisfy: cluster, sender, epoch, incarnation, and that the status allows it.
    pub(super) fn admit(&mut self, message: &Message) -> Result<(), Ignored> {
        let header = &message.header;
        if header.cluster != self.cluster {
            return Err(self.foreign(header.from, Ignored::OtherCluster));
        }
        if header.from == self.id {
            return Err(self.foreign(header.from, Ignored::FromSelf));
        }
        if !self.configuration.contains(header.from) {
            return Err(self.foreign(header.from, Ignored::NotAMember));
        }
        if !is_plausible(message) || !self.knows_members_only(&message.body) {
            return Err(Ignored::Malformed);
        }
        if matches!(message.body, Body::GetConfiguration) {
            return Ok(());
        }
        if header.epoch != self.configuration.epoch() {
            return Err(Ignored::OtherEpoch);
        }
        if header.incarnation < self.crash_vector.known(header.from) && counts_incarnation(&message.body) {
            self.send_stale_incarnation(header.from);
            return Err(Ignored::StaleIncarnation);
        }
        self.admit_in_status(&message.body)
    }

    /// A crash vector is kept, and passed on, for ever: nobody may fill it with nodes that do not exist.
    fn knows_members_only(&self, body: &Body) -> bool {
        let vector = match body {
            Body::DoViewChange(m) => &m.crash_vector,
            Body::RecoveryResponse(m) => &m.crash_vector,
            _ => return true,
        };
        vector.iter().all(|(node, _)| self.configuration.contains(node))
    }

    /// 4.3: "While a replica's status is recovering it does not participate in either the request processing protocol or the
    /// view change protocol." The same holds for one that has not begun.
    fn admit_in_status(&self, body: &Body) -> Result<(), Ignored> {
        let admitted = match self.status {
            Status::Starting(_) => matches!(body, Body::Bootstrap(_) | Body::Founded(_)),
            Status::Recovering(_) => matches!(
                body,
                Body::RecoveryResponse(_)
                    | Body::KnownIncarnation(_)
                    | Body::AlsoRecovering(_)
                    | Body::Revive(_)
                    | Body::ReviveOk(_)
                    | Body::StaleIncarnation(_)
                    | Body::NewState(_)
                    | Body::Pages(_)
                    | Body::NewRoot(_)
                    | Body::Recovery(_)
                    | Body::GetIncarnation(_)
                    | Body::Bootstrap(_)
            ),
            _ => !matches!(
                body,
                Body::RecoveryResponse(_)
                    | Body::KnownIncarnation(_)
                    | Body::AlsoRecovering(_)
                    | Body::Revive(_)
                    | Body::ReviveOk(_)
                    | Body::Founded(_)
            ),
        };
        if admitted { Ok(()) } else { Err(Ignored::WrongStatus) }
    }

    /// Whoever drops a message for its incarnation says so, or a node whose number was overtaken would never know.
    pub(super) fn send_stale_incarnation(&mut self, to: NodeId) {
        let known = self.crash_vector.known(to);
        let nonce = self.recoveries.get(&to).copied().unwrap_or(Nonce(0));
        self.send(to, Body::StaleIncarnation(StaleIncarnation { node: to, known, nonce }));
    }

    /// Reports a sender that has no business here, once.
    fn foreign(&mut self, from: NodeId, reason: Ignored) -> Ignored {
        const REPORTED_MAX: usize = 64;
        if self.reported_foreign.len() < REPORTED_MAX && self.reported_foreign.insert((from, reason)) {
            self.outputs.push_back(Output::Event(Event::ForeignPeer { reason, from }));
        }
        reason
    }
}

/// Messages of nodes that do not know their incarnation yet, or that answer such nodes, are not judged by it.
fn counts_incarnation(body: &Body) -> bool {
    !matches!(
        body,
        Body::GetIncarnation(_)
            | Body::KnownIncarnation(_)
            | Body::AlsoRecovering(_)
            | Body::StaleIncarnation(_)
            | Body::Bootstrap(_)
            | Body::Founded(_)
            | Body::GetConfiguration
            | Body::ConfigurationInfo(_)
    )
}
