//! A group of replicas for one measurement: new, empty, and gone afterwards.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use viewstamped::Durability;

use crate::failure::Failure;
use crate::formatting;
use crate::group::{Directory, Group, Replica, wait_until_ready};
use crate::health::{Verdict, judge};
use crate::human::Span;
use crate::session::{ClientFlags, Endpoints, ask_all};

/// A group on this machine, its directories temporary ones.
pub(super) struct OwnGroup {
    group: Group,
    replicas: Vec<Replica>,
    /// Removed after the replicas have stopped.
    _directory: Directory,
}

/// How long a replica may take to catch up. A second is usual; one that comes back under load takes longer.
const HEALTHY_TIMEOUT: Duration = Duration::from_secs(60);
const HEALTHY_INTERVAL: Duration = Duration::from_millis(50);

impl OwnGroup {
    /// Starts a group and waits until all its replicas serve.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn start(replicas: u16) -> Result<Self, Failure> {
        let directory = Directory::open(None)?;
        let group = Group::prepare(&directory, &free_ports(replicas)?, Some(Durability::Replicated), false)?;
        let mut replicas = Replica::spawn_all(&group, false, None)?;
        wait_until_ready(&group, &mut replicas).await?;
        let own = Self { group, replicas, _directory: directory };
        own.wait_until_healthy().await?;
        Ok(own)
    }

    /// The flags of a client of this group.
    pub(super) fn client(&self, request_timeout: Span) -> ClientFlags {
        ClientFlags { endpoints: Endpoints { endpoints: self.group.endpoints() }, request_timeout }
    }

    /// The replica with this id.
    pub(super) fn replica(&mut self, id: usize) -> &mut Replica {
        &mut self.replicas[id]
    }

    /// Waits until all replicas are normal in one view, and returns the id of the primary.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) async fn wait_until_healthy(&self) -> Result<usize, Failure> {
        let deadline = Instant::now() + HEALTHY_TIMEOUT;
        loop {
            let answers = ask_all(&self.group.endpoints()).await;
            let health = judge(&answers);
            let primary =
                answers.iter().position(|answer| answer.status.as_ref().is_ok_and(|status| status.role == "primary"));
            match primary {
                Some(primary) if health.verdict == Verdict::Healthy => return Ok(primary),
                _ if Instant::now() > deadline => {
                    let what = format!("the group is not healthy after {} s", HEALTHY_TIMEOUT.as_secs());
                    return Err(Failure::new(what, health.problems.join("\n"), ""));
                }
                _ => tokio::time::sleep(HEALTHY_INTERVAL).await,
            }
        }
    }

    /// Stops all replicas.
    pub(super) async fn stop(mut self) {
        for replica in &mut self.replicas {
            replica.stop().await;
        }
    }
}

/// Where ports are looked for: below those that the system gives to connections, any of which it could give away between the
/// moment in which a port is found and the moment in which a server listens there.
const PORTS: std::ops::Range<u16> = 10_000..30_000;
/// How often that is tried. Only a machine with hardly any free port needs more.
const ATTEMPTS: u32 = 1_000;

/// Ports that nobody uses, two for each server.
pub(super) fn free_ports(pairs: u16) -> Result<Vec<(u16, u16)>, Failure> {
    let wanted = 2 * pairs;
    for _ in 0..ATTEMPTS {
        let span = u128::from(PORTS.end - PORTS.start - wanted);
        let first = PORTS.start + u16::try_from(formatting::random()? % span).expect("below 20,000");
        let mut ports = first..first + wanted;
        if ports.clone().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok(std::iter::from_fn(|| ports.next().zip(ports.next())).collect());
        }
    }
    let why = format!("no {wanted} ports in a row are free between {} and {}", PORTS.start, PORTS.end);
    Err(Failure::new("there are no free ports on 127.0.0.1", why, "stop what uses them (`ss -ltn` shows them)"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_server_has_two_ports_of_its_own() {
        let ports = free_ports(31).unwrap();
        let distinct: BTreeSet<u16> = ports.iter().flat_map(|(client, peer)| [*client, *peer]).collect();
        assert_eq!((ports.len(), distinct.len()), (31, 62));
        assert!(distinct.iter().all(|port| PORTS.contains(port)));
    }
}
