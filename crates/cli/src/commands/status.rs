//! `vr status`: how each replica is, and what that means for the group.

use clap::Args;
use serde::Serialize;
use viewstamped::NodeStatus;

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
    ]);
    for answer in answers {
        table.row(cells(answer));
    }
    for line in table.lines() {
        output::line(line)?;
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
        cells.resize_with(14, unknown);
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
    cells
}
