//! The turn: take what has been received, hand it to the replica, perform what it wants, write each connection once.
//!
//! That is the batching of 6.2: what arrives while a turn runs is handled and prepared together by the next one, and
//! nothing waits when the replica is idle.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::boot::Store;
use crate::disk::Disk;
use bytes::{Bytes, BytesMut};
use tokio::task::yield_now;
use tokio::time::sleep_until;
use viewstamped_protocol::codec::{self, ForceRecover, Frame, Purpose};
use viewstamped_protocol::message::Body;
use viewstamped_protocol::{Destination, Event, Input, Message, Now, Output, Replica, Service, ToClient};

use super::clients::{ClientConnection, Delivery};
use super::clock::Clock;
use super::control::Control;
use super::hashing::Hashing;
use super::reporter::Reporter;
use super::reports::{Report, Reports};
use super::shared::{Asked, Shared};
use crate::config::TransportOptions;
use crate::error::NodeError;

/// The replica and what it takes to drive it.
pub(crate) struct Turn<S> {
    pub(crate) replica: Replica<S>,
    pub(crate) shared: Rc<Shared>,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) reporter: Reporter,
    pub(crate) reports: Arc<Reports>,
    pub(crate) hashing: Hashing,
    pub(crate) disk: Disk,
    /// The record that says all there is to say, once the replica has stopped.
    pub(crate) last_record: Option<u64>,
    /// Frames are encoded here and then split off, so that one allocation serves many.
    pub(crate) scratch: BytesMut,
}

/// How much one turn may still handle.
struct Budget {
    messages: usize,
    end: Instant,
}

impl Budget {
    fn new(limits: &TransportOptions) -> Self {
        Self { messages: limits.turn_messages_max, end: Instant::now() + limits.turn_time_max }
    }

    fn allows_another(&mut self) -> bool {
        // Reading the clock costs a tenth of a small operation, so not each time.
        let is_time_over = self.messages.is_multiple_of(16) && Instant::now() >= self.end;
        if self.messages == 0 || is_time_over {
            return false;
        }
        self.messages -= 1;
        true
    }
}

impl<S: Service> Turn<S> {
    /// Takes turns until it is told to stop.
    pub(crate) async fn run(mut self, control: Arc<Control>) -> Result<(), NodeError> {
        let mut alarm = pin!(sleep_until(Instant::now().into()));
        let mut armed: Option<Instant> = None;
        while !control.is_stopping() {
            self.take_turn()?;
            let Some(deadline) = self.next_deadline() else {
                control.woken().await;
                continue;
            };
            if self.has_more() || deadline <= Instant::now() {
                // Sockets first: what is overdue must not silence what has just arrived.
                yield_now().await;
                continue;
            }
            // An alarm that rings early is harmless; setting it anew in each turn is not.
            if armed.is_none_or(|armed| deadline < armed) {
                alarm.as_mut().reset(deadline.into());
                armed = Some(deadline);
            }
            tokio::select! {
                biased;
                () = control.woken() => {}
                () = &mut alarm => armed = None,
            }
        }
        if control.is_shutting_down() { self.shut_down() } else { Ok(()) }
    }

    /// Writes out everything, so that the next start needs no recovery.
    fn shut_down(mut self) -> Result<(), NodeError> {
        let now = self.clock.now();
        self.replica.handle(now, Input::ShutDown);
        self.perform_outputs(now)?;
        let is_clean = self.disk.shut_down(self.last_record, self.shared.incarnation.get())?;
        if is_clean {
            tracing::info!("everything is on disk: the next start needs no recovery");
        } else {
            tracing::warn!("not everything could be written to disk: the next start recovers from the other replicas");
        }
        Ok(())
    }

    fn take_turn(&mut self) -> Result<(), NodeError> {
        let now = self.clock.now();
        self.hear_peers(now);
        self.note_refusals(now);
        self.hear_threads(now)?;
        self.hear_clients(now);
        if self.replica.next_deadline().is_some_and(|deadline| deadline <= now.monotonic) {
            self.replica.handle(now, Input::Tick);
        }
        self.perform_outputs(now)?;
        self.shared.links.iter().for_each(|link| link.flush());
        self.shared.clients.borrow_mut().flush();
        if self.shared.has_new_problem.take() {
            self.reporter.note_activity();
        }
        self.reporter.publish_if_due(&self.replica, &self.shared);
        Ok(())
    }

