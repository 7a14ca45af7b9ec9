//! `cargo xtask check`: what can be said about the sources without running them.

use crate::{
    advisories, licences,
    shell::{cargo, run, step},
};

pub fn command(arguments: &[String]) -> anyhow::Result<()> {
    anyhow::ensure!(arguments.is_empty(), "check takes no arguments");
    failures_of(&[
        ("format", step("format", format)),
        ("licences", step("licences", licences::check)),
        ("advisories", step("advisories", advisories::check)),
        ("lints", step("lints", lints)),
    ])
}

pub fn format() -> anyhow::Result<()> {
    run(cargo().args(["fmt", "--all", "--", "--check"]))
}

pub fn lints() -> anyhow::Result<()> {
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

/// One error that names every step that failed, after all have run.
pub fn failures_of(steps: &[(&str, anyhow::Result<()>)]) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, done) in steps {
        if let Err(error) = done {
            eprintln!("\n── {name}: {error:#}");
            failed.push(*name);
        }
    }
    anyhow::ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}
