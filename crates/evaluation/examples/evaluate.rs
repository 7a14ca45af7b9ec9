//! `hunch evaluate` without the rest of Hunch, for people who work on a model.

use clap::Parser;
use hunch_evaluation::cli;
use std::error::Error;
use std::process::ExitCode;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: cli::Args,
}

fn main() -> ExitCode {
    match cli::run(&Program::parse().args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}{}", e.source().map(|s| format!(": {s}")).unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}
