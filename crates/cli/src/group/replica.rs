//! One replica of a group: a child process, how to start it, and how it ended.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, ChildStdin, Command};

use super::directory::Group;
use crate::failure::Failure;
use crate::output;
use crate::settings::variable;

/// A replica as a child process.
pub(crate) struct Replica {
    id: usize,
    client: String,
    peer: String,
    log: PathBuf,
    arguments: Vec<String>,
    config: Option<PathBuf>,
    pid: u32,
    /// `None` when it has ended.
    child: Option<Child>,
    /// Its end tells the process to stop. Kept apart from the child: waiting for that would close it.
    pipe: Option<ChildStdin>,
    started: Instant,
    respawn: bool,
    /// When to start it again, and the pause before the next time.
    respawn_at: Option<Instant>,
    pause: Duration,
}

/// The pause before a replica is started again: doubled by every end that comes soon after the start.
const RESPAWN_PAUSE: Duration = Duration::from_millis(200);
const RESPAWN_PAUSE_MAX: Duration = Duration::from_secs(5);
/// After this long a replica has proved that it can run.
const RESPAWN_PROVEN: Duration = Duration::from_secs(10);
/// How long a replica may take to stop before it is killed: it writes out everything, at 50 MB/s some GB.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Flags that `vr dev` gives its replicas; the same ones in its environment are not meant for them.
const OWN_FLAGS: [&str; 11] = [
    "listen-client",
    "listen-peer",
    "cluster",
    "replica",
    "members",
    "peers",
    "durability",
    "sessions-max",
    "slots-max",
    "reply-bytes-max",
    "operation-bytes-max",
];

impl Replica {
    /// Starts a process for each replica of the group.
    pub(crate) fn spawn_all(group: &Group, respawn: bool, config: Option<&Path>) -> Result<Vec<Self>, Failure> {
        let mut replicas = Vec::new();
        for (id, (client, peer)) in group.addresses().iter().enumerate() {
            let mut replica = Self {
                id,
                client: client.clone(),
                peer: peer.clone(),
                log: group.log(id),
                arguments: group.start_arguments(id),
                config: config.map(Path::to_path_buf),
                pid: 0,
                child: None,
                pipe: None,
                started: Instant::now(),
                respawn,
                respawn_at: None,
                pause: RESPAWN_PAUSE,
            };
            replica.spawn()?;
            replicas.push(replica);
        }
        Ok(replicas)
    }

    /// Starts it, or starts it again.
    pub(crate) fn spawn(&mut self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::new(format!("cannot start replica {}", self.id), error, "");
        let program = std::env::current_exe().map_err(failed)?;
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(failed)?;
        let mut command = Command::new(program);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command.args(&self.arguments).arg("--exit-with-parent");
        for flag in OWN_FLAGS {
            command.env_remove(variable(flag));
        }
        // The pipe stays open as long as this process lives, however it ends.
        command.stdin(Stdio::piped()).stdout(log.try_clone().map_err(failed)?).stderr(log).kill_on_drop(true);
        // Ctrl-C goes to a whole process group; the replicas are told by the pipe.
        command.process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        self.pipe = child.stdin.take();
        self.pid = child.id().unwrap_or(0);
        self.child = Some(child);
        self.started = Instant::now();
        Ok(())
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn is_respawned(&self) -> bool {
        self.respawn
    }

    /// Replica, pid, clients, peers, log.
    pub(crate) fn cells(&self) -> Vec<String> {
        let log = self.log.display().to_string();
        vec![self.id.to_string(), self.pid.to_string(), self.client.clone(), self.peer.clone(), log]
    }

    /// What to type to start it by hand.
    pub(crate) fn command_as_typed(&self) -> String {
        format!("{} {}", program_as_typed(), as_typed(&self.arguments))
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let Some(child) = &mut self.child else { return Ok(None) };
        child.try_wait().map_err(|error| Failure::new(format!("cannot watch replica {}", self.id), error, ""))
    }

    /// Waits until it ends. Starts it again first, when that is planned; never returns while it is down for good.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(at) = self.respawn_at {
            tokio::time::sleep_until(at.into()).await;
            self.respawn_at = None;
            match self.spawn() {
                Ok(()) => output::remark(format_args!("replica {} is started again (pid {})", self.id, self.pid)),
                Err(failure) => {
                    output::remark(&failure);
                    self.plan_respawn();
                    return Err(io::Error::other("did not start"));
                }
            }
        }
        match &mut self.child {
            Some(child) => {
                let ended = child.wait().await;
                self.child = None;
                ended
            }
            None => std::future::pending().await,
        }
    }

    /// Plans to start it again after a pause.
    pub(crate) fn plan_respawn(&mut self) {
        let has_proved = self.started.elapsed() >= RESPAWN_PROVEN;
        self.pause = if has_proved { RESPAWN_PAUSE } else { (self.pause * 2).min(RESPAWN_PAUSE_MAX) };
        self.respawn_at = Some(Instant::now() + self.pause);
    }

    /// Kills it at once, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing to kill.
            let _ = child.kill().await;
        }
    }

    /// Tells it to stop, by the end of its pipe.
    pub(crate) fn tell_to_stop(&mut self) {
        drop(self.pipe.take());
    }

    /// Stops it: tells it to, waits, and kills it when it does not end.
    pub(crate) async fn stop(&mut self) {
        self.tell_to_stop();
        let Some(mut child) = self.child.take() else { return };
        if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
            output::remark(format_args!("replica {} (pid {}) does not stop; it is killed", self.id, self.pid));
            self.child = Some(child);
            self.kill().await;
        }
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// How a process ended, for people.
pub(crate) fn how_it_ended(status: &ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// This program as it was called.
pub(crate) fn program_as_typed() -> String {
    std::env::args().next().map_or_else(|| "vr".to_owned(), |program| quoted(&program))
}

/// Arguments as a shell takes them.
pub(super) fn as_typed(arguments: &[String]) -> String {
    let quoted: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
    quoted.join(" ")
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_a_shell() {
        assert_eq!(quoted("--members"), "--members");
        assert_eq!(quoted("0=127.0.0.1:2380,1=h:1"), "0=127.0.0.1:2380,1=h:1");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn end_of_a_process_is_said_plainly() {
        assert_eq!(how_it_ended(&ExitStatus::from_raw(9)), "was killed by signal 9");
        assert_eq!(how_it_ended(&ExitStatus::from_raw(3 << 8)), "ended with exit code 3");
    }
}
