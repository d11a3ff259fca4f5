//! I-VIEWMONO: within an incarnation a replica never goes back to an earlier view, nor to the log of one.

use crate::checkers::{Checked, Seen, hold};

const NAME: &str = "I-VIEWMONO";

/// Compares a replica with what it was before.
pub(crate) fn check(before: Option<&Seen>, now: &Seen) -> Checked {
    let id = now.id;
    hold!(NAME, now.log_view <= now.view, "{id} is in {} but was normal in {} already", now.view, now.log_view);
    let Some(before) = before.filter(|before| now.continues(before)) else { return Ok(()) };
    hold!(NAME, now.view >= before.view, "{id} went back from {} to {}", before.view, now.view);
    hold!(
        NAME,
        now.log_view >= before.log_view,
        "{id} went back from the log of {} to that of {}",
        before.log_view,
        now.log_view
    );
    Ok(())
}
