//! I-PROMISE: a DOVIEWCHANGE is a promise to have left all earlier views, and a replica makes it only once.

use viewstamped_protocol::message::{DoViewChange, Header};
use viewstamped_protocol::{ChainHash, Incarnation, OpNumber, ViewNumber};

use crate::checkers::{Checked, Seen, hold};

const NAME: &str = "I-PROMISE";

/// The latest promise of each replica.
#[derive(Debug)]
pub(crate) struct Promise {
    latest: Vec<Option<Promised>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promised {
    incarnation: Incarnation,
    view: ViewNumber,
    log_view: ViewNumber,
    op: OpNumber,
    head: ChainHash,
    /// The checkpoint that the replica had installed last.
    installed: OpNumber,
}

impl Promise {
    pub(crate) fn new(members: usize) -> Self {
        Self { latest: vec![None; members] }
    }

    /// Checks and notes a DOVIEWCHANGE when it is sent.
    ///
    /// A checkpoint may be installed after a promise: it stands for what it holds, and changes nothing of what was promised but
    /// what was never committed (T4).
    pub(crate) fn promised(
        &mut self,
        place: usize,
        header: &Header,
        message: &DoViewChange,
        installed: OpNumber,
    ) -> Checked {
        let now = Promised {
            incarnation: header.incarnation,
            view: header.view,
            log_view: message.log_view,
            op: message.op,
            head: message.head,
            installed,
        };
        let before = self.latest[place].replace(now).filter(|before| before.incarnation == now.incarnation);
        if let Some(before) = before {
            let (id, view) = (header.from, header.view);
            hold!(NAME, view >= before.view, "{id} promised {} and then {view}", before.view);
            hold!(
                NAME,
                view > before.view || before == now || installed > before.installed,
                "{id} promised two logs for {view}: {} and {}",
                before.op,
                now.op
            );
        }
        Ok(())
    }

    /// After a promise the log stays what was promised until a view has started (V11).
    pub(crate) fn check_frozen(&self, place: usize, now: &Seen) -> Checked {
        let Some(promised) = self.latest[place] else { return Ok(()) };
        let is_promised = (promised.incarnation, promised.view, promised.log_view, promised.installed)
            == (now.incarnation, now.view, now.log_view, now.installed);
        if !is_promised {
            return Ok(());
        }
        hold!(
            NAME,
            (promised.op, promised.head) == (now.op, now.head),
            "{} promised {} for {} and changed its log to {} before any view started",
            now.id,
            promised.op,
            now.view,
            now.op
        );
        Ok(())
    }

    /// Checks an acknowledgement when it is sent.
    pub(crate) fn acknowledged(&self, place: usize, header: &Header) -> Checked {
        let promised = self.latest[place].filter(|promised| promised.incarnation == header.incarnation);
        let kept = promised.is_none_or(|promised| promised.view <= header.view);
        hold!(NAME, kept, "{} acknowledged in {} after it had promised a later view", header.from, header.view);
        Ok(())
    }
}
