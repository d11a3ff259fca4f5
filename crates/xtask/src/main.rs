//! Repository chores: `cargo xtask mutants` proves that the tests see the bugs they are there for.

mod mutants;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["mutants", names @ ..] => mutants::run(names),
        _ => Err(
            "usage: cargo xtask mutants [--jobs N] [NAME...]\n\nApplies each patch of mutants/ to a scratch copy and expects \
             the tests it names to fail, or to pass if it is harmless. N at a time; default: one for each core."
                .into(),
        ),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
