//! A group of replicas as the target of a load.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use viewstamped::Pending;
use viewstamped_load::{Plan, Processes, Report, Step, Target};
use viewstamped_map::{Malformed, Operation};

use super::flags::slots;
use crate::failure::Failure;
use crate::session::{ClientFlags, Session, unencodable};

/// One session for each connection.
struct Sessions(Vec<Session>);

/// The answer to come.
pub(super) enum Answer {
    Pending(Pending),
    Unencodable(Malformed),
}

impl Target for Sessions {
    type Answer = Answer;

    fn ask(&self, connection: usize, step: Step<'_>) -> Answer {
        match encode(step) {
            Ok(payload) => Answer::Pending(self.0[connection].client().submit(payload)),
            Err(malformed) => Answer::Unencodable(malformed),
        }
    }
}

impl Future for Answer {
    type Output = Result<(), String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Pending(pending) => {
                Pin::new(pending).poll(context).map(|result| result.map(drop).map_err(|error| error.to_string()))
            }
            Self::Unencodable(malformed) => Poll::Ready(Err(malformed.to_string())),
        }
    }
}

fn encode(step: Step<'_>) -> Result<Bytes, Malformed> {
    match step {
        Step::Put { key, value } => Operation::Put { key, value }.encode(),
        Step::Get { key } => Operation::Get { key }.encode(),
    }
}

/// Loads the group at the endpoints as planned.
///
/// # Errors
/// When nobody serves there, with what the replicas say.
pub(super) async fn load(plan: &Plan, flags: &ClientFlags, servers: Processes) -> Result<Report, Failure> {
    let sessions = (0..plan.connections).map(|_| flags.connect(slots(plan))).collect::<Result<Vec<_>, _>>()?;
    for session in &sessions {
        let nothing = encode(Step::Get { key: b"bench/" }).map_err(|malformed| unencodable(&malformed))?;
        if let Err(error) = session.client().execute(nothing).await {
            return Err(session.explain(&error).await);
        }
    }
    viewstamped_load::run(plan, Sessions(sessions), servers)
        .await
        .map_err(|error| Failure::new("the first request has no answer", error, "vr status shows how the group is"))
}
