//! How a command fails: what happened, why, and what to type next.

use std::fmt;
use std::io;

/// Exit code: the answer is no (a missing key, a degraded cluster, a failing seed).
pub(crate) const EXIT_NO: u8 = 1;
/// Exit code: no quorum of the replicas serves.
pub(crate) const EXIT_NO_QUORUM: u8 = 2;
/// Exit code: the command failed for another reason.
pub(crate) const EXIT_FAILED: u8 = 3;
/// Exit code: the command line makes no sense (`EX_USAGE`).
pub(crate) const EXIT_USAGE: u8 = 64;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    why: String,
    next: String,
    code: u8,
}

/// What every command returns: its exit code, or why it failed.
pub(crate) type Outcome = Result<u8, Failure>;

impl Failure {
    /// A failure in three sentences; each of the last two may be empty when the one before says it all.
    pub(crate) fn new(what: impl Into<String>, why: impl fmt::Display, next: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.to_string(), next: next.into(), code: EXIT_FAILED }
    }

    /// The same failure with another exit code.
    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Whoever reads our output has heard enough: no error.
    fn closed_pipe() -> Self {
        Self { what: String::new(), why: String::new(), next: String::new(), code: 0 }
    }

    /// A failure to write the output of the command.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::closed_pipe();
        }
        Self::new(
            "cannot write the output",
            error,
            "check where the output goes (a full disk?) and run the command again",
        )
    }

    /// The exit code to end with.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_silent(&self) -> bool {
        self.what.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if !self.why.is_empty() {
            write!(f, "\n  why:  {}", indented(&self.why))?;
        }
        if !self.next.is_empty() {
            write!(f, "\n  next: {}", indented(&self.next))?;
        }
        Ok(())
    }
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n        ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_says_what_why_and_next() {
        let failure = Failure::new("cannot read x", "it is\na directory", "name a file");
        assert_eq!(
            failure.to_string(),
            "error: cannot read x\n  why:  it is\n        a directory\n  next: name a file"
        );
    }

    #[test]
    fn closed_pipe_is_no_error() {
        let failure = Failure::output(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(failure.is_silent());
        assert_eq!(failure.code(), 0);
    }
}
