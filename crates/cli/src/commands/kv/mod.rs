//! `vr kv`: the built-in map, key by key and file by file.

mod export;
mod import;

use clap::{Args, Subcommand};
use serde::Serialize;
use viewstamped_map::{Operation, Reply};

use crate::failure::{EXIT_NO, Failure, Outcome};
use crate::lines::Format;
use crate::output::{self, OutputFormat};
use crate::session::{ClientFlags, Session, unexpected_reply};

/// Read and write the built-in replicated map
#[derive(Args, Debug)]
#[command(after_help = "\
Keys have 1 to 4096 bytes, values up to 1 MiB; both may hold any bytes.

Examples:
  vr kv put greeting hello
  vr kv get greeting
  vr kv list user/ --limit 10
  vr kv import pairs.tsv
  vr kv export > pairs.tsv")]
pub(crate) struct Kv {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Put(Put),
    Get(Get),
    Delete(Delete),
    List(List),
    Import(import::Import),
    Export(export::Export),
}

/// Give a key a value
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  vr kv put greeting hello")]
struct Put {
    #[command(flatten)]
    client: ClientFlags,
    /// The key
    key: String,
    /// Its new value
    value: String,
}

/// Print the value of a key
#[derive(Args, Debug)]
#[command(after_help = "\
Exit code: 0 when the key has a value, 1 when it has none.

Examples:
  vr kv get greeting
  vr kv get greeting -o json")]
struct Get {
    #[command(flatten)]
    client: ClientFlags,
    /// How to show it; the value is printed as it is, with a line feed
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
    /// The key
    key: String,
}

/// Remove a key
#[derive(Args, Debug)]
#[command(after_help = "\
Exit code: 0 when the key was removed, 1 when it had no value.

Example:
  vr kv delete greeting")]
struct Delete {
    #[command(flatten)]
    client: ClientFlags,
    /// The key
    key: String,
}

/// Print keys with their values, in order
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  vr kv list
  vr kv list user/ --limit 10 -o json")]
struct List {
    #[command(flatten)]
    client: ClientFlags,
    /// How to show them: a line with key, tab and value each (escaped: \\t, \\n, \\r, \\\\), or one JSON document
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
    /// The most keys to print; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    limit: u64,
    /// Only keys that start with this
    #[arg(default_value = "")]
    prefix: String,
}

/// A pair in JSON. Bytes that are not UTF-8 are shown as the replacement character; `vr kv export` keeps them.
#[derive(Serialize)]
struct Pair {
    key: String,
    value: String,
}

impl Pair {
    fn new(key: &[u8], value: &[u8]) -> Self {
        Self { key: String::from_utf8_lossy(key).into_owned(), value: String::from_utf8_lossy(value).into_owned() }
    }
}

impl Kv {
    pub(crate) async fn run(self) -> Outcome {
        match self.command {
            Command::Put(put) => put.run().await,
            Command::Get(get) => get.run().await,
            Command::Delete(delete) => delete.run().await,
            Command::List(list) => list.run().await,
            Command::Import(import) => import.run().await,
            Command::Export(export) => export.run().await,
        }
    }
}

impl Put {
    async fn run(self) -> Outcome {
        let session = self.client.connect(1)?;
        let operation = Operation::Put { key: self.key.as_bytes(), value: self.value.as_bytes() };
        done(&session.execute(operation).await?).map(|_existed| 0)
    }
}

impl Get {
    async fn run(self) -> Outcome {
        let session = self.client.connect(1)?;
        let result = session.execute(Operation::Get { key: self.key.as_bytes() }).await?;
        match (Reply::decode(&result).map_err(unexpected_reply)?, self.output) {
            (Reply::Value(Some(value)), OutputFormat::Table) => output::bytes(&[value, b"\n"].concat())?,
            (Reply::Value(Some(value)), OutputFormat::Json) => output::json(&Pair::new(self.key.as_bytes(), value))?,
            (Reply::Value(None), _) => return Ok(missing(&self.key)),
            (other, _) => return Err(unexpected_reply(format!("{other:?}"))),
        }
        Ok(0)
    }
}

impl Delete {
    async fn run(self) -> Outcome {
        let session = self.client.connect(1)?;
        let existed = done(&session.execute(Operation::Delete { key: self.key.as_bytes() }).await?)?;
        Ok(if existed { 0 } else { missing(&self.key) })
    }
}

impl List {
    async fn run(self) -> Outcome {
        let session = self.client.connect(1)?;
        let mut pairs = Vec::new();
        let mut pages = Pages::new(session, self.prefix.into_bytes(), self.limit);
        while let Some(page) = pages.next().await? {
            for (key, value) in page.pairs()? {
                match self.output {
                    OutputFormat::Json => pairs.push(Pair::new(key, value)),
                    OutputFormat::Table => {
                        let mut line = Vec::new();
                        Format::Escaped.write_pair(&mut line, key, value).expect("every pair has an escaped line");
                        output::bytes(&line)?;
                    }
                }
            }
        }
        if self.output == OutputFormat::Json {
            output::json(&pairs)?;
        }
        Ok(0)
    }
}

fn missing(key: &str) -> u8 {
    output::remark(format_args!("{key}: no such key"));
    EXIT_NO
}

/// Whether the key existed before it was put or deleted.
fn done(result: &[u8]) -> Result<bool, Failure> {
    match Reply::decode(result).map_err(unexpected_reply)? {
        Reply::Done { existed } => Ok(existed),
        other => Err(unexpected_reply(format!("{other:?}"))),
    }
}

/// Reads the keys with a prefix page by page: memory stays small however many there are.
struct Pages {
    session: Session,
    prefix: Vec<u8>,
    after: Vec<u8>,
    /// How many pairs are still wanted; `None` for all.
    left: Option<u64>,
    is_finished: bool,
}

/// A page of pairs, still encoded.
struct Page(bytes::Bytes);

impl Pages {
    /// All pages, or those with the first `limit` pairs if that is not 0.
    fn new(session: Session, prefix: Vec<u8>, limit: u64) -> Self {
        let left = (limit != 0).then_some(limit);
        Self { session, prefix, after: Vec::new(), left, is_finished: false }
    }

    /// The next page, with at least one pair.
    ///
    /// # Errors
    /// When the group has no answer.
    async fn next(&mut self) -> Result<Option<Page>, Failure> {
        if self.is_finished || self.left == Some(0) {
            return Ok(None);
        }
        let limit = self.left.map_or(0, |left| u32::try_from(left).unwrap_or(u32::MAX));
        let operation = Operation::List { prefix: &self.prefix, after: &self.after, limit };
        let page = Page(self.session.execute(operation).await?);
        let (pairs, more) = page.content()?;
        self.is_finished = !more;
        self.left = self.left.map(|left| left.saturating_sub(pairs.len() as u64));
        let Some((last, _)) = pairs.last() else { return Ok(None) };
        self.after = last.to_vec();
        drop(pairs);
        Ok(Some(page))
    }
}

type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

impl Page {
    fn pairs(&self) -> Result<Pairs<'_>, Failure> {
        self.content().map(|(pairs, _)| pairs)
    }

    fn content(&self) -> Result<(Pairs<'_>, bool), Failure> {
        match Reply::decode(&self.0).map_err(unexpected_reply)? {
            Reply::Page { pairs, more } => Ok((pairs, more)),
            other => Err(unexpected_reply(format!("{other:?}"))),
        }
    }
}
