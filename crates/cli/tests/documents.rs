//! What the documents promise exists: the README's example is the one that is compiled, commands and flags are those of `vr`.

mod support;

use support::{code, run, stderr, stdout};

const README: &str = include_str!("../../../README.md");
const BENCHMARKS: &str = include_str!("../../../docs/benchmarks.md");
const EXAMPLE: &str = include_str!("../../../examples/counter.rs");

#[test]
fn readme_is_short_and_shows_the_example_that_is_compiled() {
    assert!(README.lines().count() < 130, "{} lines", README.lines().count());
    assert!(
        README.contains(&format!("```rust\n{EXAMPLE}```\n")),
        "the example in the README differs from examples/counter.rs"
    );
    assert!(EXAMPLE.lines().count() <= 40, "{} lines", EXAMPLE.lines().count());
}

#[test]
fn every_command_in_the_documents_exists_with_its_flags() {
    for document in [README, BENCHMARKS] {
        check_commands(document);
    }
}

fn check_commands(document: &str) {
    let commands: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("    vr ")).collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().take_while(|word| *word != "#" && *word != "|").collect();
        let names: Vec<&str> = words.iter().copied().take_while(|word| !word.starts_with('-')).take(2).collect();
        // A second word is a subcommand only of these; elsewhere it is an argument.
        let depth = if matches!(names[0], "kv" | "bench") { 2 } else { 1 };
        let help = run(&[&names[..depth], &["--help"]].concat());
        assert_eq!(code(&help), 0, "vr {command}: {}", stderr(&help));
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(stdout(&help).contains(&format!("{flag} ")), "vr {command}: there is no {flag}");
        }
    }
}
