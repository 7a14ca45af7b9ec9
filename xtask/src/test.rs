//! `cargo xtask test`: brings what the tests need and runs them all.

use crate::{
    advisories,
    check::{failures_of, format, lints},
    contract, fuzz, licences, node,
    setup::{self, Extent},
    shell::{cargo, run, step},
    sim, workspace,
};

pub fn command(arguments: &[String]) -> anyhow::Result<()> {
    anyhow::ensure!(arguments.is_empty(), "test takes no arguments; use `cargo test` for a single one");
    step("setup", || setup::bring(Extent::Test))?;
    failures_of(&[
        ("format", step("format", format)),
        ("licences", step("licences", licences::check)),
        ("advisories", step("advisories", advisories::check)),
        ("tests in Rust", step("tests in Rust", rust)),
        ("tests on npm's PostgreSQL", step("tests on npm's PostgreSQL", on_npms_postgres)),
        ("tests in Node", step("tests in Node", in_node)),
        ("simulation", step("simulation", sim::short)),
        ("contract", step("contract", contract::short)),
        ("fuzzing", step("fuzzing", fuzz::short)),
        ("lints", step("lints", lints)),
    ])
}

/// HUNCH_TEST_ALL: a test whose outside part `setup` brings fails without it, instead of passing over it. What cannot be
/// brought, the published documents that HUNCH_KALSHI_DOCS names, is passed over with "not judged" on standard error.
fn rust() -> anyhow::Result<()> {
    run(cargo().args(["test", "--workspace", "--locked", "--no-fail-fast"]).env("HUNCH_TEST_ALL", "1"))
}

/// The database's own tests once more with the programs that `setup` brings where there is no root.
fn on_npms_postgres() -> anyhow::Result<()> {
    let programs = setup::npm_programs_folder();
    let tests = ["test", "--workspace", "--locked", "--test", "cluster", "--test", "database"];
    run(cargo().args(tests).env("HUNCH_PG_BIN", programs))
}

/// Each folder with a package.json below a `tests` folder is a suite of its own. It finds the program to
/// test in HUNCH_BIN.
fn in_node() -> anyhow::Result<()> {
    let suites = node::suites(workspace::root())?;
    if suites.is_empty() {
        eprintln!("   there are none");
        return Ok(());
    }
    let hunch = workspace::programs_of_tests()?.join("hunch");
    for suite in suites {
        let name = suite.strip_prefix(workspace::root()).unwrap_or(&suite).display().to_string();
        step(&name, || {
            node::install(&suite)?;
            run(node::npm(&suite).arg("test").env("HUNCH_BIN", &hunch).env("HUNCH_TEST_ALL", "1"))
        })?;
    }
    Ok(())
}
