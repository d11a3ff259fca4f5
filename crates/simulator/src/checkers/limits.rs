//! I-BOUND: what is kept and what is sent stays within the limits of the options.

use viewstamped_protocol::log::Entry;
use viewstamped_protocol::message::{Body, LogChunk, StateContent};
use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{Message, Options, StatusName};

use crate::checkers::{Checked, hold};

const NAME: &str = "I-BOUND";

/// The options by place.
#[derive(Debug)]
pub(crate) struct Limits {
    options: Vec<Options>,
}

impl Limits {
    pub(crate) fn new(options: Vec<Options>) -> Self {
        Self { options }
    }

    /// Checks what a replica keeps.
    pub(crate) fn check(&self, place: usize, probe: &Probe<'_>) -> Checked {
        let limit = self.options[place].log_bytes_max;
        hold!(
            NAME,
            probe.log.bytes() <= limit,
            "{} keeps {} bytes of log, where {limit} are allowed",
            probe.id,
            probe.log.bytes()
        );
        let [older, newer] = probe.kept;
        let must_cut = probe.status == StatusName::Normal && !probe.is_divergent && newer <= probe.quorum_has;
        hold!(
            NAME,
            !must_cut || probe.log.base() >= older,
            "{} keeps its log from {} on, although a quorum has its checkpoint at {newer}, and it one at {older} as well",
            probe.id,
            probe.log.base()
        );
        Ok(())
    }

    /// Checks how many bytes of log a message carries; a single entry may be larger than any limit.
    pub(crate) fn check_message(&self, place: usize, message: &Message) -> Checked {
        let options = &self.options[place];
        let (entries, limit) = match &message.body {
            Body::Prepare(prepare) => (&prepare.entries, options.prepare_bytes_max),
            Body::DoViewChange(promise) => (&promise.suffix, options.do_view_change_bytes_max),
            Body::StartView(start) => (&start.suffix, options.start_view_bytes_max),
            Body::LogChunk(LogChunk { content: StateContent::Entries { entries, .. }, .. }) => {
                (entries, options.transfer_bytes_max)
            }
            Body::NewState(state) => match &state.content {
                StateContent::Entries { entries, .. } => (entries, options.transfer_bytes_max),
                StateContent::NeedCheckpoint(_) => return Ok(()),
            },
            _ => return Ok(()),
        };
        let bytes: usize = entries.iter().map(Entry::size).sum();
        let (from, name) = (message.header.from, message.body.name());
        hold!(
            NAME,
            entries.len() <= 1 || bytes <= limit,
            "{from} sends {name} with {bytes} bytes, where {limit} are allowed"
        );
        Ok(())
    }
}
