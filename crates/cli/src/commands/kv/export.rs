//! `vr kv export`: all pairs as lines, in the order of the keys.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;

use super::Pages;
use crate::failure::{Failure, Outcome};
use crate::lines::Format;
use crate::session::ClientFlags;

/// Write all pairs as lines: key, tab, value; sorted by key
#[derive(Args, Debug)]
#[command(after_help = "\
Every page is read in the order of all operations; pairs written meanwhile may or may not be included.
A key with a tab, or a key or value with a line feed, has no plain line: use --escaped, here and for the import.

Examples:
  vr kv export pairs.tsv
  vr kv export | head")]
pub(crate) struct Export {
    #[command(flatten)]
    client: ClientFlags,
    /// Write tab, line feed, carriage return and backslash as \t, \n, \r and \\
    #[arg(long)]
    escaped: bool,
    /// Only keys that start with this
    #[arg(long, default_value = "")]
    prefix: String,
    /// The file to write; - for standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

impl Export {
    pub(crate) async fn run(self) -> Outcome {
        let format = if self.escaped { Format::Escaped } else { Format::Plain };
        let session = self.client.connect(1)?;
        let mut out = self.open()?;
        let mut pages = Pages::new(session, self.prefix.clone().into_bytes(), 0);
        let mut lines = Vec::new();
        while let Some(page) = pages.next().await? {
            lines.clear();
            for (key, value) in page.pairs()? {
                format.write_pair(&mut lines, key, value).map_err(|malformed| {
                    let what = format!("cannot export the pair of key \"{}\"", key.escape_ascii());
                    Failure::new(what, malformed, "vr kv export --escaped")
                })?;
            }
            out.write_all(&lines).map_err(|error| self.unwritable(&error))?;
        }
        out.flush().map_err(|error| self.unwritable(&error))?;
        Ok(0)
    }

    fn open(&self) -> Result<Box<dyn Write>, Failure> {
        if self.is_standard_output() {
            return Ok(Box::new(BufWriter::new(io::stdout())));
        }
        let file = File::create(&self.file).map_err(|error| self.unwritable(&error))?;
        Ok(Box::new(BufWriter::new(file)))
    }

    fn is_standard_output(&self) -> bool {
        self.file.as_os_str() == "-"
    }

    fn unwritable(&self, error: &io::Error) -> Failure {
        if self.is_standard_output() {
            return Failure::output(error);
        }
        Failure::new(
            format!("cannot write {}", self.file.display()),
            error,
            "name a file that can be written, or - for standard output",
        )
    }
}
