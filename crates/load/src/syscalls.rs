//! Counts the system calls of processes for a moment: with perf, which hardly disturbs them, or else with strace, which does.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

/// How long they are counted, in seconds. Long enough for thousands of operations.
const SECONDS: u64 = 1;

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counted {
    pub(crate) calls: u64,
    pub(crate) during: Duration,
    pub(crate) by: &'static str,
}

/// Counts the system calls of these processes for a second.
///
/// # Errors
/// Why neither tool can.
pub(crate) async fn count(pids: &[u32]) -> Result<Counted, String> {
    match by_perf(pids).await {
        Ok(counted) => Ok(counted),
        Err(perf) => by_strace(pids).await.map_err(|strace| format!("{perf}; {strace}")),
    }
}

async fn by_perf(pids: &[u32]) -> Result<Counted, String> {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &pids.join(",")]);
    let (text, _) = run(perf.args(["--", "sleep", &SECONDS.to_string()]), "perf").await?;
    let calls = counted_by_perf(&text).ok_or_else(|| format!("perf: {}", first_line(&text)))?;
    // It counts while `sleep` runs. What it needs before and after that takes time, too, but is not counted.
    Ok(Counted { calls, during: Duration::from_secs(SECONDS), by: "perf" })
}

/// Reads a line of `value,unit,event,...`. Processes that did nothing at all are "not counted".
fn counted_by_perf(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split(',').nth(2) == Some("raw_syscalls:sys_enter"))?;
    match line.split(',').next()? {
        "<not counted>" => Some(0),
        number => number.parse().ok(),
    }
}

async fn by_strace(pids: &[u32]) -> Result<Counted, String> {
    let mut strace = Command::new("timeout");
    strace.args(["--signal=INT", &SECONDS.to_string(), "strace", "-c", "-f", "-qq"]);
    for pid in pids {
        strace.arg("-p").arg(pid.to_string());
    }
    let (text, during) = run(&mut strace, "strace").await?;
    let calls = counted_by_strace(&text).ok_or_else(|| format!("strace: {}", first_line(&text)))?;
    Ok(Counted { calls, during, by: "strace" })
}

/// Adds up the column of calls: `% time, seconds, usecs/call, calls, errors, syscall`.
fn counted_by_strace(text: &str) -> Option<u64> {
    let fields: Vec<Vec<&str>> = text.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    fields.iter().find(|fields| fields.last() == Some(&"total"))?;
    let rows = fields.iter().filter(|fields| fields.len() >= 5 && fields.last() != Some(&"total"));
    Some(rows.filter_map(|fields| fields[3].parse::<u64>().ok()).sum())
}

/// Runs a tool and returns what it says on standard error.
async fn run(command: &mut Command, tool: &str) -> Result<(String, Duration), String> {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("{tool} cannot be run: {error}"))?;
    Ok((String::from_utf8_lossy(&output.stderr).into_owned(), start.elapsed()))
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it counted nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_of_perf_is_read() {
        let text = "109,,raw_syscalls:sys_enter,782119,100.00,,\n";
        assert_eq!(counted_by_perf(text), Some(109));
        assert_eq!(counted_by_perf(&text.replace("109", "<not counted>")), Some(0));
        assert_eq!(counted_by_perf("event syntax error: 'raw_syscalls:sys_enter'\n"), None);
    }

    #[test]
    fn counts_of_strace_are_added_up() {
        let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 70.00    0.000020           1        10           epoll_wait
 30.00    0.000010           1         7         2 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.000030           1        17         2 total
";
        assert_eq!(counted_by_strace(text), Some(17));
        assert_eq!(counted_by_strace("strace: attach: ptrace(PTRACE_SEIZE, 7): Operation not permitted\n"), None);
    }
}
