//! The paper's notation, as logs and traces print it: `PREPARE v3 n12 k11`.

use std::fmt;

use super::{Body, Message, RequestId, StateContent, Survivor, Vote};
use crate::log::Entry;
use crate::numbers::OpNumber;

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.body.name(), self.header.view)?;
        match &self.body {
            Body::Prepare(m) => {
                let first = m.entries.first().map_or(OpNumber::ZERO, Entry::op);
                write!(f, " {first}")?;
                if m.entries.len() > 1 {
                    write!(f, "..{}", m.entries.last().map_or(OpNumber::ZERO, Entry::op))?;
                }
                write!(f, " k{}", m.commit.0)
            }
            Body::PrepareOk(m) => write!(f, " {}", m.op),
            Body::Commit(m) => write!(f, " {} k{}", m.op, m.commit.0),
            Body::CommitAck(m) => write!(f, " {} x{}", m.op, m.executed.0),
            Body::StartViewChange(m) => {
                let confirmed = if m.confirmed { " confirmed" } else { "" };
                write!(f, " candidate={} votes=[{}]{confirmed}", m.candidate, Joined(&m.votes))
            }
            Body::DoViewChange(m) => {
                write!(f, " {} k{} v'={} l={} {}", m.op, m.commit.0, m.log_view.0, Run(&m.suffix), m.crash_vector)
            }
            Body::StartView(m) => write!(f, " {} k{} l={}", m.op, m.commit.0, Run(&m.suffix)),
            Body::StartViewPending(m) => write!(f, " {} of={}", m.op, m.of),
            Body::GetState(m) => write!(f, " target={} n'={} head={}", m.target, m.from.0, m.head_op),
            Body::NewState(m) => write!(f, " {} k{} {}", m.op, m.commit.0, m.content),
            Body::GetLog(m) => write!(f, " v'={} {}..{}", m.log_view.0, m.first, m.last),
            Body::LogChunk(m) => write!(f, " v'={} {}", m.log_view.0, m.content),
            Body::Recovery(m) => write!(f, " x={:x} {}", m.nonce.0 >> 112, self.header.incarnation),
            Body::RecoveryResponse(m) => {
                write!(f, " x={:x} {}", m.nonce.0 >> 112, m.crash_vector)?;
                m.primary.map_or(Ok(()), |p| write!(f, " {} k{}", p.op, p.commit.0))
            }
            Body::GetIncarnation(m) => write!(f, " x={:x}", m.nonce.0 >> 112),
            Body::KnownIncarnation(m) => write!(f, " x={:x} {}", m.nonce.0 >> 112, m.incarnation),
            Body::AlsoRecovering(m) => {
                let Survivor { log_view, op, commit, .. } = m.survivor;
                write!(f, " x={:x} {op} k{} v'={}", m.nonce.0 >> 112, commit.0, log_view.0)
            }
            Body::StaleIncarnation(m) => write!(f, " {} {}", m.node, m.known),
            Body::Bootstrap(m) => write!(f, " instance={:x} heard={}", m.instance.0 >> 112, m.heard.len()),
            Body::Founded(m) => write!(f, " founders={}", m.founders.len()),
            Body::GetConfiguration | Body::ConfigurationInfo(_) | Body::ViewHint => Ok(()),
            Body::Predict(m) => write!(f, " {}", m.request),
            Body::PredictOk(m) => write!(f, " {}", m.request),
            Body::GetPages(m) => write!(f, " {} parts={}", m.checkpoint, m.parts.len()),
            Body::Pages(m) => write!(f, " {} parts={}", m.checkpoint, m.pages.len()),
            Body::Revive(m) => write!(f, " v={} v'={} {}", m.view.0, m.log_view.0, m.op),
            Body::ReviveOk(m) => write!(f, " v={}", m.view.0),
            Body::NewRoot(m) => write!(f, " {}", m.checkpoint),
        }
    }
}

/// A request as `c5/2/s7`: session, slot and request-number.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.session, self.slot, self.number)
    }
}

impl fmt::Display for StateContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entries { after, entries, .. } => write!(f, "after={after} l={}", Run(entries)),
            Self::NeedCheckpoint(id) => write!(f, "checkpoint={id}"),
        }
    }
}

/// Prints a run of entries as `[n1@v0..n3@v1]`.
struct Run<'a>(&'a [Entry]);

impl fmt::Display for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => write!(f, "[]"),
            [one] => write!(f, "[{one}]"),
            [first, .., last] => write!(f, "[{first}..{last}]"),
        }
    }
}

struct Joined<'a>(&'a [Vote]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, vote) in self.0.iter().enumerate() {
            write!(f, "{}{}", if place == 0 { "" } else { " " }, vote.node)?;
        }
        Ok(())
    }
}
