//! What the documents promise exists: the README's example is the one that is compiled, commands and flags are those of `vr`.

mod support;

use support::{code, run, stderr, stdout};

const README: &str = include_str!("../../../README.md");
const LIMITS: &str = include_str!("../../../docs/limits.md");
/// The sources that define options, and the structures in them.
const OPTIONS: [(&str, &str); 6] = [
    ("ClusterOptions", include_str!("../../protocol/src/options.rs")),
    ("Options", include_str!("../../protocol/src/options.rs")),
    ("TransportOptions", include_str!("../../viewstamped/src/config.rs")),
    ("StorageOptions", include_str!("../../viewstamped/src/disk/options.rs")),
    ("ClientOptions", include_str!("../../protocol/src/options.rs")),
    ("ConnectionOptions", include_str!("../../viewstamped/src/client/mod.rs")),
];
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

/// A limit that nobody can look up, or that is not what it says, is no limit.
#[test]
fn every_limit_is_listed_with_its_default() {
    for (structure, source) in OPTIONS {
        let heading = format!("(`{structure}`)");
        let section = LIMITS.split("\n## ").find(|section| section.lines().next().unwrap_or("").contains(&heading));
        let section = section.unwrap_or_else(|| panic!("there is no section {heading}"));
        let rows: Vec<(&str, &str)> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .map(|(name, rest)| (name, rest.split(" | ").next().unwrap_or("")))
            .collect();
        let options = documented_fields(source, structure);
        assert_eq!(rows.len(), options.len(), "{structure} and docs/limits.md differ");
        for ((row, default), (name, text)) in rows.into_iter().zip(options) {
            assert_eq!(row, name.replace('_', "-"), "{structure} and docs/limits.md differ in their order");
            let is_default =
                ["Default ", "Default up to "].iter().any(|word| text.contains(&format!("{word}{default}")));
            assert!(is_default, "the default of {name} is not {default}: {text}");
        }
    }
}

/// The public fields of a structure, with their comments.
fn documented_fields(source: &str, structure: &str) -> Vec<(String, String)> {
    let start = source.find(&format!("pub struct {structure} {{")).expect("the structure is defined there");
    let body = source[start..].split("\n}\n").next().unwrap_or_default();
    let mut fields = Vec::new();
    let mut comment = String::new();
    for line in body.lines().skip(1).map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push_str(text);
        } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            fields.push((name.to_owned(), std::mem::take(&mut comment)));
        }
    }
    fields
}