    fn has_more(&self) -> bool {
        !self.shared.from_peers.is_empty() || !self.shared.from_clients.is_empty()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let replica = self.replica.next_deadline().map(|deadline| self.clock.instant(deadline));
        [replica, self.reporter.deadline()].into_iter().flatten().min()
    }

    fn hear_peers(&mut self, now: Now) {
        let mut budget = Budget::new(&self.shared.transport);
        while budget.allows_another() {
            let Some(message) = self.shared.from_peers.pop() else { break };
            tracing::trace!(from = message.header.from.0, %message, "received");
            self.replica.handle(now, Input::Message(message));
            self.reporter.note_activity();
        }
    }

    /// After what the peers have sent: a message from before its end does not mean that a peer runs.
    fn note_refusals(&mut self, now: Now) {
        while let Some(peer) = self.shared.refused.borrow_mut().pop_first() {
            self.replica.handle(now, Input::PeerUnreachable(peer));
        }
    }

    /// What the threads beside this one have done.
    fn hear_threads(&mut self, now: Now) -> Result<(), NodeError> {
        while let Some(report) = self.reports.next() {
            match report {
                Report::Input(input) => {
                    if let Input::CheckpointSaved { op } = input {
                        self.reporter.saved = op;
                    }
                    self.replica.handle(now, input);
                }
                Report::Problem { kind, text } => self.shared.problem(kind, || text),
                Report::Failed(error) => return Err(error),
            }
            self.reporter.note_activity();
        }
        Ok(())
    }

    fn hear_clients(&mut self, now: Now) {
        let mut budget = Budget::new(&self.shared.transport);
        while budget.allows_another() {
            let Some((connection, asked)) = self.shared.from_clients.pop() else { break };
            match asked {
                Asked::Message(message) => {
                    self.shared.clients.borrow_mut().heard(message.client, &connection);
                    self.replica.handle(now, Input::Client(message));
                    self.reporter.note_activity();
                }
                Asked::Status => self.tell_status(&connection),
                Asked::ForceRecover(consent) => {
                    self.force_recover(now, connection.address, consent);
                    self.tell_status(&connection);
                }
            }
        }
    }

    fn tell_status(&self, connection: &Rc<ClientConnection>) {
        let status = Frame::Status(self.reporter.json(&self.replica, &self.shared));
        let delivery = self.shared.clients.borrow_mut().send_on(connection, |buffer| codec::encode(&status, buffer));
        self.note_delivery(delivery);
    }

    /// Hands on an operator's consent, if it is meant for this cluster.
    fn force_recover(&mut self, now: Now, from: SocketAddr, consent: ForceRecover) {
        let ForceRecover { cluster, without } = consent;
        if cluster != self.shared.cluster {
            return self.shared.problem("foreign-recover", || {
                format!("ignored a `vr recover` for cluster {cluster} from {from}: this is another one; correct its --endpoints")
            });
        }
        let ids: Vec<u64> = without.iter().map(|node| node.0).collect();
        tracing::warn!(%from, without = ?ids, "an operator has the group begin again with what its disks hold");
        self.replica.handle(now, Input::ForceRecover { without });
        self.reporter.note_activity();
    }

