//! Mutants: patches that take one repair away, and must be noticed; and harmless ones, which must not.
//!
//! A patch begins with one sentence on what it changes and then says what proves it, one line for each test binary:
//!
//! ```text
//! Killed by: -p viewstamped-protocol --test protocol trace_a trace_c
//! Stays green: -p viewstamped-simulator --test seeds --release a_few_seeds
//! ```
//!
//! These are arguments of `cargo test`, then the beginnings of test names: each must fail, or all must pass. A mutant that lives
//! is a hole in the tests; a harmless one that dies is a test that asks for more than the protocol promises.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

const KILLED_BY: &str = "Killed by: ";
const STAYS_GREEN: &str = "Stays green: ";

/// Settings that make a build short: it runs a few tests once.
const PROFILES: [(&str, &str); 9] = [
    ("CARGO_INCREMENTAL", "1"),
    ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ("CARGO_PROFILE_TEST_DEBUG", "0"),
    ("CARGO_PROFILE_TEST_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "2"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("RUST_BACKTRACE", "0"),
];

/// Tests of one binary.
#[derive(Clone, PartialEq, Eq)]
struct Tests {
    /// Arguments of `cargo test` that select the binary.
    target: Vec<String>,
    /// Beginnings of test names.
    names: Vec<String>,
    must_pass: bool,
}

/// A patch, or none, and what proves it.
struct Mutant {
    name: String,
    patch: Option<PathBuf>,
    tests: Vec<Tests>,
}

/// A copy of the sources that a worker may change, with the target directory that belongs to it.
struct Scratch {
    source: PathBuf,
    target: PathBuf,
}

/// Runs the named mutants, or all. `--jobs N` sets how many at a time; default: one for each core.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let (jobs, names) = match arguments {
        ["--jobs", count, names @ ..] => (count.parse().map_err(|_| format!("--jobs {count}: not a number"))?, names),
        names => (thread::available_parallelism().map_or(1, usize::from), names),
    };
    let begun = Instant::now();
    let root = output(Command::new("git").args(["rev-parse", "--show-toplevel"]))?;
    let root = PathBuf::from(String::from_utf8_lossy(&root.stdout).trim());
    let mutants = load(&root.join("mutants"), names)?;
    let count = mutants.len();
    let mut tasks = unchanged(&mutants);
    tasks.extend(mutants);
    let queue = Mutex::new(tasks.into_iter());
    let failed = thread::scope(|scope| {
        let work = |job| work(&root, job, &queue);
        let workers: Vec<_> = (0..jobs.max(1)).map(|job| scope.spawn(move || work(job))).collect();
        let results = workers.into_iter().map(|worker| worker.join().expect("workers return what goes wrong"));
        results.collect::<Result<Vec<_>, String>>()
    })?;
    let failed: Vec<String> = failed.into_iter().flatten().collect();
    let seconds = begun.elapsed().as_secs();
    if failed.is_empty() {
        println!("{count} mutants in {seconds} s, all as they should be");
        return Ok(());
    }
    Err(format!("{count} mutants in {seconds} s, {} not as they should be: {}", failed.len(), failed.join(", ")))
}

/// Judges mutants until none is left. Returns the names of those that are not as they should be.
fn work(root: &Path, job: usize, queue: &Mutex<impl Iterator<Item = Mutant>>) -> Result<Vec<String>, String> {
    let directory = root.join("target/mutants").join(job.to_string());
    let scratch = Scratch { source: directory.join("source"), target: directory.join("target") };
    copy_sources(root, &scratch.source)?;
    let mut failed = Vec::new();
    loop {
        let Some(mutant) = queue.lock().expect("no worker panics").next() else { return Ok(failed) };
        let begun = Instant::now();
        let verdict = scratch.judge(&mutant);
        let seconds = begun.elapsed().as_secs_f32();
        match verdict {
            Ok(verdict) => println!("ok      {seconds:5.1} s  {}: {verdict}", mutant.name),
            Err(problem) => {
                println!("WRONG   {seconds:5.1} s  {}: {problem}", mutant.name);
                failed.push(mutant.name);
            }
        }
    }
}

/// All tests that must fail with some mutant, to be seen passing without.
fn unchanged(mutants: &[Mutant]) -> Vec<Mutant> {
    let mut all: Vec<Tests> = Vec::new();
    for tests in mutants.iter().flat_map(|mutant| &mutant.tests) {
        match all.iter_mut().find(|known| known.target == tests.target) {
            Some(known) => known.names.extend(tests.names.iter().cloned()),
            None => all.push(Tests { must_pass: true, ..tests.clone() }),
        }
    }
    let task = |tests: Tests| Mutant {
        name: format!("without a mutant, {}", tests.target.join(" ")),
        patch: None,
        tests: vec![tests],
    };
    all.into_iter().map(task).collect()
}

fn load(directory: &Path, names: &[&str]) -> Result<Vec<Mutant>, String> {
    let mut patches = patches_in(directory)?;
    patches.extend(patches_in(&directory.join("harmless"))?);
    let mut mutants = patches.into_iter().map(parse).collect::<Result<Vec<Mutant>, String>>()?;
    if let Some(unknown) = names.iter().find(|name| mutants.iter().all(|mutant| mutant.name != **name)) {
        return Err(format!("there is no mutant named {unknown} in {}", directory.display()));
    }
    mutants.retain(|mutant| names.is_empty() || names.contains(&mutant.name.as_str()));
    // The slow ones first, so that no worker is left with one at the end.
    let is_fast = |tests: &Tests| !tests.target.iter().any(|word| word == "--release");
    mutants.sort_by_key(|mutant| mutant.tests.iter().all(is_fast));
    Ok(mutants)
}

