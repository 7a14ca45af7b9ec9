//! `cargo xtask sim`: the simulation, see `crates/sim/README.md`.

use std::process::Command;

use crate::{
    setup::{self, Extent},
    shell::{cargo, run},
    workspace,
};

pub fn command(arguments: &[String]) -> anyhow::Result<()> {
    setup::bring(Extent::Test)?;
    let mut sim = cargo();
    sim.args(["run", "--release", "--locked", "--quiet", "--package", "hunch-sim"]);
    if arguments.iter().any(|argument| argument == "--bugs") {
        sim.args(["--features", "seeded-bugs"]);
    }
    run(sim.arg("--").args(arguments))
}

/// For every test run: a few histories from a seed that nobody has seen before, with the build that the tests made.
pub fn short() -> anyhow::Result<()> {
    let sim = workspace::programs_of_tests()?.join("hunch-sim");
    run(Command::new(&sim).args(["--core", "200000"]))?;
    run(Command::new(&sim).args(["--seeds", "4", "--ops", "300"]))
}