    fn perform_outputs(&mut self, now: Now) -> Result<(), NodeError> {
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::Send { to, message } => self.send(to, &message),
                Output::Reply(reply) => self.reply(&reply),
                Output::SaveIdentity(identity) => {
                    // Rare, and never while the replica serves: waiting for the disk here silences nobody.
                    self.store.save(&identity)?;
                    self.shared.incarnation.set(identity.incarnation);
                    self.replica.handle(now, Input::IdentitySaved);
                }
                Output::TakeCheckpoint(checkpoint) => self.hashing.take(checkpoint)?,
                Output::Event(event) => self.report_event(&event),
                Output::Journal { sequence, record } => {
                    if !self.disk.write(sequence, record)? {
                        self.replica.handle(now, Input::JournalBroken);
                    }
                }
                Output::SaveCheckpoint { checkpoint, sequence } => self.disk.save(checkpoint, sequence)?,
                Output::ShutDown { sequence } => self.last_record = sequence,
            }
        }
        Ok(())
    }

    /// Encodes a message once, for however many peers.
    fn send(&mut self, to: Destination, message: &Message) {
        codec::encode_message(message, &mut self.scratch);
        let frame = self.scratch.split().freeze();
        tracing::trace!(?to, %message, "sent");
        match to {
            Destination::Node(peer) if matches!(message.body, Body::ConfigurationInfo(_)) => {
                self.shared.accepted.borrow_mut().answer(peer, &frame);
            }
            _ => self.queue(to, message.body.is_bulk(), &frame),
        }
    }

    fn queue(&self, to: Destination, is_bulk: bool, frame: &Bytes) {
        let purpose = if is_bulk { Purpose::Bulk } else { Purpose::Replica };
        for link in self.shared.links.iter().filter(|link| link.purpose == purpose) {
            if to == Destination::Others || to == Destination::Node(link.peer) {
                link.push(frame.clone(), &self.shared);
            }
        }
    }

    fn reply(&mut self, reply: &ToClient) {
        let delivery = self.shared.clients.borrow_mut().send(reply.client, |buffer| {
            codec::encode_to_client(reply, buffer);
        });
        self.note_delivery(delivery);
    }

    fn note_delivery(&self, delivery: Delivery) {
        if let Delivery::CutOff(address) = delivery {
            self.shared.problem("slow-client", || {
                format!(
                    "disconnected the client at {address}: it does not read its answers, and too many bytes wait for it"
                )
            });
        }
    }

    fn report_event(&mut self, event: &Event) {
        match event {
            Event::StatusChanged { status, view } => {
                tracing::info!(status = status.as_str(), view = view.0, "status changed");
                self.reporter.demand();
            }
            Event::QuorumLost { recovering } => self.shared.problem("quorum-lost", || {
                let ids: Vec<String> = recovering.iter().map(|node| node.0.to_string()).collect();
                format!(
                    "replicas {} have all lost their memory (durability `{}`), so nobody is certain of the state; this group serves \
                     nobody. If the memory of a replica that is not among them survived, start that one. Otherwise keep the directories \
                     of all replicas as they are. Where they hold a journal (durability `background`), start all members and let `vr recover` \
                     show what would be lost, and begin again with it",
                    ids.join(", "),
                    self.shared.durability
                )
            }),
            Event::ServicePanicked { op, message } => self.shared.problem("service-panicked", || {
                let what = op.map_or_else(
                    || "judged an operation, which was refused".to_owned(),
                    |op| format!("executed operation {}, which may have taken effect in part", op.0),
                );
                format!("the service panicked while it {what}: {message}; this is a bug of the service, and the group goes on")
            }),
            Event::CheckpointTaken { id } => tracing::debug!(checkpoint = %id, "checkpoint taken"),
            Event::TransferStarted { checkpoint } => {
                tracing::info!(%checkpoint, "fetching a checkpoint from the other replicas");
                self.reporter.demand();
            }
            Event::CheckpointInstalled { id, is_repair } => {
                tracing::info!(checkpoint = %id, is_repair, "installed a checkpoint of the other replicas");
                self.reporter.demand();
            }
            Event::Diverged { quorum, own } => self.shared.problem("diverged", || {
                format!(
                    "at checkpoint {quorum} the state of this replica is {own:?}: the service did not do the same here as at a quorum \
                     of replicas, because it is not deterministic or because memory is damaged. This replica refuses to be primary \
                     until its state is repaired"
                )
            }),
            Event::RootsDiffer { op } => self.shared.problem("roots-differ", || {
                format!(
                    "no quorum of replicas has the same state at checkpoint {op}: the service is not deterministic, and nobody can \
                     tell which state is right. The group goes on; look for clocks, random numbers and hash maps in the service"
                )
            }),
            Event::JournalBroken { op } => self.shared.problem("journal-broken", || {
                format!(
                    "the journal could not be written and ends at operation {}; it goes on with the next checkpoint. Look for a full \
                     or failing disk",
                    op.0
                )
            }),
            Event::BeganAgain { view, op } => self.shared.problem("began-again", || {
                format!(
                    "all replicas had lost their memory; the group begins again in view {} with the operations up to {} that were on \
                     disk, and what was acknowledged after that is lost",
                    view.0, op.0
                )
            }),
            Event::DiskDistrusted { op } => self.shared.problem("disk-distrusted", || {
                format!(
                    "the log on disk is not that of the other replicas at operation {}, although it was committed there; everything \
                     is fetched from them. Look for a failing disk, or for files that were copied from elsewhere",
                    op.0
                )
            }),
            Event::ForeignPeer { reason, from } => self.shared.problem("foreign-peer", || {
                format!("ignored messages of replica {}: {}; correct its configuration", from.0, super::reporter::ignored(*reason))
            }),
        }
    }
}
