//! Runs the systems in alternation, for every load and round, and hands the results on.

use super::chart;
use super::flags::LoadFlags;
use super::run::{self, Run};
use super::show;
use super::summary::Document;
use crate::failure::{EXIT_NO, Failure, Outcome};
use crate::output::{self, OutputFormat};

/// Measures what the flags ask for.
pub(super) async fn run(what: &str, reads_percent: u32, flags: LoadFlags) -> Outcome {
    let runs = measure(reads_percent, &flags).await?;
    if let Some(path) = &flags.plot {
        let svg = chart::chart(what, &runs).svg();
        std::fs::write(path, svg).map_err(|error| {
            let what = format!("cannot write the plot {}", path.display());
            Failure::new(what, error, "name a file that can be written: --plot FILE.svg")
        })?;
    }
    match (flags.output, &runs[..]) {
        (OutputFormat::Table, [only]) => show::one(what, only)?,
        (OutputFormat::Table, _) => show::several(what, &runs)?,
        (OutputFormat::Json, [only]) => output::json(only)?,
        (OutputFormat::Json, _) => output::json(&Document::new(&runs))?,
    }
    let errors: u64 = runs.iter().map(|run| run.report.errors).sum();
    Ok(if errors == 0 { 0 } else { EXIT_NO })
}

/// Every system once in every round, so that what disturbs the machine disturbs all of them.
async fn measure(reads_percent: u32, flags: &LoadFlags) -> Result<Vec<Run>, Failure> {
    let (plans, rounds) = (flags.plans(reads_percent)?, flags.rounds());
    let is_long = plans.len() > 1 || rounds > 1 || flags.compare.is_some();
    let mut runs = Vec::new();
    for plan in &plans {
        for round in 1..=rounds {
            let tell = |system: &str| {
                if is_long {
                    output::remark(format_args!("{}, round {round} of {rounds}: {system}", plan.arrivals));
                }
            };
            if let Some(rival) = &flags.compare {
                tell(&rival.name());
                runs.push(run::theirs(rival, plan, flags).await?);
            }
            tell(run::OURS);
            runs.push(run::ours(plan, flags).await?);
        }
    }
    Ok(runs)
}
