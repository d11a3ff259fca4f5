//! What a replica must not forget, even when it forgets everything else: a few bytes, written seldom (4.3, 8.2).

use crate::message::Founder;
use crate::numbers::{EpochNumber, Incarnation, InstanceId};

/// The durable part of a replica in the `replicated` mode. Saved by [`Output::SaveIdentity`](crate::Output::SaveIdentity).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Minted by `format`; tells this directory from any other of the same node.
    pub instance: InstanceId,
    /// The incarnation of the newest start that took part in the protocol. 0: never yet.
    pub incarnation: Incarnation,
    /// The newest epoch in which this replica was normal.
    pub epoch: EpochNumber,
    /// The members as they were when the cluster began, when known.
    pub founders: Vec<Founder>,
}

impl Identity {
    /// The identity `format` writes: of a replica that has never sent a message of the protocol.
    #[must_use]
    pub fn formatted(instance: InstanceId) -> Self {
        Self { instance, incarnation: Incarnation::ZERO, epoch: EpochNumber::ZERO, founders: Vec::new() }
    }

    /// Whether this replica has never taken part in the protocol: it has forgotten nothing.
    #[must_use]
    pub fn is_virgin(&self) -> bool {
        self.incarnation == Incarnation::ZERO
    }
}
