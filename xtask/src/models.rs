//! `cargo xtask models`: every model judged on every public data set, beside the usual tools; makes `docs/models.md`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::setup::{self, Extent};
use crate::shell::{cargo, run};
use crate::workspace;

const FOLDER: &str = "docs/models";

pub fn command(arguments: &[String]) -> anyhow::Result<()> {
    let data = std::env::var_os("HUNCH_DATA_DIR").map(PathBuf::from);
    let data = data.context("HUNCH_DATA_DIR must name the folder with the public data sets and their judges")?;
    setup::bring(Extent::Run)?;
    let folder = workspace::root().join(FOLDER);
    let python = setup::python("models", &folder.join("requirements.txt"))?;
    let bare = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
    run(Command::new(&python).args(bare).arg(folder.join("requirements_bare.txt")))?;
    run(cargo().args(["build", "--release", "--locked", "--package", "hunch"]))?;
    run(cargo().args(["build", "--release", "--locked", "--examples"]).args([
        "--package",
        "hunch-learning",
        "--package",
        "hunch-evaluation",
    ]))?;
    let built = workspace::target_folder()?.join("release");
    let mut judge = Command::new(python);
    judge.arg(folder.join("judge.py")).arg("--data").arg(data);
    judge.arg("--hunch").arg(built.join("hunch")).arg("--examples").arg(built.join("examples"));
    judge.arg("--work").arg(workspace::root().join(".hunch/models")).env("PYTHONDONTWRITEBYTECODE", "1");
    run(judge.args(arguments))
}
