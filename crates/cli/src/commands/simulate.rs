//! `vr simulate`
use crate::failure::Outcome;
use clap::Args;
/// Simulate
#[derive(Args, Debug)]
#[command(after_help = "Example:\n vr")]
pub(crate) struct Simulate {}
impl Simulate {
    pub(crate) fn run(self) -> Outcome {
        Ok(0)
    }
}
