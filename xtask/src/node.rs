//! The tests that are written for Node, and npm.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use crate::shell::run;

/// The folders below any `tests` folder that hold a package.json, in order.
pub fn suites(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(root, false, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, below_tests: bool, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if below_tests && folder.join("package.json").is_file() {
        found.push(folder.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        let skip = name.to_string_lossy().starts_with('.') || name == "node_modules" || name == "target";
        if entry.file_type()?.is_dir() && !skip {
            collect(&entry.path(), below_tests || name == "tests", found)?;
        }
    }
    Ok(())
}

/// `npm ci`, unless what is installed is what the lock file asks for.
pub fn install(suite: &Path) -> anyhow::Result<()> {
    let lock = fs::read(suite.join("package-lock.json"))
        .with_context(|| format!("{} has no package-lock.json; run `npm install` there", suite.display()))?;
    let installed = suite.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|of| of == lock) {
        return Ok(());
    }
    run(npm(suite).args(["ci", "--no-audit", "--no-fund"]))?;
    fs::create_dir_all(suite.join("node_modules"))?;
    fs::write(&installed, lock).context("noting what was installed")
}

pub fn npm(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(folder).env("npm_config_update_notifier", "false");
    npm
}

/// Whether a suite drives a browser, and so needs one.
pub fn needs_browser(suite: &Path) -> bool {
    let package = fs::read_to_string(suite.join("package.json")).unwrap_or_default();
    ["playwright-core", "puppeteer-core"].iter().any(|driver| package.contains(driver))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_found_below_tests_folders_only() {
        let root = std::env::temp_dir().join(format!("xtask-suites-{}", std::process::id()));
        for folder in ["a/tests/judge/node_modules/x", "web/app", "tests", "a/tests/plain"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for folder in ["a/tests/judge", "a/tests/judge/node_modules/x", "web/app", "tests"] {
            fs::write(root.join(folder).join("package.json"), "{}").unwrap();
        }
        let found = suites(&root).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, [root.join("a/tests/judge"), root.join("tests")]);
    }
}
