//! What a replica logs, and where to.

use std::io::{self, IsTerminal};

use clap::Args;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::failure::{EXIT_USAGE, Failure};

/// What is logged to standard error.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogFlags {
    /// What to log to standard error: error, warn, info, debug, trace, or a list such as info,viewstamped=debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

impl LogFlags {
    /// Starts to log.
    ///
    /// # Errors
    /// When the filter makes no sense.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let filter: Targets = self.log.parse().map_err(|error: tracing_subscriber::filter::ParseError| {
            let what = format!("cannot log \"{}\"", self.log);
            Failure::new(what, error, "use error, warn, info, debug or trace, as in --log info").with_code(EXIT_USAGE)
        })?;
        let colours = io::stderr().is_terminal();
        let lines = fmt::layer().with_writer(io::stderr).with_ansi(colours).with_target(false);
        tracing_subscriber::registry().with(lines).with(filter).init();
        Ok(())
    }
}
