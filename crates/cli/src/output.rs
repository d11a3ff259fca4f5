//! Writing what a command has to say: text or JSON, and no panic when nobody listens any more.

use std::fmt::Display;
use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// How a command shows its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON document.
    Json,
}

/// Writes a line to standard output.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(|error| Failure::output(&error))
}

/// Writes bytes to standard output as they are.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Writes a value to standard output as JSON on one line.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).expect("our own types have string keys only");
    line(text)
}

/// Writes a line to standard error: progress and remarks. Nobody reading them is no reason to stop.
pub(crate) fn remark(text: impl Display) {
    remark_part(format_args!("{text}\n"));
}

/// Writes to standard error without a line feed.
pub(crate) fn remark_part(text: impl Display) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}
