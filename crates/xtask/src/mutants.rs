//! Mutants: patches that take one repair away. Each names the tests that must then fail; one that passes is a hole in the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The line of a patch that says what kills it: arguments of `cargo test`, then the beginnings of test names.
const KILLED_BY: &str = "Killed by: ";

struct Mutant {
    name: String,
    patch: PathBuf,
    /// Arguments of `cargo test` that select the test binary.
    target: Vec<String>,
    /// Each of these must match a test that fails.
    tests: Vec<String>,
}

/// Runs the named mutants, or all.
pub(crate) fn run(names: &[&str]) -> Result<(), String> {
    let root = output(Command::new("git").args(["rev-parse", "--show-toplevel"]))?;
    let root = PathBuf::from(String::from_utf8_lossy(&root.stdout).trim());
    let mutants = load(&root.join("mutants"), names)?;
    let scratch = root.join("target/mutants/source");
    copy_tracked(&root, &scratch)?;
    let mut survivors = Vec::new();
    for mutant in &mutants {
        apply(&scratch, &mutant.patch, false)?;
        let alive = surviving_tests(&scratch, mutant);
        apply(&scratch, &mutant.patch, true)?;
        match alive? {
            alive if alive.is_empty() => println!("killed    {} by {}", mutant.name, mutant.tests.join(", ")),
            alive => {
                println!("SURVIVED  {}: {} did not fail", mutant.name, alive.join(", "));
                survivors.push(mutant.name.clone());
            }
        }
    }
    println!("{} mutants, {} killed", mutants.len(), mutants.len() - survivors.len());
    if survivors.is_empty() { Ok(()) } else { Err(format!("not killed: {}", survivors.join(", "))) }
}

fn load(directory: &Path, names: &[&str]) -> Result<Vec<Mutant>, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    let mut patches: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    patches.sort();
    let mutants = patches.into_iter().map(parse).collect::<Result<Vec<Mutant>, String>>()?;
    if let Some(unknown) = names.iter().find(|name| mutants.iter().all(|mutant| mutant.name != **name)) {
        return Err(format!("there is no mutant named {unknown} in {}", directory.display()));
    }
    Ok(mutants.into_iter().filter(|mutant| names.is_empty() || names.contains(&mutant.name.as_str())).collect())
}

fn parse(patch: PathBuf) -> Result<Mutant, String> {
    let text = fs::read_to_string(&patch).map_err(|error| format!("cannot read {}: {error}", patch.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(KILLED_BY));
    let line = line.ok_or_else(|| format!("{} has no line \"{KILLED_BY}...\"", patch.display()))?;
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let (target, tests) = match words.iter().position(|word| word == "--test" || word == "--lib") {
        Some(place) if words[place] == "--test" => words.split_at((place + 2).min(words.len())),
        Some(place) => words.split_at(place + 1),
        None => return Err(format!("{} names neither --test NAME nor --lib", patch.display())),
    };
    if tests.is_empty() {
        return Err(format!("{} names no test", patch.display()));
    }
    let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Mutant { name, target: target.to_vec(), tests: tests.to_vec(), patch })
}

/// The tests of the mutant that do not fail.
fn surviving_tests(scratch: &Path, mutant: &Mutant) -> Result<Vec<String>, String> {
    let target = scratch.with_file_name("target");
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.current_dir(scratch).env("CARGO_TARGET_DIR", target).env("RUST_BACKTRACE", "0").arg("test");
    command.args(&mutant.target).arg("--").args(&mutant.tests);
    let result = command.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    let printed = String::from_utf8_lossy(&result.stdout);
    if !printed.contains("test result:") {
        return Err(format!("{} does not compile:\n{}", mutant.name, String::from_utf8_lossy(&result.stderr)));
    }
    let has_failed = |test: &String| {
        let mut results = printed.lines().filter_map(|line| line.strip_prefix("test "));
        results.any(|line| line.ends_with("FAILED") && line.split("::").any(|part| part.starts_with(test.as_str())))
    };
    Ok(mutant.tests.iter().filter(|test| !has_failed(test)).cloned().collect())
}

fn copy_tracked(root: &Path, scratch: &Path) -> Result<(), String> {
    let _ = fs::remove_dir_all(scratch);
    let listed = output(Command::new("git").current_dir(root).args(["ls-files", "-z"]))?;
    for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), scratch.join(name));
        if !from.exists() {
            continue;
        }
        let parent = to.parent().unwrap_or(scratch);
        fs::create_dir_all(parent).map_err(|error| format!("cannot create {}: {error}", parent.display()))?;
        fs::copy(&from, &to).map_err(|error| format!("cannot copy {}: {error}", from.display()))?;
    }
    Ok(())
}

fn apply(scratch: &Path, patch: &Path, reverse: bool) -> Result<(), String> {
    // Within a repository git would take the paths of a patch as relative to its root, and skip what lies elsewhere.
    let mut command = Command::new("git");
    command.current_dir(scratch).env("GIT_CEILING_DIRECTORIES", scratch.with_file_name("")).arg("apply");
    if reverse {
        command.arg("--reverse");
    }
    output(command.arg(patch)).map_err(|error| format!("{} no longer applies; renew it: {error}", patch.display()))?;
    Ok(())
}

fn output(command: &mut Command) -> Result<Output, String> {
    let result = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if result.status.success() { Ok(result) } else { Err(String::from_utf8_lossy(&result.stderr).into_owned()) }
}
