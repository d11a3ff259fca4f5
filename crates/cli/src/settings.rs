//! Where the value of a flag comes from: the command line, else the environment, else a TOML file, else the default.
//!
//! Neither is written down per flag: the environment variable of `--listen-client` is `VR_LISTEN_CLIENT` and its TOML key
//! `listen-client`, at the top level of the file or, for one command only, in the table of that command (`[start]`, `[bench.put]`).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use crate::failure::{EXIT_USAGE, Failure};

/// Gives every flag of `command` and of its subcommands its environment variable.
pub(crate) fn with_environment(command: Command) -> Command {
    command.mut_args(environment_of).mut_subcommands(with_environment)
}

fn environment_of(arg: Arg) -> Arg {
    let Some(long) = arg.get_long().map(str::to_owned) else { return arg };
    if arg.is_hide_set() || matches!(long.as_str(), "help" | "version") {
        return arg;
    }
    // The help of `vr` states the rule; a variable in every line of the help would hide the rest.
    let arg = arg.env(variable(&long)).hide_env(true);
    if matches!(arg.get_action(), ArgAction::SetTrue) { arg.value_parser(BoolishValueParser::new()) } else { arg }
}

/// The environment variable of a flag.
pub(crate) fn variable(long: &str) -> String {
    format!("VR_{}", long.to_uppercase().replace('-', "_"))
}

/// The settings file the command line or the environment names.
pub(crate) fn file_named(args: &[OsString], environment: Option<OsString>) -> Option<PathBuf> {
    let mut args = args.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--");
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().map(|path| PathBuf::from(path.into_owned()));
        }
        if let Some(path) = arg.strip_prefix("--config=") {
            return Some(PathBuf::from(path));
        }
    }
    environment.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Makes the values in the file the defaults of `command`.
///
/// # Errors
/// When the file cannot be read, is not TOML, or has a key that is no flag.
pub(crate) fn with_file(command: Command, path: &Path) -> Result<Command, Failure> {
    let failure = |why: String| {
        let next =
            "correct the file, or run without --config; `vr COMMAND --help` lists the flags, which are also the keys";
        Failure::new(format!("cannot use the settings file {}", path.display()), why, next).with_code(EXIT_USAGE)
    };
    let text = fs::read_to_string(path).map_err(|error| failure(error.to_string()))?;
    let table: Table =
        text.parse().map_err(|error: toml::de::Error| failure(error.to_string().trim_end().to_owned()))?;
    with_table(command, &table).map_err(failure)
}

fn with_table(command: Command, table: &Table) -> Result<Command, String> {
    check(&command, table)?;
    Ok(apply(command, &Table::new(), table))
}

/// Every key must mean something: a typing mistake that silently does nothing is worse than an error.
fn check(command: &Command, table: &Table) -> Result<(), String> {
    for (key, value) in table {
        if let Some(below) = command.find_subcommand(key) {
            let own = value
                .as_table()
                .ok_or_else(|| format!("\"{key}\" is a command: write its flags into a table, [{key}]"))?;
            check(below, own)?;
        } else if !has_flag(command, key) {
            return Err(format!("\"{key}\" is no flag of `{}`", command.get_name()));
        } else if as_text(value).is_none() {
            return Err(format!("\"{key}\" is neither a text, a number, true, false nor a list of these"));
        }
    }
    Ok(())
}

/// Whether `key` is a flag of `command` or of any command below it.
fn has_flag(command: &Command, key: &str) -> bool {
    command.get_arguments().any(|arg| is_flag(arg, key)) || command.get_subcommands().any(|below| has_flag(below, key))
}

fn is_flag(arg: &Arg, key: &str) -> bool {
    !arg.is_hide_set() && key != "config" && arg.get_long() == Some(key)
}

