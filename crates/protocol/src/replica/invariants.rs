//! Named checks after every step, in every build: a replica whose own state contradicts itself must stop.

use super::Replica;
use super::status::Status;
use crate::service::Service;

impl<S: Service> Replica<S> {
    pub(super) fn check_invariants(&self) {
        assert!(self.log_view <= self.view, "the log belongs to no later view than the replica");
        assert!(self.commit <= self.log.op(), "the commit-number lies within the log");
        assert!(self.executor.executed() <= self.commit, "only committed operations are executed");
        assert!(self.log.base() <= self.executor.executed(), "the log reaches down to what is executed");
        match &self.status {
            Status::Primary(primary) => {
                assert_eq!(self.primary_of(self.view), self.id, "the primary is the primary of its view");
                assert_eq!(self.log_view, self.view, "a normal replica has the log of its view");
                assert!(primary.peers.iter().all(|peer| peer.acked <= self.log.op()), "nobody holds more");
                assert!(
                    !primary.pre_steps.has_ready() || !self.has_room_in_pipeline(),
                    "a value waits for nothing but room"
                );
            }
            Status::Backup(_) => {
                assert_ne!(self.primary_of(self.view), self.id, "a backup is not the primary of its view");
                assert_eq!(self.log_view, self.view, "a normal replica has the log of its view");
            }
            Status::ViewChange(_) => assert!(self.view > self.log_view, "a view change leads to a later view"),
            Status::Starting(_) => assert!(self.identity.is_virgin() || self.incarnation.0 == 0),
            Status::Recovering(_) => {
                assert_eq!(self.log.op(), self.commit, "a recovering replica relies on what is committed only");
            }
        }
    }
}
