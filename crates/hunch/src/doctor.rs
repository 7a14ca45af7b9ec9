//! `hunch doctor`: what this machine lacks, and the exact command that brings it. Changes nothing.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use hunch_db::{
    Database, DatabaseConfig,
    cluster::{Finding, diagnose},
};
use serde_json::json;

/// Prints the findings and answers with failure if something is missing. `data_folder` is the one that a
/// private PostgreSQL would use.
///
/// # Errors
/// If the answer cannot be written down.
pub fn run(data_folder: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let findings = examine(data_folder);
    let ready = findings.iter().all(|finding| finding.is_well);
    if json {
        println!("{}", serde_json::to_string(&as_json(&findings, ready))?);
    } else {
        print!("{}", as_text(&findings, ready));
    }
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn examine(data_folder: &Path) -> Vec<Finding> {
    let mut findings = match env::var("DATABASE_URL") {
        Ok(url) => vec![look_at_server(&url)],
        Err(_) => diagnose(data_folder, None),
    };
    findings.push(look_for_data(env::var_os("HUNCH_DATA_DIR").map(PathBuf::from)));
    findings
}

/// An operator's server is reached or not; its password never appears in what is printed.
fn look_at_server(url: &str) -> Finding {
    const SUBJECT: &str = "DATABASE_URL";
    let reached = DatabaseConfig::from_url(url).map_err(anyhow::Error::from).and_then(|config| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            Database::connect(&config).await?.close().await;
            Ok(())
        })
    });
    match reached {
        Ok(()) => Finding::well(SUBJECT, "the server lets the role hunch_owner in"),
        Err(error) => {
            Finding::ill(SUBJECT, format!("{error:#}"), "psql \"$DATABASE_URL\" -U hunch_owner -c 'SELECT 1'")
        }
    }
}

fn look_for_data(folder: Option<PathBuf>) -> Finding {
    const SUBJECT: &str = "real data sets";
    match folder {
        None => Finding::well(SUBJECT, "none (HUNCH_DATA_DIR is not set); the demo uses its own small file"),
        Some(folder) if folder.is_dir() => Finding::well(SUBJECT, folder.display().to_string()),
        Some(folder) => Finding::ill(
            SUBJECT,
            format!("HUNCH_DATA_DIR names {}, which is no folder", folder.display()),
            "unset HUNCH_DATA_DIR",
        ),
    }
}

fn as_json(findings: &[Finding], ready: bool) -> serde_json::Value {
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "subject": finding.subject, "is_well": finding.is_well,
                "found": finding.found, "remedy": finding.remedy,
            })
        })
        .collect();
    json!({ "ready": ready, "findings": findings })
}

fn as_text(findings: &[Finding], ready: bool) -> String {
    let mut text = String::new();
    for Finding { subject, is_well, found, remedy } in findings {
        let mark = if *is_well { "ok     " } else { "MISSING" };
        text.push_str(&format!("{mark}  {subject}: {found}\n"));
        if let Some(remedy) = remedy {
            text.push_str(&format!("           run: {remedy}\n"));
        }
    }
    text.push_str(if ready { "Everything that Hunch needs is there.\n" } else { "Hunch cannot run yet.\n" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_its_command() {
        let ill = Finding::ill("PostgreSQL", "there is none", "apt-get install postgresql");
        let text = as_text(std::slice::from_ref(&ill), false);
        assert!(text.contains("MISSING  PostgreSQL: there is none\n           run: apt-get install postgresql\n"));
        assert_eq!(as_json(&[ill], false)["findings"][0]["remedy"], "apt-get install postgresql");
    }

    #[test]
    fn a_data_folder_that_is_not_there_is_a_finding() {
        assert!(look_for_data(None).is_well);
        assert!(!look_for_data(Some(PathBuf::from("/nowhere/at/all"))).is_well);
    }

    #[test]
    fn a_server_that_does_not_answer_is_a_finding_without_its_password() {
        let finding = look_at_server("postgres://ann:secret@127.0.0.1:1/x");
        assert!(!finding.is_well);
        assert!(!format!("{finding:?}").contains("secret"), "{finding:?}");
    }
}
