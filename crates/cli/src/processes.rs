//! Which processes a benchmark measures.

use viewstamped_load::{Processes, exists};

use crate::failure::{EXIT_USAGE, Failure};
use crate::session::Answer;

/// The processes named, or else those that answered, when all of them run on this machine.
///
/// # Errors
/// When a process that was named does not exist.
pub(crate) fn to_measure(pids: &[u32], answers: &[Answer]) -> Result<Processes, Failure> {
    if let Some(missing) = pids.iter().find(|pid| !exists(**pid)) {
        let failure = Failure::new(
            format!("cannot measure process {missing}"),
            "there is no such process on this machine",
            "take the pids from `vr status`, or leave --pids out",
        );
        return Err(failure.with_code(EXIT_USAGE));
    }
    if !pids.is_empty() {
        return Ok(Processes::new(pids.to_vec()));
    }
    let is_local =
        |answer: &Answer| ["127.", "localhost:", "[::1]:"].iter().any(|host| answer.endpoint.starts_with(host));
    let running = answers.iter().filter(|answer| is_local(answer)).filter_map(|answer| answer.status.as_ref().ok());
    Ok(Processes::new(running.map(|status| status.pid).filter(|pid| exists(*pid)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_are_named_must_exist() {
        assert_eq!(to_measure(&[std::process::id()], &[]).unwrap().pids(), [std::process::id()]);
        assert!(to_measure(&[u32::MAX], &[]).is_err());
        assert!(to_measure(&[], &[]).unwrap().pids().is_empty());
    }
}
