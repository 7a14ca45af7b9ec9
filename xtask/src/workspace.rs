//! Where things are, and what cargo knows about them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context;
use serde_json::Value;

use crate::shell::{cargo, run};

/// The workspace's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// `cargo metadata`, with or without what lies outside the workspace.
pub fn metadata(dependencies: bool) -> anyhow::Result<Value> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--locked"]);
    if !dependencies {
        command.arg("--no-deps");
    }
    let output = command.stderr(Stdio::inherit()).output().context("cargo metadata")?;
    anyhow::ensure!(output.status.success(), "cargo metadata: {}", output.status);
    serde_json::from_slice(&output.stdout).context("cargo metadata printed something else than JSON")
}

/// Where cargo puts what it builds.
pub fn target_folder() -> anyhow::Result<PathBuf> {
    let metadata = metadata(false)?;
    Ok(PathBuf::from(metadata["target_directory"].as_str().context("no target_directory")?))
}

/// The folder with the programs of the build that the tests made. All at once, as the tests are built: a package built by
/// itself asks for fewer features of its dependencies, and cargo builds those again, and what stands on them.
pub fn programs_of_tests() -> anyhow::Result<PathBuf> {
    run(cargo().args(["test", "--workspace", "--locked", "--no-run", "--quiet"]))?;
    Ok(target_folder()?.join("debug"))
}
