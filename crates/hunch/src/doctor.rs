//! `hunch doctor`: what this machine lacks, and the exact command that brings it. Changes nothing.

use std::{env, ffi::OsString, path::PathBuf, process::ExitCode};

use hunch_db::{
    Database, DatabaseConfig,
    cluster::{Finding, diagnose},
};
use serde_json::json;

use crate::{home, settings::Settings};

/// Prints the findings and answers with failure if something is missing.
///
/// # Errors
/// If the answer cannot be written down.
pub async fn run(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let findings = examine(settings).await;
    let ready = findings.iter().all(|finding| finding.is_well);
    if json {
        println!("{}", serde_json::to_string(&as_json(&findings, ready))?);
    } else {
        print!("{}", as_text(&findings, ready));
    }
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = match settings.text("database.url") {
        "" => diagnose(&home::cluster_folder(settings).unwrap_or_else(|_| settings.folder()), None),
        url => vec![look_at_server(url).await],
    };
    findings.push(match settings.check() {
        Ok(()) => Finding::well("settings", "they fit together"),
        Err(error) => Finding::ill("settings", format!("{error:#}"), "hunch config check"),
    });
    findings.push(look_for_compiler(env::var_os("PATH")));
    findings.push(look_for_data(env::var_os("HUNCH_DATA_DIR").map(PathBuf::from)));
    findings
}

/// An operator's server is reached or not; its password never appears in what is printed.
async fn look_at_server(url: &str) -> Finding {
    const SUBJECT: &str = "database.url";
    let reached = async {
        let config = DatabaseConfig::from_url(url)?;
        Database::connect(&config).await?.close().await;
        anyhow::Ok(())
    };
    match reached.await {
        Ok(()) => Finding::well(SUBJECT, "the server lets the role hunch_owner in"),
        Err(error) => {
            Finding::ill(SUBJECT, format!("{error:#}"), "psql \"$HUNCH_DATABASE__URL\" -U hunch_owner -c 'SELECT 1'")
        }
    }
}

/// `hunch drill neighbours` breaks clock and disk with a small library that it compiles itself. Only that needs it, so
/// its absence does not keep Hunch from running.
fn look_for_compiler(path: Option<OsString>) -> Finding {
    const SUBJECT: &str = "C compiler (cc)";
    let found = path.iter().flat_map(env::split_paths).map(|folder| folder.join("cc")).find(|file| file.is_file());
    match found {
        Some(file) => Finding::well(SUBJECT, file.display().to_string()),
        None => Finding::well(SUBJECT, "none; only `hunch drill neighbours` needs it: apt-get install gcc libc6-dev"),
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
    fn the_compiler_of_a_drill_is_named_and_not_required() {
        let found = look_for_compiler(Some("/nowhere/at/all".into()));
        assert!(
            found.is_well && found.found.contains("drill neighbours") && found.found.contains("apt-get"),
            "{found:?}"
        );
    }

    #[test]
    fn a_data_folder_that_is_not_there_is_a_finding() {
        assert!(look_for_data(None).is_well);
        assert!(!look_for_data(Some(PathBuf::from("/nowhere/at/all"))).is_well);
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_a_finding_without_its_password() {
        let finding = look_at_server("postgres://ann:secret@127.0.0.1:1/x").await;
        assert!(!finding.is_well);
        assert!(!format!("{finding:?}").contains("secret"), "{finding:?}");
    }
}
