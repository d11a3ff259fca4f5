//! `vr kv import`: lines in, pairs put, many requests outstanding.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use viewstamped::{ClientError, Pending};
use viewstamped_map::Operation;

use super::done;
use crate::failure::{Failure, Outcome};
use crate::human::grouped;
use crate::lines::Format;
use crate::output;
use crate::session::{ClientFlags, Session};

/// Put the pairs of lines: key, tab, value
#[derive(Args, Debug)]
#[command(after_help = "\
The key ends at the first tab; everything up to the line feed is the value. Of two lines with one key the later one wins.
When a line is not of this form, the lines before it have been put. Importing a whole file again does no harm.

Examples:
  vr kv import pairs.tsv
  zcat Contents-amd64.gz | awk '{print $1 \"\\t\" $2}' | vr kv import")]
pub(crate) struct Import {
    #[command(flatten)]
    client: ClientFlags,
    /// Read \t, \n, \r and \\ as tab, line feed, carriage return and backslash
    #[arg(long)]
    escaped: bool,
    /// The most requests outstanding at once
    #[arg(long, value_name = "COUNT", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    outstanding: u32,
    /// The file to read; - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

/// How many lines are read before they are needed.
const LINES_READ_AHEAD: usize = 1_024;

/// How often progress is shown: on a terminal, and elsewhere.
const PROGRESS_TERMINAL: Duration = Duration::from_millis(200);
const PROGRESS_LOG: Duration = Duration::from_secs(5);

impl Import {
    pub(crate) async fn run(self) -> Outcome {
        let format = if self.escaped { Format::Escaped } else { Format::Plain };
        let mut lines = read_lines(self.open()?);
        let session = self.client.connect(self.outstanding)?;
        let mut window = Window::new(session, self.outstanding as usize);
        let mut number = 0_u64;
        while let Some(line) = lines.recv().await {
            number += 1;
            let line = line.map_err(|error| self.unreadable(&error))?;
            if let Err(failure) = put_line(&mut window, format, &line, number).await {
                // What was read before the line at fault is put, as the help says.
                window.finish().await?;
                return Err(failure);
            }
        }
        window.finish().await?;
        window.progress.show(true);
        Ok(0)
    }

    fn open(&self) -> Result<Box<dyn Read + Send>, Failure> {
        if self.file.as_os_str() == "-" {
            return Ok(Box::new(io::stdin()));
        }
        let file = File::open(&self.file).map_err(|error| self.unreadable(&error))?;
        Ok(Box::new(file))
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::new(
            format!("cannot read {}", self.file.display()),
            error,
            "name a file of lines, or - for standard input",
        )
    }
}

/// Reads lines, without their line feeds, on a thread of its own: a slow pipe must not keep the client from its retries.
fn read_lines(input: Box<dyn Read + Send>) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(LINES_READ_AHEAD);
    std::thread::spawn(move || {
        for line in BufReader::new(input).split(b'\n') {
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

async fn put_line(window: &mut Window, format: Format, line: &[u8], number: u64) -> Result<(), Failure> {
    let at_fault = |why: &dyn std::fmt::Display| {
        let next = "correct the line and import the file again; the lines before it have been put";
        Failure::new(format!("line {number} is not key, tab, value"), why, next)
    };
    let (key, value) = format.read_pair(line).map_err(|malformed| at_fault(&malformed))?;
    let payload = Operation::Put { key: &key, value: &value }.encode().map_err(|malformed| at_fault(&malformed))?;
    window.put(key, payload).await
}

/// The requests outstanding: at most one for each key, so that of two values the later one stays.
struct Window {
    session: Session,
    room: usize,
    keys: HashSet<Vec<u8>>,
    requests: JoinSet<(Vec<u8>, Result<viewstamped::Completion, ClientError>)>,
    progress: Progress,
}

impl Window {
    fn new(session: Session, room: usize) -> Self {
        Self { session, room, keys: HashSet::new(), requests: JoinSet::new(), progress: Progress::new() }
    }

    async fn put(&mut self, key: Vec<u8>, payload: bytes::Bytes) -> Result<(), Failure> {
        while self.requests.len() >= self.room || self.keys.contains(&key) {
            self.complete_one().await?;
        }
        let pending: Pending = self.session.client().submit(payload);
        self.keys.insert(key.clone());
        self.requests.spawn(async move { (key, pending.await) });
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        while !self.requests.is_empty() {
            self.complete_one().await?;
        }
        Ok(())
    }

    async fn complete_one(&mut self) -> Result<(), Failure> {
        let Some(joined) = self.requests.join_next().await else { return Ok(()) };
        let (key, result) = joined.expect("waiting for a result does not panic");
        match result {
            Ok(completion) => done(&completion.result)?,
            Err(error) => return Err(self.session.explain(&error).await),
        };
        self.keys.remove(&key);
        self.progress.count += 1;
        self.progress.show(false);
        Ok(())
    }
}

/// How far the import is, on standard error.
struct Progress {
    count: u64,
    started: Instant,
    shown: Instant,
    is_terminal: bool,
}

impl Progress {
    fn new() -> Self {
        let now = Instant::now();
        Self { count: 0, started: now, shown: now, is_terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, is_last: bool) {
        let now = Instant::now();
        let interval = if self.is_terminal { PROGRESS_TERMINAL } else { PROGRESS_LOG };
        if !is_last && now.duration_since(self.shown) < interval {
            return;
        }
        self.shown = now;
        let seconds = now.duration_since(self.started).as_secs_f64().max(1e-9);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate for people"
        )]
        let rate = (self.count as f64 / seconds) as u64;
        let text = format!("{} pairs put, {} a second", grouped(self.count), grouped(rate));
        // On a terminal the line is written over until the last time.
        let start = if self.is_terminal { "\r" } else { "" };
        let end = if self.is_terminal && !is_last { " " } else { "\n" };
        output::remark_part(format_args!("{start}{text}{end}"));
    }
}
