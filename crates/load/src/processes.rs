//! CPU time, context switches and memory of processes, from /proc.

use std::fs;

/// The processes to measure.
#[derive(Clone, Debug)]
pub struct Processes(Vec<u32>);

/// What processes have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU of all of them together, in user and system mode.
    pub(crate) cpu_seconds: f64,
    /// CPU of this process.
    pub(crate) own_cpu_seconds: f64,
    /// How often a thread of theirs gave up its processor or lost it.
    pub(crate) context_switches: u64,
    /// The largest resident memory any of them has now.
    pub(crate) resident_bytes: u64,
    /// The largest resident memory any of them ever had.
    pub(crate) resident_max_bytes: u64,
}

/// Linux counts CPU time in hundredths of a second for user programs, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// Whether a process runs on this machine.
#[must_use]
pub fn exists(pid: u32) -> bool {
    cpu_seconds(&pid.to_string()).is_some()
}

impl Processes {
    /// The processes with these ids.
    #[must_use]
    pub fn new(pids: Vec<u32>) -> Self {
        Self(pids)
    }

    /// Their ids.
    #[must_use]
    pub fn pids(&self) -> &[u32] {
        &self.0
    }

    /// What they have used so far. A process that is gone counts nothing.
    pub(crate) fn usage(&self) -> Usage {
        let names = self.0.iter().map(u32::to_string);
        let resident = |field| names.clone().filter_map(move |name| status_kib(&name, field)).max().unwrap_or(0) << 10;
        Usage {
            cpu_seconds: names.clone().filter_map(|name| cpu_seconds(&name)).sum(),
            own_cpu_seconds: cpu_seconds("self").unwrap_or(0.0),
            context_switches: names.clone().map(|name| context_switches(&name)).sum(),
            resident_bytes: resident("VmRSS:"),
            resident_max_bytes: resident("VmHWM:"),
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

fn status_kib(name: &str, field: &str) -> Option<u64> {
    number_in(&fs::read_to_string(format!("/proc/{name}/status")).ok()?, field)
}

/// The number behind a field of proc_pid_status(5), its unit left out.
fn number_in(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The kernel counts them by thread.
fn context_switches(name: &str) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{name}/task")) else { return 0 };
    let statuses = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    statuses.map(|status| context_switches_in(&status)).sum()
}

fn context_switches_in(status: &str) -> u64 {
    let count = |field| number_in(status, field).unwrap_or(0);
    count("voluntary_ctxt_switches:") + count("nonvoluntary_ctxt_switches:")
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
    fn fields_of_a_status_are_told_apart() {
        let status = "Name:\tvr\nVmHWM:\t  20 kB\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!((number_in(status, "VmHWM:"), number_in(status, "VmRSS:")), (Some(20), None));
        assert_eq!(context_switches_in(status), 12);
    }

    #[test]
    fn this_process_can_be_measured() {
        assert!(exists(std::process::id()) && !exists(u32::MAX));
        let usage = Processes::new(vec![std::process::id()]).usage();
        assert!(usage.resident_bytes > 0 && usage.resident_max_bytes >= usage.resident_bytes);
        assert!(usage.context_switches > 0);
    }
}
