//! What the commands share that look at the files of a replica.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use viewstamped_storage::pages::{self, OpenError};

use crate::failure::Failure;

/// The failure when the page file of a replica cannot be opened.
pub(crate) fn unreadable(directory: &Path, error: &OpenError) -> Failure {
    let what = format!("cannot read the checkpoints in {}", directory.display());
    match error {
        OpenError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            let why = format!("there is no file `{}`", pages::PAGES);
            Failure::new(what, why, "name the directory of a replica that has been started")
        }
        _ => Failure::new(what, error, ""),
    }
}

/// A hash as people compare it.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
