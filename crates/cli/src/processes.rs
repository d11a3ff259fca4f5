//! CPU time and memory of processes, from /proc.

use std::fs;

use crate::failure::{EXIT_USAGE, Failure};
use crate::session::Answer;

/// The processes to measure.
pub(crate) struct Processes(Vec<u32>);

/// What they have used so far.
pub(crate) struct Usage {
    /// CPU of all of them together, in user and system mode.
    pub(crate) cpu_seconds: f64,
    /// CPU of this process.
    pub(crate) own_cpu_seconds: f64,
    /// The largest resident memory any of them ever had.
    pub(crate) resident_max_bytes: u64,
}

/// Linux counts CPU time in hundredths of a second for user programs, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

impl Processes {
    /// The processes named, or else those that answered, when all of them run on this machine.
    ///
    /// # Errors
    /// When a process that was named does not exist.
    pub(crate) fn of(pids: &[u32], answers: &[Answer]) -> Result<Self, Failure> {
        if let Some(missing) = pids.iter().find(|pid| cpu_seconds(&pid.to_string()).is_none()) {
            let what = format!("cannot measure process {missing}");
            let failure = Failure::new(
                what,
                "there is no such process on this machine",
                "take the pids from `vr status`, or leave --pids out",
            );
            return Err(failure.with_code(EXIT_USAGE));
        }
        if !pids.is_empty() {
            return Ok(Self(pids.to_vec()));
        }
        let is_local =
            |answer: &Answer| ["127.", "localhost:", "[::1]:"].iter().any(|host| answer.endpoint.starts_with(host));
        let running = answers.iter().filter(|answer| is_local(answer)).filter_map(|answer| answer.status.as_ref().ok());
        Ok(Self(running.map(|status| status.pid).filter(|pid| cpu_seconds(&pid.to_string()).is_some()).collect()))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they have used so far. A process that is gone counts nothing.
    pub(crate) fn usage(&self) -> Usage {
        let names = self.0.iter().map(u32::to_string);
        Usage {
            cpu_seconds: names.clone().filter_map(|name| cpu_seconds(&name)).sum(),
            own_cpu_seconds: cpu_seconds("self").unwrap_or(0.0),
            resident_max_bytes: names.filter_map(|name| resident_max_bytes(&name)).max().unwrap_or(0),
        }
    }
}

fn cpu_seconds(name: &str) -> Option<f64> {
    cpu_seconds_in(&fs::read_to_string(format!("/proc/{name}/stat")).ok()?)
}

/// Fields 14 and 15 of proc_pid_stat(5), counted after the name of the program, which may hold anything.
fn cpu_seconds_in(stat: &str) -> Option<f64> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn resident_max_bytes(name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{name}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_program_name() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 100 0 0\n";
        assert_eq!(cpu_seconds_in(stat), Some(3.0));
        assert_eq!(cpu_seconds_in("nonsense"), None);
    }

    #[test]
    fn this_process_can_be_measured() {
        let usage = Processes(vec![std::process::id()]).usage();
        assert!(usage.resident_max_bytes > 0);
        assert!(Processes::of(&[u32::MAX], &[]).is_err());
    }
}
