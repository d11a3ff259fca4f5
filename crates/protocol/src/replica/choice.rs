//! Pure decisions on sets of messages: which answers may be counted together, and which log wins.

use std::collections::BTreeSet;

use crate::message::{Body, DoViewChange, Message, RecoveryResponse};
use crate::numbers::NodeId;

/// The DOVIEWCHANGE in a message known to be one.
pub(super) fn do_view_change(message: &Message) -> &DoViewChange {
    match &message.body {
        Body::DoViewChange(body) => body,
        _ => unreachable!("only DOVIEWCHANGEs are kept here"),
    }
}

/// The RECOVERYRESPONSE in a message known to be one.
pub(super) fn recovery_response(message: &Message) -> &RecoveryResponse {
    match &message.body {
        Body::RecoveryResponse(body) => body,
        _ => unreachable!("only RECOVERYRESPONSEs are kept here"),
    }
}

/// The senders whose messages a later crash has not made void, as far as the set itself tells (C1).
///
/// A message of j is void when another message of the set names a later incarnation of j: what j promised, it has forgotten.
/// What remains is pairwise consistent. A filter by the receiver's own knowledge is no substitute: it may never have heard of
/// the crash.
pub(super) fn crash_consistent(messages: &[&Message]) -> BTreeSet<NodeId> {
    let vector = |message: &Message| match &message.body {
        Body::DoViewChange(body) => body.crash_vector.clone(),
        Body::RecoveryResponse(body) => body.crash_vector.clone(),
        _ => unreachable!("these carry crash vectors"),
    };
    let vectors: Vec<_> = messages.iter().map(|message| vector(message)).collect();
    let is_void =
        |message: &Message| vectors.iter().any(|vector| vector.known(message.header.from) > message.header.incarnation);
    messages.iter().filter(|message| !is_void(message)).map(|message| message.header.from).collect()
}

/// 4.2 step 3: the log with the largest v', among those the one with the largest n. The entries' own views play no part (V5).
/// Of equals, which are the same log, `preferred` is taken.
pub(super) fn winner<'a>(candidates: &[&'a Message], preferred: NodeId) -> Option<&'a Message> {
    candidates.iter().copied().max_by_key(|message| {
        let body = do_view_change(message);
        (body.log_view, body.op, message.header.from == preferred)
    })
}
