//! I-CV: the DOVIEWCHANGEs that start a view contain a quorum of which no member was void by the knowledge of another.

use viewstamped_protocol::configuration::MEMBERS_MAX;
use viewstamped_protocol::message::{DoViewChange, Header};
use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{Configuration, Incarnation, StatusName, ViewNumber};

use crate::checkers::candidate::{Candidate, Known, complete, known_of};
use crate::checkers::{Checked, Seen, hold};

/// The DOVIEWCHANGEs each replica has received for the latest view it was asked to start.
#[derive(Debug)]
pub(crate) struct Consistency {
    configuration: Configuration,
    received: Vec<(ViewNumber, Vec<Candidate>)>,
    /// What each replica knew when it joined the view change it is to complete: its own DOVIEWCHANGE says that, not more.
    own: Vec<(ViewNumber, Known)>,
}

impl Consistency {
    pub(crate) fn new(configuration: Configuration) -> Self {
        let members = configuration.len();
        let nothing = [Incarnation::ZERO; MEMBERS_MAX];
        Self {
            configuration,
            received: vec![(ViewNumber::ZERO, Vec::new()); members],
            own: vec![(ViewNumber::ZERO, nothing); members],
        }
    }

    /// Notes that a replica forgets what it has received.
    pub(crate) fn crashed(&mut self, place: usize) {
        self.received[place].1.clear();
        self.own[place].0 = ViewNumber::ZERO;
    }

    /// Notes a DOVIEWCHANGE when it arrives.
    pub(crate) fn received(&mut self, place: usize, header: &Header, message: &DoViewChange) {
        let Some(sender) = self.configuration.index_of(header.from) else { return };
        let (view, received) = &mut self.received[place];
        if header.view < *view {
            return;
        }
        if header.view > *view {
            *view = header.view;
            received.clear();
        }
        let is_known = |known: &Candidate| (known.place, known.incarnation) == (sender, header.incarnation);
        if !received.iter().any(is_known) {
            received.push(Candidate {
                place: sender,
                incarnation: header.incarnation,
                rank: (message.log_view, message.op),
                known: known_of(&self.configuration, &message.crash_vector),
                holds: true,
            });
        }
    }

    /// Checks a primary that has just become normal: together with its own log, what it had received was enough.
    pub(crate) fn check(&mut self, place: usize, before: Option<&Seen>, now: &Seen, probe: &Probe<'_>) -> Checked {
        if !now.leads || now.view == ViewNumber::ZERO {
            return Ok(());
        }
        if self.own[place].0 != now.view {
            self.own[place] = (now.view, known_of(&self.configuration, probe.crash_vector));
        }
        let was_normal = before.is_none_or(|before| !now.continues(before) || before.log_view == now.view);
        if was_normal || now.status != StatusName::Normal {
            return Ok(());
        }
        let mut by_place: Vec<Vec<Candidate>> = vec![Vec::new(); self.configuration.len()];
        let (incarnation, rank, known) = (now.incarnation, (now.log_view, now.op), self.own[place].1);
        by_place[place].push(Candidate { place, incarnation, rank, known, holds: true });
        let (view, received) = &self.received[place];
        for candidate in received.iter().filter(|candidate| *view == now.view && candidate.place != place) {
            by_place[candidate.place].push(*candidate);
        }
        let is_enough = complete(&mut Vec::new(), &by_place, self.configuration.quorum());
        hold!(
            "I-CV",
            is_enough,
            "{} started {} from DOVIEWCHANGEs that no quorum agrees on after all crashes",
            now.id,
            now.view
        );
        Ok(())
    }
}
