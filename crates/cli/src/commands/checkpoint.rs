//! `vr checkpoint`: takes one now, and looks at those on a replica's disk.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;
use viewstamped::{ClientId, EpochNumber, NodeStatus, fetch_status, take_checkpoint};
use viewstamped_storage::io::RealDisk;
use viewstamped_storage::pages::{self, Listing, Verdict, Verified, Verifying};

use crate::failure::{EXIT_NO, EXIT_NO_QUORUM, Failure, Outcome};
use crate::files::{hexadecimal, unreadable};
use crate::formatting;
use crate::human::{Span, grouped};
use crate::members::cluster_of;
use crate::output::{self, OutputFormat};
use crate::session::{Endpoints, STATUS_TIMEOUT, ask_all};
use crate::table::Table;

/// How often the primary is asked whether the checkpoint is there.
const INTERVAL: Duration = Duration::from_millis(50);

/// How often a checkpoint is verified anew when a newer one was saved in the meantime.
const ATTEMPTS: u32 = 3;

/// Take a checkpoint, list and verify those on disk
#[derive(Args, Debug)]
pub(crate) struct Checkpoint {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Now(Now),
    List(List),
    Verify(Verify),
}

/// Have the group take a checkpoint now, and wait until it is there
#[derive(Args, Debug)]
#[command(after_help = "\
All replicas take it at the same operation. The root is a hash over all of the state: replicas that have executed the same
have the same root.

Examples:
  vr checkpoint now
  vr checkpoint now --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 -o json")]
struct Now {
    #[command(flatten)]
    endpoints: Endpoints,
    /// How long it may take
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Span,
    /// How to show it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// List the checkpoints in the directory of a replica, which may be running
#[derive(Args, Debug)]
#[command(after_help = "\
The newest comes first. What only the older one has is overwritten by the next checkpoint.

Exit code: 0, or 1 when something is damaged.

Example:
  vr checkpoint list /var/lib/vr")]
struct List {
    /// How to show it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
    /// The directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Read every byte of the newest checkpoint in the directory of a replica, which may be running
#[derive(Args, Debug)]
#[command(after_help = "\
Nothing is changed. A replica that is damaged is repaired by starting it with an empty directory: it fetches everything
from the others (`vr start --help`).

Exit code: 0 when every byte is what was written, 1 when something is damaged.

Example:
  vr checkpoint verify /var/lib/vr")]
struct Verify {
    /// How to show it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
    /// The directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Checkpoint {
    pub(crate) async fn run(self) -> Outcome {
        match self.command {
            Command::Now(now) => now.run().await,
            Command::List(list) => list.run(),
            Command::Verify(verify) => verify.run(),
        }
    }
}

impl Now {
    async fn run(self) -> Outcome {
        #[derive(Serialize)]
        struct Taken<'a> {
            op: u64,
            root: &'a str,
        }
        let (op, root) = self.take().await?;
        match self.output {
            OutputFormat::Json => output::json(&Taken { op, root: &root })?,
            OutputFormat::Table => output::line(format_args!("checkpoint {op} is taken, root {root}"))?,
        }
        Ok(0)
    }

