//! `cargo xtask sim`: the simulation, see `crates/sim/README.md`.

use crate::{
    setup::{self, Extent},
    shell::{cargo, run},
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
    let sim = || {
        let mut sim = cargo();
        sim.args(["run", "--locked", "--quiet", "--package", "hunch-sim", "--"]);
        sim
    };
    run(sim().args(["--core", "200000"]))?;
    run(sim().args(["--seeds", "4", "--ops", "300"]))
}
