//! The documents claim tests: each of these exists, and nothing that is listed is without one.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tests named in a text, as `file.rs::test`.
fn named_tests(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|name| name.split_once("::")).filter(|(file, _)| file.ends_with(".rs")).collect()
}

fn exists(file: &str, test: &str) -> bool {
    let bases = ["", "crates/protocol", "crates/protocol/tests/protocol"];
    let file = bases.iter().map(|base| root().join(base).join(file)).find(|path| path.exists());
    file.is_some_and(|path| read(&path).contains(&format!("fn {test}(")))
}

#[test]
fn every_test_that_a_document_names_exists() {
    for document in ["docs/deviations.md", "docs/paper.md"] {
        let text = read(&root().join(document));
        let tests = named_tests(&text);
        assert!(tests.len() > 50, "{document} names its tests in another way: {tests:?}");
        let missing: Vec<_> = tests.into_iter().filter(|(file, test)| !exists(file, test)).collect();
        assert!(missing.is_empty(), "{document} names tests that do not exist: {missing:#?}");
    }
}

#[test]
fn every_sentence_of_the_paper_has_a_test() {
    let text = read(&root().join("docs/paper.md"));
    let rows = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let (headings, sentences): (Vec<&str>, Vec<&str>) = rows.partition(|row| row.contains("the paper demands"));
    assert!(headings.len() >= 7 && sentences.len() > 80, "{} tables, {} sentences", headings.len(), sentences.len());
    for row in sentences {
        assert!(!named_tests(row).is_empty(), "without a test: {row}");
    }
}

#[test]
fn every_mutant_is_listed() {
    let text = read(&root().join("docs/deviations.md"));
    let list = text.split_once("\n## Mutants\n").expect("the list of mutants").1;
    let entries = fs::read_dir(root().join("mutants")).expect("mutants/").map(|entry| entry.expect("readable").path());
    for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "patch")) {
        let name = path.file_stem().expect("a name").to_string_lossy();
        assert!(list.contains(&format!("\n| `{name}` |")), "{name} is not in the list of mutants");
    }
}
