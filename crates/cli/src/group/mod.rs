//! A group of replicas on this machine, every one a process of its own: what `vr dev` and `vr bench` start.

mod directory;
mod replica;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::health::{Verdict, judge};
use crate::session::ask_all;

pub(crate) use self::directory::{Directory, Group};
pub(crate) use self::replica::{Replica, how_it_ended, program_as_typed};

/// How long the group may take until a quorum serves. A second is usual; a loaded machine takes longer.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is asked until then.
const READY_INTERVAL: Duration = Duration::from_millis(50);

/// Finds out before anything is started, when it can still be said plainly.
pub(crate) fn check_free(ports: &[(u16, u16)]) -> Result<(), Failure> {
    for port in ports.iter().flat_map(|(client, peer)| [*client, *peer]) {
        TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
            let next = format!(
                "stop what uses it (`ss -ltnp 'sport = :{port}'` shows what), or choose others: vr dev --base-port PORT"
            );
            Failure::new(format!("cannot use port {port} of 127.0.0.1"), error, next)
        })?;
    }
    Ok(())
}

/// Waits until a quorum of the group serves.
///
/// # Errors
/// When that takes too long, or a replica ends.
pub(crate) async fn wait_until_ready(group: &Group, replicas: &mut [Replica]) -> Result<(), Failure> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let answers = ask_all(&group.endpoints()).await;
        let health = judge(&answers);
        let has_primary = answers.iter().flat_map(|answer| &answer.status).any(|status| status.role == "primary");
        if health.verdict != Verdict::NoQuorum && has_primary {
            return Ok(());
        }
        for replica in replicas.iter_mut() {
            if let Some(ended) = replica.ended()? {
                let what = format!("replica {} ended before the group was ready", replica.id());
                return Err(Failure::new(
                    what,
                    format_args!("it {}; its log says:\n{}", how_it_ended(&ended), replica.log_tail()),
                    "",
                ));
            }
        }
        if Instant::now() > deadline {
            let what = format!("no quorum serves after {} s", READY_TIMEOUT.as_secs());
            return Err(Failure::new(what, health.problems.join("\n"), "look at the logs; keep them with --data DIR"));
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_in_use_is_named_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let failure = check_free(&[(port, port)]).unwrap_err().to_string();
        assert!(failure.contains(&format!("cannot use port {port}")) && failure.contains("--base-port"), "{failure}");
    }
}
