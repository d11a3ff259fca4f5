//! Numbers that nobody ever reaches by counting: a message that names one is damaged, and would overflow what is counted on.

use crate::crash_vector::CrashVector;
use crate::log::Entry;
use crate::message::{Body, Message, QuorumCheckpoint, StateContent, Survivor};
use crate::numbers::{OpNumber, Timestamp};

/// Half of all numbers. All of them count events, from zero, one at a time.
const NUMBER_MAX: u64 = u64::MAX / 2;

/// The year 2116. A wall clock that is further gone is taken for this, so that there is room to count on.
pub(super) const WALL_CLOCK_MAX: Timestamp = Timestamp(u64::MAX / 4);

/// Whether every number in the message could have been reached, so that handlers may add to it.
pub(super) fn is_plausible(message: &Message) -> bool {
    let header = &message.header;
    [header.epoch.0, header.view.0, header.incarnation.0].iter().all(|number| *number <= NUMBER_MAX)
        && has_plausible_body(&message.body)
}

fn has_plausible_body(body: &Body) -> bool {
    let all = |numbers: &[u64]| numbers.iter().all(|number| *number <= NUMBER_MAX);
    match body {
        Body::Prepare(m) => {
            all(&[m.commit.0]) && is_plausible_run(&m.entries) && is_plausible_checkpoint(&m.checkpoint)
        }
        Body::PrepareOk(m) => all(&[m.op.0, m.checkpoint.op.0]),
        Body::Commit(m) => all(&[m.op.0]) && m.commit <= m.op && is_plausible_checkpoint(&m.checkpoint),
        Body::CommitAck(m) => all(&[m.op.0]) && m.executed <= m.op && m.checkpoint.op <= m.executed,
        Body::StartViewChange(m) => {
            all(&[m.candidate.0]) && m.votes.iter().all(|vote| vote.incarnation.0 <= NUMBER_MAX)
        }
        Body::DoViewChange(m) => {
            all(&[m.log_view.0]) && is_plausible_log(m.op, m.commit, m.base, &m.suffix) && knows(&m.crash_vector)
        }
        Body::StartView(m) => is_plausible_log(m.op, m.commit, m.base, &m.suffix),
        Body::StartViewPending(m) => all(&[m.of.0, m.parts]) && m.op <= m.of,
        Body::GetState(m) => all(&[m.target.0, m.from.0, m.head_op.0]),
        Body::NewState(m) => is_plausible_log(m.op, m.commit, OpNumber::ZERO, &[]) && is_plausible_content(&m.content),
        Body::GetLog(m) => all(&[m.log_view.0, m.first.0, m.last.0]),
        Body::LogChunk(m) => all(&[m.log_view.0]) && is_plausible_content(&m.content),
        Body::Recovery(m) => all(&[m.op.0, m.view.0]),
        Body::RecoveryResponse(m) => {
            knows(&m.crash_vector) && m.primary.is_none_or(|p| is_plausible_log(p.op, p.commit, p.base, &[]))
        }
        Body::KnownIncarnation(m) => all(&[m.incarnation.0]),
        Body::StaleIncarnation(m) => all(&[m.known.0]),
        Body::Predict(m) => all(&[m.request.session.0, m.request.number.0]),
        Body::PredictOk(m) => all(&[m.request.session.0, m.request.number.0]),
        Body::GetPages(m) => all(&[m.checkpoint.op.0]),
        Body::Pages(m) => all(&[m.checkpoint.op.0]),
        Body::AlsoRecovering(m) => {
            let Survivor { view, log_view, op, commit, .. } = m.survivor;
            all(&[view.0, op.0]) && log_view <= view && commit <= op
        }
        Body::Revive(m) => all(&[m.view.0, m.op.0]) && m.log_view < m.view,
        Body::ReviveOk(m) => all(&[m.view.0]),
        Body::NewRoot(m) => all(&[m.checkpoint.op.0]),
        Body::GetIncarnation(_)
        | Body::Bootstrap(_)
        | Body::Founded(_)
        | Body::GetConfiguration
        | Body::ConfigurationInfo(_)
        | Body::ViewHint => true,
    }
}

fn is_plausible_checkpoint(checkpoint: &QuorumCheckpoint) -> bool {
    checkpoint.held.0 <= NUMBER_MAX && checkpoint.agreed.op.0 <= NUMBER_MAX
}

fn is_plausible_log(op: OpNumber, commit: OpNumber, base: OpNumber, suffix: &[Entry]) -> bool {
    let fits = suffix.len() as u64 <= op.distance_from(base);
    op.0 <= NUMBER_MAX && base <= commit && commit <= op && fits && is_plausible_run(suffix)
}

fn is_plausible_content(content: &StateContent) -> bool {
    match content {
        StateContent::Entries { after, entries, .. } => after.0 <= NUMBER_MAX && is_plausible_run(entries),
        StateContent::NeedCheckpoint(id) => id.op.0 <= NUMBER_MAX,
    }
}

fn is_plausible_run(entries: &[Entry]) -> bool {
    entries.iter().all(|entry| {
        let numbers = [entry.stamp.ballot.epoch.0, entry.stamp.ballot.view.0, entry.op().0, entry.timestamp.0];
        numbers.iter().all(|number| *number <= NUMBER_MAX)
    })
}

fn knows(vector: &CrashVector) -> bool {
    vector.iter().all(|(_, incarnation)| incarnation.0 <= NUMBER_MAX)
}
