//! `cargo xtask demo`: from an empty clone to a running town.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::Context;

use crate::{
    setup::{self, Extent},
    shell::{cargo, run, show, step},
    workspace,
};

pub fn command(arguments: &[String]) -> anyhow::Result<()> {
    step("setup", || setup::bring(Extent::Run))?;
    step("build", || run(cargo().args(["build", "--release", "--locked", "--package", "hunch"])))?;
    let mut hunch = Command::new(workspace::target_folder()?.join("release/hunch"));
    hunch.arg("demo").args(arguments);
    eprintln!("── {}", show(&hunch));
    // In our place, so that Ctrl-C and the exit code are the demo's own.
    Err(hunch.exec()).context("starting the demo")
}
