//! I-PRIMARY: at most one incarnation of one node is ever the primary of a view, and it is the one the view names.

use std::collections::BTreeMap;

use viewstamped_protocol::message::Header;
use viewstamped_protocol::{Configuration, Incarnation, NodeId, StatusName, ViewNumber};

use crate::checkers::{Checked, Seen, hold};

const NAME: &str = "I-PRIMARY";

/// Who was the primary of each view.
#[derive(Debug, Default)]
pub(crate) struct Primary {
    of_view: BTreeMap<ViewNumber, (NodeId, Incarnation)>,
    latest: Option<(ViewNumber, NodeId, Incarnation)>,
}

impl Primary {
    /// Notes a normal primary and compares it with earlier ones of its view.
    pub(crate) fn check(&mut self, now: &Seen) -> Checked {
        if now.status != StatusName::Normal || !now.leads {
            return Ok(());
        }
        let claim = (now.view, now.id, now.incarnation);
        if self.latest == Some(claim) {
            return Ok(());
        }
        self.latest = Some(claim);
        let (id, incarnation) = *self.of_view.entry(now.view).or_insert((now.id, now.incarnation));
        hold!(
            NAME,
            (id, incarnation) == (now.id, now.incarnation),
            "{} is primary of {} as {} after {id} was as {incarnation}",
            now.id,
            now.view,
            now.incarnation
        );
        Ok(())
    }
}

/// Only the primary of a view speaks for it.
pub(crate) fn check_sender(configuration: &Configuration, header: &Header) -> Checked {
    let primary = configuration.primary(header.view);
    hold!(NAME, primary == header.from, "{} speaks for {}, whose primary is {primary}", header.from, header.view);
    Ok(())
}