/// Makes defaults of the values in `own`, the table of this command, and of those `above` it, which count less.
fn apply(command: Command, above: &Table, own: &Table) -> Command {
    let mut values = above.clone();
    values.extend(own.iter().filter(|(_, value)| !value.is_table()).map(|(key, value)| (key.clone(), value.clone())));
    let none = Table::new();
    command
        .mut_args(|arg| {
            let text = arg.get_long().filter(|long| is_flag(&arg, long)).and_then(|long| as_text(values.get(long)?));
            // A required flag with a default is not missing.
            text.map_or(arg.clone(), |text| arg.required(false).default_value(text))
        })
        .mut_subcommands(|below| {
            let its_own = own.get(below.get_name()).and_then(Value::as_table).unwrap_or(&none);
            apply(below, &values, its_own)
        })
}

/// The value as it would stand on the command line; lists are separated by commas.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Array(items) => items.iter().map(as_text).collect::<Option<Vec<_>>>().map(|items| items.join(",")),
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;

    #[derive(Args, Debug)]
    struct Run {
        #[arg(long, default_value = "1")]
        speed: u32,
        #[arg(long)]
        quiet: bool,
        #[arg(long, required = true, value_delimiter = ',')]
        endpoints: Vec<String>,
    }

    fn command() -> Command {
        Command::new("vr").subcommand(Run::augment_args(Command::new("run"))).subcommand(Command::new("other"))
    }

    fn parse(file: &str, args: &[&str]) -> Result<(u32, bool, Vec<String>), String> {
        let command = with_table(command(), &file.parse().unwrap())?;
        let matches =
            command.try_get_matches_from([&["vr", "run"], args].concat()).map_err(|error| error.to_string())?;
        let run = matches.subcommand_matches("run").unwrap();
        let endpoints = run.get_many::<String>("endpoints").unwrap().cloned().collect();
        Ok((*run.get_one("speed").unwrap(), run.get_flag("quiet"), endpoints))
    }

    #[test]
    fn file_replaces_the_default_and_the_flag_replaces_the_file() {
        let file = "speed = 2\nendpoints = [\"a:1\", \"b:2\"]\n[run]\nquiet = true\n";
        let endpoints = vec!["a:1".to_owned(), "b:2".to_owned()];
        assert_eq!(parse(file, &[]), Ok((2, true, endpoints.clone())));
        assert_eq!(parse(file, &["--speed", "3"]), Ok((3, true, endpoints)));
    }

    #[test]
    fn table_of_the_command_counts_more_than_the_top_level() {
        let file = "speed = 2\nendpoints = \"a:1\"\n[run]\nspeed = 7\n";
        assert_eq!(parse(file, &[]), Ok((7, false, vec!["a:1".to_owned()])));
    }

    #[test]
    fn key_that_is_no_flag_is_an_error() {
        assert_eq!(parse("sped = 2\n", &[]), Err("\"sped\" is no flag of `vr`".to_owned()));
        assert_eq!(parse("[run]\nsped = 2\n", &[]), Err("\"sped\" is no flag of `run`".to_owned()));
        assert!(parse("run = 2\n", &[]).unwrap_err().contains("is a command"));
        assert!(parse("speed = 1979-05-27\n", &[]).unwrap_err().contains("neither a text"));
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let command = with_environment(command());
        let run = command.find_subcommand("run").unwrap();
        let names: Vec<_> = run.get_arguments().map(|arg| arg.get_env().unwrap().to_owned()).collect();
        assert_eq!(names, ["VR_SPEED", "VR_QUIET", "VR_ENDPOINTS"]);
    }

    #[test]
    fn settings_file_is_named_by_the_flag_before_the_environment() {
        let args = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let named = |text: &str, environment: Option<&str>| file_named(&args(text), environment.map(OsString::from));
        assert_eq!(named("vr start --config a.toml d", Some("b.toml")), Some("a.toml".into()));
        assert_eq!(named("vr --config=a.toml start d", None), Some("a.toml".into()));
        assert_eq!(named("vr start d", Some("b.toml")), Some("b.toml".into()));
        assert_eq!(named("vr start -- --config a.toml", Some("")), None);
    }
}