fn patches_in(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    let mut patches: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    patches.sort();
    Ok(patches)
}

fn parse(patch: PathBuf) -> Result<Mutant, String> {
    let text = fs::read_to_string(&patch).map_err(|error| format!("cannot read {}: {error}", patch.display()))?;
    let mut tests = Vec::new();
    for line in text.lines().take_while(|line| !line.starts_with("diff ")) {
        for (prefix, must_pass) in [(KILLED_BY, false), (STAYS_GREEN, true)] {
            if let Some(words) = line.strip_prefix(prefix) {
                let parsed = parse_tests(words, must_pass);
                tests.push(parsed.map_err(|problem| format!("{}: {problem}", patch.display()))?);
            }
        }
    }
    if tests.is_empty() {
        return Err(format!("{} has neither a line \"{KILLED_BY}...\" nor \"{STAYS_GREEN}...\"", patch.display()));
    }
    let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Mutant { name, tests, patch: Some(patch) })
}

fn parse_tests(words: &str, must_pass: bool) -> Result<Tests, String> {
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    let selected = match words.iter().position(|word| word == "--test" || word == "--lib") {
        Some(place) if words[place] == "--test" => place + 2,
        Some(place) => place + 1,
        None => return Err("names neither --test NAME nor --lib".into()),
    };
    let options = words.iter().skip(selected).take_while(|word| word.starts_with("--")).count();
    let (target, names) = words.split_at((selected + options).min(words.len()));
    if names.is_empty() {
        return Err("names no test".into());
    }
    Ok(Tests { target: target.to_vec(), names: names.to_vec(), must_pass })
}

impl Scratch {
    /// What the tests make of the mutant; an error if that is not what they should.
    fn judge(&self, mutant: &Mutant) -> Result<String, String> {
        if let Some(patch) = &mutant.patch {
            self.apply(patch, false).map_err(|problem| format!("no longer applies; renew it: {problem}"))?;
        }
        let verdicts: Vec<_> = mutant.tests.iter().map(|tests| self.run(tests)).collect();
        if let Some(patch) = &mutant.patch {
            self.apply(patch, true)?;
        }
        Ok(verdicts.into_iter().collect::<Result<Vec<String>, String>>()?.join("; "))
    }

    fn run(&self, tests: &Tests) -> Result<String, String> {
        let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
        command.current_dir(&self.source).env("CARGO_TARGET_DIR", &self.target).envs(PROFILES).arg("test");
        command.args(&tests.target).arg("--").args(&tests.names);
        let result = command.output().map_err(|error| format!("cannot run cargo: {error}"))?;
        let printed = String::from_utf8_lossy(&result.stdout);
        if !printed.contains("test result:") {
            return Err(format!("does not compile:\n{}", String::from_utf8_lossy(&result.stderr)));
        }
        let ends = |name: &String, end: &str| {
            let mut results = printed.lines().filter_map(|line| line.strip_prefix("test "));
            results.any(|line| line.ends_with(end) && line.split("::").any(|part| part.starts_with(name.as_str())))
        };
        let (end, should) = if tests.must_pass { (" ok", "pass") } else { ("FAILED", "fail") };
        let others: Vec<String> = tests.names.iter().filter(|name| !ends(name, end)).cloned().collect();
        if !others.is_empty() || (tests.must_pass && !result.status.success()) {
            return Err(format!("should {should}, and does not: {}", others.join(", ")));
        }
        if tests.must_pass { Ok("green".into()) } else { Ok(format!("killed by {}", tests.names.join(", "))) }
    }

    fn apply(&self, patch: &Path, reverse: bool) -> Result<(), String> {
        // Within a repository git would take the paths of a patch as relative to its root, and skip what lies elsewhere.
        let mut command = Command::new("git");
        command.current_dir(&self.source).env("GIT_CEILING_DIRECTORIES", self.source.with_file_name("")).arg("apply");
        if reverse {
            command.arg("--reverse");
        }
        output(command.arg(patch)).map(drop)
    }
}

/// Brings the copy up to date with the work tree. What has not changed is left alone, so that it need not be built again.
fn copy_sources(root: &Path, copy: &Path) -> Result<(), String> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = output(Command::new("git").current_dir(root).args(list))?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    let mut names: Vec<&str> = listed.split('\0').collect();
    names.retain(|name| root.join(name).is_file());
    for name in &names {
        let (from, to) = (root.join(name), copy.join(name));
        let content = fs::read(&from).map_err(|error| format!("cannot read {}: {error}", from.display()))?;
        if fs::read(&to).is_ok_and(|known| known == content) {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(copy))
            .and_then(|()| fs::write(&to, content))
            .map_err(|error| format!("cannot write {}: {error}", to.display()))?;
    }
    // A file that is gone could still be a test, or a module.
    for path in files_below(copy)? {
        let is_known = path.strip_prefix(copy).is_ok_and(|name| names.iter().any(|known| Path::new(known) == name));
        if !is_known {
            fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
        }
    }
    Ok(())
}

fn files_below(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let entries =
            fs::read_dir(&directory).map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

fn output(command: &mut Command) -> Result<Output, String> {
    let result = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if result.status.success() { Ok(result) } else { Err(String::from_utf8_lossy(&result.stderr).into_owned()) }
}