    /// The first checkpoint that the primary shows at or after the one that was asked for, as another may be due right behind it.
    async fn take(&self) -> Result<(u64, String), Failure> {
        let deadline = Instant::now() + self.timeout.0;
        let mut asked = None;
        loop {
            let why = match self.attempt(&mut asked).await? {
                Ok(taken) => return Ok(taken),
                Err(why) => why,
            };
            if Instant::now() > deadline {
                let what = format!("no checkpoint after {} s", self.timeout.0.as_secs());
                let next = format!("vr status --endpoints {}", self.endpoints.endpoints.join(","));
                return Err(Failure::new(what, why, next).with_code(EXIT_NO_QUORUM));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Asks once more for what is missing: the checkpoint itself, or its root. The error says why it is still missing.
    async fn attempt(&self, asked: &mut Option<u64>) -> Result<Result<(u64, String), String>, Failure> {
        let Some((endpoint, status)) = self.primary().await else { return Ok(Err("there is no primary".to_owned())) };
        if let Some(op) = *asked {
            return Ok(match fetch_status(&endpoint, STATUS_TIMEOUT).await {
                Ok(now) if now.checkpoint.op >= op => Ok((now.checkpoint.op, now.checkpoint.root)),
                Ok(_) => Err(format!("the root of checkpoint {op} is being computed")),
                Err(error) => Err(error.to_string()),
            });
        }
        let (cluster, epoch) = (cluster_of(&status.cluster)?, EpochNumber(status.epoch));
        let client = ClientId(formatting::random()?);
        Ok(match take_checkpoint(&endpoint, cluster, epoch, client, self.timeout.0).await {
            Ok(op) => {
                *asked = Some(op.0);
                Err(format!("the root of checkpoint {} is being computed", op.0))
            }
            Err(error) => Err(error.to_string()),
        })
    }

    async fn primary(&self) -> Option<(String, NodeStatus)> {
        let answers = ask_all(&self.endpoints.endpoints).await.into_iter();
        answers
            .filter_map(|answer| Some((answer.endpoint, answer.status.ok()?)))
            .filter(|(_, status)| status.role == "primary")
            .max_by_key(|(_, status)| status.view)
    }
}

#[derive(Serialize)]
struct ListDocument {
    cluster: Option<String>,
    damage: Option<String>,
    checkpoints: Vec<ListedDocument>,
}

#[derive(Serialize)]
struct ListedDocument {
    op: u64,
    root: String,
    generation: u64,
    service_keys: u64,
    service_bytes: u64,
    client_table_keys: u64,
    damage: Option<String>,
}

impl List {
    fn run(self) -> Outcome {
        let listing =
            pages::list(&RealDisk::new(&self.directory)).map_err(|error| unreadable(&self.directory, &error))?;
        let document = ListDocument::of(&listing);
        match self.output {
            OutputFormat::Json => output::json(&document)?,
            OutputFormat::Table => document.print(&self.directory)?,
        }
        Ok(if document.is_damaged() { EXIT_NO } else { 0 })
    }
}

impl ListDocument {
    fn of(listing: &Listing) -> Self {
        let damage = match &listing.verdict {
            Verdict::Doubt(damage) => Some(damage.to_string()),
            Verdict::Empty | Verdict::Sound => None,
        };
        let checkpoints = listing.checkpoints.iter().map(|listed| ListedDocument {
            op: listed.id.op,
            root: hexadecimal(&listed.id.root),
            generation: listed.generation,
            service_keys: listed.service_keys,
            service_bytes: listed.service_bytes,
            client_table_keys: listed.client_table_keys,
            damage: listed.header.as_ref().err().map(ToString::to_string),
        });
        let cluster = listing.cluster.map(|cluster| format!("0x{:x}", cluster.0));
        Self { cluster, damage, checkpoints: checkpoints.collect() }
    }

    fn is_damaged(&self) -> bool {
        // What only an older checkpoint has may be overwritten already.
        self.damage.is_some() || self.checkpoints.first().is_some_and(|newest| newest.damage.is_some())
    }

    fn print(&self, directory: &Path) -> Result<(), Failure> {
        if self.checkpoints.is_empty() {
            output::line(format_args!("{} holds no checkpoint yet", directory.display()))?;
        } else {
            let mut table = Table::new(["op", "keys", "bytes", "sessions and slots", "root"]);
            for listed in &self.checkpoints {
                let mut cells = vec![listed.op.to_string()];
                let counts = [listed.service_keys, listed.service_bytes, listed.client_table_keys];
                cells.extend(counts.map(grouped));
                cells.push(listed.root.clone());
                table.row(cells);
            }
            for line in table.lines() {
                output::line(line)?;
            }
        }
        let newest = self.checkpoints.first().and_then(|newest| newest.damage.as_ref());
        for damage in self.damage.iter().chain(newest) {
            output::line(format_args!("damaged: {damage}"))?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct VerifyDocument {
    op: u64,
    root: String,
    pages: u64,
    large_values: u64,
    bytes: u64,
    damages: Vec<String>,
}

impl Verify {
    fn run(self) -> Outcome {
        let found = self.verify()?;
        let Some(id) = found.id else {
            let why = "no checkpoint was saved there yet; what was done since the replica began is in its journal";
            return Err(Failure::new(
                format!("there is nothing to verify in {}", self.directory.display()),
                why,
                "vr checkpoint now",
            ));
        };
        let document = VerifyDocument {
            op: id.op,
            root: hexadecimal(&id.root),
            pages: found.pages,
            large_values: found.fields,
            bytes: found.bytes,
            damages: found.damages.iter().map(ToString::to_string).collect(),
        };
        match self.output {
            OutputFormat::Json => output::json(&document)?,
            OutputFormat::Table => document.print()?,
        }
        Ok(if document.damages.is_empty() { 0 } else { EXIT_NO })
    }

    /// Verifies until no newer checkpoint takes the place of what is read.
    fn verify(&self) -> Result<Verified, Failure> {
        let disk = RealDisk::new(&self.directory);
        let is_shown = io::stderr().is_terminal();
        let mut shown = Instant::now();
        let mut attempt = 0;
        loop {
            let found = pages::verify(&disk, |Verifying { keys, keys_total }| {
                if is_shown && shown.elapsed() > Duration::from_millis(200) {
                    shown = Instant::now();
                    output::remark_part(format_args!("\r{} of {} keys ", grouped(keys), grouped(keys_total)));
                }
            });
            let found = found.map_err(|error| unreadable(&self.directory, &error))?;
            attempt += 1;
            if !found.is_outdated || found.damages.is_empty() {
                return Ok(found);
            }
            if attempt == ATTEMPTS {
                let why = "the replica saved newer checkpoints while they were read";
                return Err(Failure::new("cannot tell whether the checkpoint is whole", why, "stop the replica first"));
            }
        }
    }
}

impl VerifyDocument {
    fn print(&self) -> Result<(), Failure> {
        let (pages, values, bytes) = (grouped(self.pages), grouped(self.large_values), grouped(self.bytes));
        let verdict = if self.damages.is_empty() { "is whole" } else { "is damaged" };
        output::line(format_args!("checkpoint {} {verdict}, root {}", self.op, self.root))?;
        output::line(format_args!("verified {pages} pages and {values} large keys and values, {bytes} bytes on disk"))?;
        for damage in &self.damages {
            output::line(format_args!("  {damage}"))?;
        }
        Ok(())
    }
}
