//! I-EXACTLY-ONCE at the client's side: whoever answers, and however often, the answer is what the one execution gave.

use viewstamped_protocol::OpNumber;
use viewstamped_protocol::message::{ClientReply, ToClient};

use crate::checkers::ghost::Purpose;
use crate::checkers::{Checked, Ghost, hold};
use crate::observed::digest_of;

const NAME: &str = "I-EXACTLY-ONCE";

/// Compares an answer with what was decided and executed.
pub(crate) fn check(ghost: &Ghost, message: &ToClient, is_deterministic: bool) -> Checked {
    let (from, client) = (message.header.from, message.client);
    match &message.body {
        ClientReply::Reply { session, slot, number, op, result } => {
            let purpose = Purpose::Operation { session: *session, slot: *slot, number: *number };
            let decided = ghost.committed(*op).filter(|decided| decided.client == client && decided.purpose == purpose);
            hold!(
                NAME,
                decided.is_some(),
                "{from} answers request {number} of client {client} with {op}, which is another"
            );
            let effect = ghost.effect(*op).copied().flatten();
            hold!(
                NAME,
                effect.is_some(),
                "{from} answers request {number} of client {client}, which {op} did not execute"
            );
            let same = effect.is_some_and(|call| call.reply == digest_of(result));
            hold!(NAME, same || !is_deterministic, "{from} answers {op} with another result than its execution gave");
        }
        ClientReply::Registered { session, .. } => {
            let by = ghost.committed(OpNumber(session.0));
            // A late REGISTER of a client that has resumed since names the session it has now.
            let opened = by.is_some_and(|by| by.client == client && by.purpose.opens_a_session());
            hold!(NAME, opened, "{from} names session {session} to client {client}, which did not open it");
        }
        ClientReply::Resumed { old, session, .. } => {
            let by = ghost.committed(OpNumber(session.0));
            let opened = by.is_some_and(|by| by.client == client && by.purpose == Purpose::Resume(*old));
            hold!(NAME, opened, "{from} names session {session} to client {client}, which did not resume {old} by it");
        }
        _ => {}
    }
    Ok(())
}
