//! What people who work on Hunch run: `cargo xtask setup | demo | test | check | sim | fuzz | contract | models`.
//!
//! Everything said goes to standard error, so that the demo's standard output stays its own.

mod advisories;
mod check;
mod contract;
mod demo;
mod fuzz;
mod graph;
mod licences;
mod models;
mod node;
mod setup;
mod shell;
mod sim;
mod test;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <command>

  setup [--tests] [--dry-run]
                      look for what is needed and bring what is missing
  demo [arguments]    setup, build, then `hunch demo` with the arguments
  test                setup, then every check and every test; what CI runs
  check               format, lints, licences, known weaknesses of crates
  sim [--seeds N] [--ops M] [--seed S] | --core [N] | --bugs
                      histories drawn from seeds, lived by the real crates on a
                      real PostgreSQL; the pure ledger alone; planted mistakes
  fuzz [--seconds N] [--target NAME]
                      every reader of bytes from outside, guided by coverage;
                      ten minutes for each reader if nothing is said
  contract [--examples N] [--seed S]
                      everything the OpenAPI document allows, and much that it
                      does not, asked of a running programme by schemathesis
  models [--task TASK]
                      every model judged on the data sets of HUNCH_DATA_DIR,
                      beside the usual tools; makes docs/models.md
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = arguments.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let done = match command {
        _ if std::env::var_os(fuzz::COMPILES).is_some() => fuzz::compile(&arguments),
        "setup" => setup::command(rest),
        "demo" => demo::command(rest),
        "test" => test::command(rest),
        "check" => check::command(rest),
        "sim" => sim::command(rest),
        "fuzz" => fuzz::command(rest),
        "contract" => contract::command(rest),
        "models" => models::command(rest),
        "" | "help" | "--help" | "-h" => {
            eprint!("{USAGE}");
            return ExitCode::from(u8::from(command.is_empty()) * 2);
        }
        other => Err(anyhow::anyhow!("there is no command {other:?}\n\n{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
