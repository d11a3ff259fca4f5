//! `vr status`: how each replica is, and what that means for the group.

use clap::Args;
use serde::Serialize;
use viewstamped::{CheckpointStatus, NodeStatus};

use crate::failure::{Failure, Outcome};
use crate::health::{Health, Verdict, judge};
use crate::output::{self, OutputFormat};
use crate::session::{Answer, Endpoints, ask_all};
use crate::table::Table;

/// Show how each replica is, and judge the group by it
#[derive(Args, Debug)]
#[command(after_help = "\
Exit code: 0 healthy (all members answer, are normal and in one view), 1 degraded, 2 no quorum.

Examples:
  vr status
  vr status --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 -o json
  until vr status; do sleep 1; done")]
pub(crate) struct Status {
    #[command(flatten)]
    endpoints: Endpoints,
    /// How to show it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Serialize)]
struct Document<'a> {
    verdict: Verdict,
    problems: &'a [String],
    replicas: Vec<Replica<'a>>,
}

#[derive(Serialize)]
struct Replica<'a> {
    endpoint: &'a str,
    reachable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    status: Option<&'a NodeStatus>,
}

impl Status {
    pub(crate) async fn run(self) -> Outcome {
        let answers = ask_all(&self.endpoints.endpoints).await;
        let health = judge(&answers);
        match self.output {
            OutputFormat::Table => print_table(&answers, &health)?,
            OutputFormat::Json => print_json(&answers, &health)?,
        }
        Ok(health.verdict.code())
    }
}

fn print_json(answers: &[Answer], health: &Health) -> Result<(), Failure> {
    let replicas = answers.iter().map(|answer| Replica {
        endpoint: &answer.endpoint,
        reachable: answer.status.is_ok(),
        error: answer.status.as_ref().err().map(ToString::to_string),
        status: answer.status.as_ref().ok(),
    });
    output::json(&Document { verdict: health.verdict, problems: &health.problems, replicas: replicas.collect() })
}

/// Of the table.
const COLUMNS: usize = 18;

fn print_table(answers: &[Answer], health: &Health) -> Result<(), Failure> {
    let mut table = Table::new([
        "endpoint",
        "id",
        "pid",
        "role",
        "status",
        "view",
        "primary",
        "op",
        "commit",
        "executed",
        "epoch",
        "lag",
        "incarnation",
        "durability",
        "log-base",
        "checkpoint",
        "on-disk",
        "journal",
    ]);
    for answer in answers {
        table.row(cells(answer));
    }
    for line in table.lines() {
        output::line(line)?;
    }
    for remark in answers.iter().filter_map(|answer| answer.status.as_ref().ok()).flat_map(remarks) {
        output::line(remark)?;
    }
    output::line(health.verdict.as_str())?;
    for problem in &health.problems {
        output::line(format_args!("  {problem}"))?;
    }
    Ok(())
}

fn cells(answer: &Answer) -> Vec<String> {
    let endpoint = answer.endpoint.clone();
    let Ok(status) = &answer.status else {
        let unknown = || "-".to_owned();
        let mut cells = vec![endpoint, unknown(), unknown(), unknown(), "unreachable".to_owned()];
        cells.resize_with(COLUMNS, unknown);
        return cells;
    };
    let mut cells =
        vec![endpoint, status.id.to_string(), status.pid.to_string(), status.role.clone(), status.status.clone()];
    let numbers = [
        status.view,
        status.primary,
        status.op,
        status.commit,
        status.executed,
        status.epoch,
        status.lag,
        status.incarnation,
    ];
    cells.extend(numbers.map(|number| number.to_string()));
    cells.push(status.durability.clone());
    cells.push(status.log_base.to_string());
    cells.push(checkpoint(&status.checkpoint));
    cells.push(status.checkpoint_saved.to_string());
    cells.push(journal(status));
    cells
}

/// As much of the root as tells roots apart; `-o json` has all of it.
fn checkpoint(checkpoint: &CheckpointStatus) -> String {
    if checkpoint.op == 0 {
        return "-".to_owned();
    }
    format!("{}#{}", checkpoint.op, checkpoint.root.get(..8).unwrap_or_default())
}

/// How far the journal certainly holds the log.
fn journal(status: &NodeStatus) -> String {
    match (status.journal.is_broken, status.durability.as_str()) {
        (true, _) => format!("broken at {}", status.journal.durable_op),
        (false, "replicated" | "") => "-".to_owned(),
        (false, _) => status.journal.durable_op.to_string(),
    }
}

/// What a replica is busy with that no column shows.
fn remarks(status: &NodeStatus) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(transfer) = &status.transfer {
        remarks.push(format!(
            "replica {} fetches checkpoint {}: {} %, {} of {} keys, {} pages and {} bytes fetched",
            status.id,
            checkpoint(&transfer.checkpoint),
            transfer.percent,
            transfer.keys,
            transfer.keys_total,
            transfer.parts,
            transfer.bytes
        ));
    }
    if status.divergent {
        remarks.push(format!(
            "the state of replica {} is not that of a quorum, whose checkpoint is {}; it is being repaired",
            status.id,
            checkpoint(&status.quorum_checkpoint)
        ));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use viewstamped::{JournalStatus, TransferStatus};

    use super::*;

    #[test]
    fn a_checkpoint_is_shown_short_and_a_broken_journal_by_name() {
        let root = "0123456789abcdef".to_owned();
        assert_eq!(checkpoint(&CheckpointStatus { op: 640, root }), "640#01234567");
        assert_eq!(checkpoint(&CheckpointStatus::default()), "-");
        let of = |durability: &str, is_broken| NodeStatus {
            durability: durability.to_owned(),
            journal: JournalStatus { durable_op: 7, is_broken },
            ..NodeStatus::default()
        };
        assert_eq!(journal(&of("replicated", false)), "-");
        assert_eq!(journal(&of("synchronous", false)), "7");
        assert_eq!(journal(&of("background", true)), "broken at 7");
    }

    #[test]
    fn a_transfer_is_told_with_its_progress() {
        let transfer = TransferStatus { percent: 45, keys: 9, keys_total: 20, ..TransferStatus::default() };
        let status = NodeStatus { id: 2, transfer: Some(transfer), divergent: true, ..NodeStatus::default() };
        let remarks = remarks(&status).join("; ");
        assert!(remarks.contains("replica 2 fetches") && remarks.contains("45 %, 9 of 20 keys"), "{remarks}");
        assert!(remarks.contains("not that of a quorum"), "{remarks}");
    }
}
