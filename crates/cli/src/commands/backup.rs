//! `vr backup`: one checkpoint in one file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use viewstamped::ClusterId;
use viewstamped_storage::backup::{self, Inspected};
use viewstamped_storage::io::RealDisk;
use viewstamped_storage::pages::{self, Loaded, ReadError};

use crate::failure::{Failure, Outcome};
use crate::files::{hexadecimal, unreadable};
use crate::human::grouped;
use crate::output::{self, OutputFormat};
use crate::table::Table;

/// How often a checkpoint is read anew that seems damaged: a running replica may have put a newer one in its place.
const ATTEMPTS: u32 = 3;

/// Save a checkpoint into one file, and look at such files
#[derive(Args, Debug)]
pub(crate) struct Backup {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Save(Save),
    Inspect(Inspect),
}

/// Save the newest checkpoint in the directory of a replica, which may be running
#[derive(Args, Debug)]
#[command(after_help = "\
Run it on the machine of a replica. What was done after its newest checkpoint is not in it: `vr checkpoint now` takes one.
A new cluster cannot be begun from it yet. The file is complete and durable under its name, or not there at all; every
byte of the checkpoint was verified when it was read.

Example:
  vr checkpoint now
  vr backup save /var/lib/vr group.backup")]
struct Save {
    /// The directory of the replica
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The file to write, which must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Verify the checksum of a backup, and show what it holds
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  vr backup inspect group.backup")]
struct Inspect {
    /// How to show it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Backup {
    pub(crate) fn run(self) -> Outcome {
        match self.command {
            Command::Save(save) => save.run(),
            Command::Inspect(inspect) => inspect.run(),
        }
    }
}

impl Save {
    fn run(self) -> Outcome {
        let what = format!("cannot write {}", self.file.display());
        if self.file.exists() {
            return Err(Failure::new(what, "it exists", "name a new file, or remove that one first"));
        }
        let (cluster, checkpoint) = self.read()?;
        let bytes = self.write(cluster, &checkpoint).map_err(|error| {
            Failure::new(what, error, "check the permissions and the room there, and run the command again")
        })?;
        output::line(format_args!(
            "saved checkpoint {} of cluster 0x{:x}: {} bytes in {}",
            checkpoint.id.op,
            cluster.0,
            grouped(bytes),
            self.file.display()
        ))?;
        Ok(0)
    }

    fn read(&self) -> Result<(ClusterId, Loaded), Failure> {
        let disk = RealDisk::new(&self.directory);
        let mut attempt = 0;
        loop {
            attempt += 1;
            match pages::read(&disk) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {
                    let what = format!("there is nothing to save in {}", self.directory.display());
                    return Err(Failure::new(what, "no checkpoint was saved there yet", "vr checkpoint now"));
                }
                Err(ReadError::Open(error)) => return Err(unreadable(&self.directory, &error)),
                Err(_) if attempt < ATTEMPTS => {}
                Err(error) => {
                    let what = format!("cannot save the checkpoint in {}", self.directory.display());
                    return Err(Failure::new(
                        what,
                        error,
                        format!("vr checkpoint verify {}", self.directory.display()),
                    ));
                }
            }
        }
    }

    /// Under another name until it is complete.
    fn write(&self, cluster: ClusterId, checkpoint: &Loaded) -> io::Result<u64> {
        let mut name: OsString = self.file.clone().into();
        name.push(".tmp");
        let temporary = PathBuf::from(name);
        let written = write_durably(&temporary, cluster, checkpoint).and_then(|bytes| {
            fs::rename(&temporary, &self.file)?;
            let parent = self.file.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(bytes)
        });
        if written.is_err() {
            // What is left of it is no backup; the error that counts is the first.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

fn write_durably(path: &Path, cluster: ClusterId, checkpoint: &Loaded) -> io::Result<u64> {
    let mut file = File::create(path)?;
    let bytes = backup::write(&checkpoint.files(), cluster, &mut file)?;
    file.flush()?;
    file.sync_all()?;
    Ok(bytes)
}

#[derive(Serialize)]
struct Document {
    cluster: String,
    op: u64,
    root: String,
    service_keys: u64,
    service_bytes: u64,
    client_table_keys: u64,
    parts: u64,
    bytes: u64,
}

impl Inspect {
    fn run(self) -> Outcome {
        let refused = |error: &dyn std::fmt::Display| {
            Failure::new(format!("cannot read the backup {}", self.file.display()), error, "")
        };
        let file = File::open(&self.file).map_err(|error| refused(&error))?;
        let found = backup::inspect(file).map_err(|error| refused(&error))?;
        match self.output {
            OutputFormat::Json => output::json(&Document::of(&found))?,
            OutputFormat::Table => print(&Document::of(&found))?,
        }
        Ok(0)
    }
}

impl Document {
    fn of(found: &Inspected) -> Self {
        Self {
            cluster: format!("0x{:x}", found.cluster.0),
            op: found.id.op,
            root: hexadecimal(&found.id.root),
            service_keys: found.service_keys,
            service_bytes: found.service_bytes,
            client_table_keys: found.client_table_keys,
            parts: found.parts,
            bytes: found.bytes,
        }
    }
}

fn print(found: &Document) -> Result<(), Failure> {
    let mut table = Table::new(["of cluster", "op", "keys", "bytes", "file bytes", "root"]);
    let mut cells = vec![found.cluster.clone(), found.op.to_string()];
    cells.extend([found.service_keys, found.service_bytes, found.bytes].map(grouped));
    cells.push(found.root.clone());
    table.row(cells);
    table.lines().try_for_each(output::line)
}
