//! The way of a message from one replica to another, and what may happen to it.

use std::time::Duration;

use bytes::BytesMut;
use viewstamped_protocol::codec::{Frame, Limits, decode, encode_message};
use viewstamped_protocol::random::Random;
use viewstamped_protocol::{ClusterId, Input, Message};

use crate::checkers::{Checked, hold};
use crate::coverage::{Blow, Treatment};
use crate::message_kind::Kind;
use crate::network::Fate;
use crate::random::Draw;
use crate::simulation::{Event, Simulation};
use crate::trace::digest;
use crate::workload::Workload;

/// From here on a message counts as slow.
const SLOW: Duration = Duration::from_secs(1);

impl<W: Workload> Simulation<'_, W> {
    /// Hands a message to the network.
    pub(crate) fn send(&mut self, from: usize, to: usize, message: Message) -> Checked {
        let kind = Kind::of(&message.body);
        self.note_sent(from, &message);
        let fate = self.network.carry(from, to, kind, &message);
        let Fate::Arrives(first, second) = fate else {
            self.coverage.treated(Treatment::Lost, kind);
            self.trace.line(self.now, || format!("r{from}->r{to} {message} (lost)"));
            return Ok(());
        };
        if let Some(random) = self.network.damage() {
            self.coverage.treated(Treatment::Damaged, kind);
            self.trace.line(self.now, || format!("r{from}->r{to} {message} (damaged)"));
            return check_damaged(&message, random, self.scenario.cluster_options.operation_bytes_max);
        }
        self.send_copies(from, to, &message, second);
        if first > SLOW {
            self.coverage.treated(Treatment::Slow, kind);
        }
        let to = self.network.misrouted(to).map_or(to, |elsewhere| {
            self.coverage.treated(Treatment::Misrouted, kind);
            self.trace.line(self.now, || format!("r{from}->r{to} {message} (goes to r{elsewhere})"));
            elsewhere
        });
        self.schedule.at(self.now.after(first), Event::Peer { from, to, message });
        Ok(())
    }

    fn send_copies(&mut self, from: usize, to: usize, message: &Message, second: Option<Duration>) {
        let kind = Kind::of(&message.body);
        if let Some(delay) = self.network.foreign_copy() {
            let mut message = message.clone();
            message.header.cluster = ClusterId(!message.header.cluster.0);
            self.coverage.treated(Treatment::Foreign, kind);
            self.schedule.at(self.now.after(delay), Event::Peer { from, to, message });
        }
        if let Some(delay) = second {
            self.coverage.treated(Treatment::Duplicated, kind);
            self.schedule.at(self.now.after(delay), Event::Peer { from, to, message: message.clone() });
        }
        if let Some(delay) = self.network.echo() {
            self.coverage.treated(Treatment::Echoed, kind);
            self.schedule.at(self.now.after(delay), Event::Peer { from, to, message: message.clone() });
        }
    }

    /// A message reaches a replica, or a machine without one.
    pub(crate) fn on_peer(&mut self, from: usize, to: usize, message: Message) -> Checked {
        let is_up = self.cluster.is_up(to);
        self.trace.line(self.now, || {
            let down = if is_up { "" } else { " (down)" };
            format!("r{from}->r{to} {message}{down}")
        });
        self.count(2, (from << 8 | to) as u64);
        self.trace.note(digest(&message));
        self.coverage.received(self.role(to), Kind::of(&message.body));
        self.note_received(to, &message);
        if !is_up && let Some(delay) = self.network.refusal() {
            self.schedule.at(self.now.after(delay), Event::Refused { place: from, by: to });
        }
        self.deliver(to, Input::Message(message))
    }

    /// A replica learns that the address of another refuses connections; perhaps it has started again meanwhile.
    pub(crate) fn on_refused(&mut self, place: usize, by: usize) -> Checked {
        self.count(12, (place << 8 | by) as u64);
        self.coverage.struck(Blow::Refusal, self.role(place));
        self.trace.line(self.now, || format!("r{place} finds r{by} gone"));
        let by = self.cluster.configuration().members()[by].id;
        self.deliver(place, Input::PeerUnreachable(by))
    }
}

/// I-FRAME: what was damaged on the way is refused, and never taken for a message.
fn check_damaged(message: &Message, random: &mut Random, operation_bytes_max: u32) -> Checked {
    let mut frame = BytesMut::new();
    encode_message(message, &mut frame);
    let sent = frame.clone();
    for _ in 0..random.between(1, 4) {
        let place = usize::try_from(random.below(frame.len() as u64)).expect("within the frame");
        frame[place] ^= 1 << random.below(8);
    }
    if frame == sent {
        let kept = usize::try_from(random.below(frame.len() as u64)).expect("within the frame");
        frame.truncate(kept);
    }
    let taken = decode(&mut frame, &Limits::for_peers(operation_bytes_max));
    hold!("I-FRAME", !matches!(taken, Ok(Some(Frame::Replica(_)))), "a damaged {message} was taken for {taken:?}");
    Ok(())
}
