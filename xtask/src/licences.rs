//! Every crate and every npm package of the tests must come under a licence from the list.

use std::{collections::BTreeMap, fs};

use anyhow::Context;
use serde_json::Value;

use crate::{node, workspace};

/// Licences that a program under Apache-2.0 can be built from and shipped with.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0", // MIT without even the duty to name the author
    "MPL-2.0",
    "NCSA", // LLVM's: the fuzzer's driver, never shipped
    "Unicode-3.0",
    "Zlib",
];

/// Also allowed for npm packages, which are used in tests and never shipped.
const ALLOWED_IN_TESTS: &[&str] = &["BlueOak-1.0.0", "CC-BY-4.0", "Python-2.0", "Unlicense"];

/// Crates that carry data under terms of its own: what NOTICE must say if they are used.
const DATA: &[(&str, &str)] = &[("country-boundaries", "© OpenStreetMap contributors")];

pub fn check() -> anyhow::Result<()> {
    let metadata = workspace::metadata(true)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut refused = Vec::new();
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or("?");
        let licence = package["license"].as_str().unwrap_or("");
        *counted.entry(licence).or_default() += 1;
        if !is_allowed(licence, ALLOWED) {
            refused.push(format!("{name} {}: {licence:?}", package["version"].as_str().unwrap_or("")));
        }
    }
    refused.extend(missing_notices(packages)?);
    let in_tests = npm(&mut refused)?;
    eprintln!(
        "   {} crates under {} different licence terms, {in_tests} npm packages in tests",
        packages.len(),
        counted.len()
    );
    anyhow::ensure!(refused.is_empty(), "not allowed:\n  {}", refused.join("\n  "));
    Ok(())
}

fn missing_notices(packages: &[Value]) -> anyhow::Result<Vec<String>> {
    let notice = fs::read_to_string(workspace::root().join("NOTICE")).context("reading NOTICE")?;
    let used = |name: &str| packages.iter().any(|package| package["name"] == name);
    Ok(DATA
        .iter()
        .filter(|(name, credit)| used(name) && !notice.contains(credit))
        .map(|(name, credit)| format!("{name} carries data that NOTICE must credit: {credit:?}"))
        .collect())
}

/// Reads the lock files; nothing needs to be installed.
fn npm(refused: &mut Vec<String>) -> anyhow::Result<usize> {
    let allowed = [ALLOWED, ALLOWED_IN_TESTS].concat();
    let mut count = 0;
    for suite in node::suites(workspace::root())? {
        let lock = fs::read(suite.join("package-lock.json")).with_context(|| format!("{}", suite.display()))?;
        let lock: Value = serde_json::from_slice(&lock)?;
        for (path, package) in lock["packages"].as_object().into_iter().flatten().filter(|(path, _)| !path.is_empty()) {
            count += 1;
            let licence = package["license"].as_str().unwrap_or("");
            if !is_allowed(licence, &allowed) {
                refused.push(format!("{path} in {}: {licence:?}", suite.display()));
            }
        }
    }
    Ok(count)
}

/// Whether an SPDX expression can be satisfied from the list: of `A OR B` one part, of `A AND B` both.
/// `A/B` is the old way to write OR. An exception (`WITH`) only adds permissions.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, at: 0, allowed };
    reader.any() == Some(true) && reader.at == words.len()
}

struct Reader<'a> {
    words: &'a [&'a str],
    at: usize,
    allowed: &'a [&'a str],
}

impl Reader<'_> {
    fn take(&mut self, word: &str) -> bool {
        let there = self.words.get(self.at) == Some(&word);
        self.at += usize::from(there);
        there
    }

    fn any(&mut self) -> Option<bool> {
        let mut satisfied = self.all()?;
        while self.take("OR") {
            satisfied |= self.all()?;
        }
        Some(satisfied)
    }

    fn all(&mut self) -> Option<bool> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Some(satisfied)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let satisfied = self.any()?;
            return self.take(")").then_some(satisfied);
        }
        let name = *self.words.get(self.at)?;
        self.at += 1;
        if self.take("WITH") {
            self.at += 1;
        }
        Some(self.allowed.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(is_allowed(good, ALLOWED), "{good}");
        }
        for bad in ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT", "MIT OR", "MIT Apache-2.0"] {
            assert!(!is_allowed(bad, ALLOWED), "{bad}");
        }
    }

    #[test]
    fn everything_we_depend_on_is_allowed() {
        check().unwrap();
    }
}
