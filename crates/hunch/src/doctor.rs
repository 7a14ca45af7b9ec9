//! `hunch doctor`: what this machine lacks, and the exact command that brings it. Changes nothing.

use std::{env, ffi::OsString, path::PathBuf, process::ExitCode};

use hunch_db::{
    Database, DatabaseConfig,
    cluster::{Finding, diagnose},
};
use serde_json::json;

use crate::{
    home,
    settings::{Settings, Source},
};

/// Prints the findings and answers with failure if something is missing without which Hunch cannot run.
///
/// # Errors
/// If the answer cannot be written down.
pub async fn run(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let findings = examine(settings).await;
    let ready = !findings.iter().any(Finding::stops);
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
    findings.push(look_at_contact(settings));
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

/// The default will do for trying: a phone whose push service wants to know whom it deals with hears nothing.
fn look_at_contact(settings: &Settings) -> Finding {
    const SUBJECT: &str = "push contact";
    match settings.source("push.subject") {
        Source::Default => Finding::doubtful(
            SUBJECT,
            "push.subject is not set; some push services, Apple's among them, take no push without an address of yours",
            "export HUNCH_PUSH__SUBJECT=mailto:you@your-domain",
        ),
        _ => Finding::well(SUBJECT, settings.text("push.subject")),
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
        Some(folder) => Finding::doubtful(
            SUBJECT,
            format!("HUNCH_DATA_DIR names {}, which is no folder; the demo uses its own small file", folder.display()),
            "unset HUNCH_DATA_DIR",
        ),
    }
}

fn as_json(findings: &[Finding], ready: bool) -> serde_json::Value {
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "subject": finding.subject, "is_well": finding.is_well, "is_needed": finding.is_needed,
                "found": finding.found, "remedy": finding.remedy,
            })
        })
        .collect();
    json!({ "ready": ready, "findings": findings })
}

fn as_text(findings: &[Finding], ready: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding {
            well if well.is_well => "ok     ",
            missing if missing.is_needed => "MISSING",
            _ => "WARNING",
        };
        text.push_str(&format!("{mark}  {}: {}\n", finding.subject, finding.found));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("           run: {remedy}\n"));
        }
    }
    let warned = findings.iter().any(|finding| !finding.is_well);
    text.push_str(match (ready, warned) {
        (true, false) => "Everything that Hunch needs is there.\n",
        (true, true) => "Hunch can run; what is marked WARNING is worth mending.\n",
        (false, _) => "Hunch cannot run yet.\n",
    });
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

    /// The demo falls back on its own file, so a wrong folder is worth a word and stops nothing.
    #[test]
    fn a_data_folder_that_is_not_there_is_a_warning() {
        assert!(look_for_data(None).is_well);
        let wrong = look_for_data(Some(PathBuf::from("/nowhere/at/all")));
        assert!(!wrong.is_well && !wrong.stops());
        let text = as_text(&[wrong], true);
        assert!(text.contains("WARNING  real data sets") && text.contains("Hunch can run;"), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_a_finding_without_its_password() {
        let finding = look_at_server("postgres://ann:secret@127.0.0.1:1/x").await;
        assert!(!finding.is_well);
        assert!(!format!("{finding:?}").contains("secret"), "{finding:?}");
    }
}
