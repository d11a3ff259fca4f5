//! The beginning of a cluster: view 0 starts only when all members were met, each newly formatted (docs/deviations.md, C6).
//!
//! The paper lets replicas start in view 0 with an empty log, and so cannot tell a new replica from one that lost its disk.
//! Here every directory is formatted with a random instance number. The members exchange the numbers, and tell each other whom
//! they have heard of. When a member knows that all have heard of the same instances, its own among them, it notes these as the
//! *founders*, makes that durable, and only then sends its first protocol message. A member that was met but comes up later,
//! still virgin, finds its own instance among the founders and is merely late; any other empty directory has to recover.
//!
//! To have heard of everybody is not enough: a member formatted a second time could meet one that never heard of its first
//! life, and of the others only before they began; the two would begin the cluster once more.

use super::Replica;
use super::io::{Ignored, Output};
use super::status::{Starting, Status};
use crate::crash_vector::CrashVector;
use crate::message::{Body, Bootstrap, Founded, Founder, Header};
use crate::numbers::{Incarnation, NodeId, ViewNumber};
use crate::service::Service;

/// The incarnation of a replica that never lost its memory.
const FIRST_INCARNATION: Incarnation = Incarnation(1);

impl<S: Service> Replica<S> {
    pub(super) fn enter_starting(&mut self) {
        assert!(self.identity.is_virgin(), "only a replica that never took part may start");
        let mut starting = Starting::default();
        starting.heard.insert(self.id, self.identity.instance);
        self.status = Status::Starting(starting);
        self.status_changed();
        self.tick_starting();
        self.found_if_agreed();
    }

    pub(super) fn tick_starting(&mut self) {
        let now = self.now.monotonic;
        let Status::Starting(starting) = &mut self.status else { unreachable!("asked by status") };
        if starting.saving || now < starting.retry_at {
            return;
        }
        starting.retries += 1;
        starting.retry_at = now.after(super::recovery::retry_delay(&self.options, starting.retries));
        let body = self.bootstrap();
        self.broadcast(body);
    }

    fn bootstrap(&self) -> Body {
        Body::Bootstrap(Bootstrap { instance: self.identity.instance, heard: self.members_heard() })
    }

    fn members_heard(&self) -> Vec<Founder> {
        let Status::Starting(starting) = &self.status else { unreachable!("asked by status") };
        starting.heard.iter().map(|(node, instance)| Founder { node: *node, instance: *instance }).collect()
    }

    pub(super) fn on_bootstrap(&mut self, header: Header, m: Bootstrap) -> Result<(), Ignored> {
        let me = Founder { node: self.id, instance: self.identity.instance };
        let Status::Starting(starting) = &mut self.status else {
            return self.answer_latecomer(header);
        };
        if starting.saving {
            return Err(Ignored::Duplicate);
        }
        let has_heard_of_me = m.heard.contains(&me);
        let is_new = starting.heard.insert(header.from, m.instance) != Some(m.instance);
        starting.reports.insert(header.from, m.heard);
        if is_new {
            let body = self.bootstrap();
            self.broadcast(body);
        } else if !has_heard_of_me {
            let body = self.bootstrap();
            self.send(header.from, body);
        }
        self.found_if_agreed();
        Ok(())
    }

    /// The cluster has begun. Whoever still looks for it learns with whom, even from a replica that is itself recovering:
    /// the founders never change.
    fn answer_latecomer(&mut self, header: Header) -> Result<(), Ignored> {
        if self.identity.founders.is_empty() && !self.status.is_normal() {
            return Err(Ignored::WrongStatus);
        }
        self.send(header.from, Body::Founded(Founded { founders: self.identity.founders.clone() }));
        Ok(())
    }

    pub(super) fn on_founded(&mut self, founders: Vec<Founder>) -> Result<(), Ignored> {
        let Status::Starting(starting) = &self.status else { return Err(Ignored::Unasked) };
        if starting.saving {
            return Err(Ignored::Duplicate);
        }
        let me = Founder { node: self.id, instance: self.identity.instance };
        if founders.contains(&me) {
            if founders.len() != self.configuration.len() {
                return Err(Ignored::Malformed);
            }
            self.save_founders(founders);
        } else {
            // C15: a formatted directory that the founders do not know replaces one that was lost.
            self.enter_recovering(None);
        }
        Ok(())
    }

    fn found_if_agreed(&mut self) {
        let Status::Starting(starting) = &self.status else { return };
        let founders = self.members_heard();
        let is_agreed = |id: &NodeId| *id == self.id || starting.reports.get(id) == Some(&founders);
        if founders.len() == self.configuration.len() && starting.heard.keys().all(is_agreed) {
            self.save_founders(founders);
        }
    }

    /// The virgin flag is cleared, durably, before the first protocol message.
    fn save_founders(&mut self, founders: Vec<Founder>) {
        let Status::Starting(starting) = &mut self.status else { unreachable!("asked by status") };
        starting.saving = true;
        self.identity.founders = founders;
        self.identity.incarnation = FIRST_INCARNATION;
        if self.journal.waits() {
            self.journal_founding(FIRST_INCARNATION, self.founders_known());
        } else {
            self.outputs.push_back(Output::SaveIdentity(self.identity.clone()));
        }
    }

    /// The crash vector with which a cluster begins.
    fn founders_known(&self) -> CrashVector {
        self.configuration.ids().map(|id| (id, FIRST_INCARNATION)).collect()
    }

    pub(super) fn on_identity_saved(&mut self) {
        match &self.status {
            Status::Starting(starting) if starting.saving => {
                self.incarnation = FIRST_INCARNATION;
                self.crash_vector = self.founders_known();
                self.view = ViewNumber::ZERO;
                self.enter_normal();
            }
            Status::Recovering(_) => self.on_incarnation_saved(),
            _ => {}
        }
    }
}
