//! `hunch models`: the shelf on which versions of models wait, stand in the shadow, serve and retire. It is a folder
//! beside the programme's keys: `shelf.json`, and each version's file as it was made.

mod watch;

use anyhow::{Context, ensure};
use hunch_db::PoolSizes;
use hunch_engage::Model;
use hunch_learning::choice;
use hunch_learning::life::{Artifact, Shelf, Version, card};
use rustix::fs::{FlockOperation, flock};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::clock::clocks;
use crate::home::{self, Home};
use crate::settings::Settings;

#[derive(clap::Subcommand, Debug)]
pub enum Models {
    /// Every version of every kind, and what it does.
    List {
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Put a file that `hunch train` made on the shelf.
    Add { file: PathBuf },
    /// Print a version's card; the one that serves, or the newest, if no number is given.
    Card { kind: String, number: Option<u32> },
    /// Let a version decide beside what serves, with nobody hearing of it.
    Shadow { kind: String, number: u32 },
    /// How the next-action version in the shadow would have done on the decisions made since its data end.
    Compare,
    /// Let the version in the shadow serve, if it beats its baseline, and, where it decides, if it was shown to do better
    /// than what serves.
    Promote { kind: String, number: u32 },
    /// Let the version serve that served before.
    Rollback { kind: String },
    /// Let no version of a kind serve: the rule that needs no model takes over.
    Retire { kind: String },
    /// Whether decisions are still made of what the serving next-action model learned from, and its expectations met.
    Drift {
        /// How far back to look.
        #[arg(long, default_value_t = 7)]
        days: u16,
    },
    /// Write the programme's decisions and what they earned as DIR/decisions.csv, for `hunch train next-action`.
    Export { folder: PathBuf },
}

/// # Errors
/// One sentence about what is refused, missing or in the way.
pub async fn run(command: &Models, settings: &Settings) -> anyhow::Result<()> {
    home::must_be_there(settings)?;
    match command {
        Models::Export { folder } => export(folder, settings).await,
        Models::Compare => watch::compare(settings).await,
        Models::Drift { days } => watch::drift(*days, settings).await,
        Models::Promote { kind, .. } if kind == choice::KIND => {
            watch::compare(settings).await?;
            on_shelf(command, settings)
        }
        _ => on_shelf(command, settings),
    }
}

async fn export(folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    let home = Home::visit(settings, PoolSizes::default()).await?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut table = Vec::new();
    let decisions = hunch_engage::export(home.database.auditor(), &mut table).await?;
    home.close().await?;
    write_whole(&folder.join("decisions.csv"), &table)?;
    println!(
        "{decisions} decisions, up to the first that still waits for its answer: a look, or a visit within three days"
    );
    Ok(())
}

fn on_shelf(command: &Models, settings: &Settings) -> anyhow::Result<()> {
    let folder = ModelFolder::of(settings);
    let by = std::env::var("USER").unwrap_or_else(|_| "operator".to_owned());
    let at = clocks(1, None).wall.now().to_string();
    match command {
        Models::List { json: true } => println!("{}", serde_json::to_string(&folder.read()?)?),
        Models::List { json: false } => print!("{}", list(&folder.read()?)),
        Models::Add { file } => {
            let artifact = read_artifact(file)?;
            let number = folder.change(|shelf| {
                let number = shelf.add(&artifact, &by, &at)?;
                write_whole(&folder.file(&artifact.kind, number)?, &artifact.to_bytes()?)?;
                Ok(number)
            })?;
            println!("{} {number} is a candidate", artifact.kind);
        }
        Models::Card { kind, number } => {
            let shelf = folder.read()?;
            let version = match number {
                Some(number) => Some(shelf.version(kind, *number)?),
                None => shelf.served(kind).or_else(|| shelf.versions(kind).last()),
            };
            let version = version.with_context(|| format!("there is no model of kind {kind:?}"))?;
            print!("{}", card(&folder.artifact(kind, version)?));
            println!("\n## On the shelf\n\nVersion {}: {}.", version.number, version.state.as_str());
            version.steps.iter().for_each(|step| println!("- {}: {} ({})", step.at, step.to.as_str(), step.by));
        }
        Models::Shadow { kind, number } => {
            folder.change(|shelf| Ok(shelf.shadow(kind, *number, &by, &at)?))?;
            println!("{kind} {number} stands in the shadow");
        }
        Models::Promote { kind, number } => {
            // What cannot be read whole must not serve.
            folder.artifact(kind, folder.read()?.version(kind, *number)?)?;
            folder.change(|shelf| Ok(shelf.promote(kind, *number, &by, &at)?))?;
            println!("{kind} {number} serves");
        }
        Models::Rollback { kind } => {
            let number = folder.change(|shelf| Ok(shelf.rollback(kind, &by, &at)?))?;
            println!("{kind} {number} serves again");
        }
        Models::Retire { kind } => {
            let number = folder.change(|shelf| Ok(shelf.retire(kind, &by, &at)?))?;
            println!("{kind} {number} has retired; no model serves");
        }
        Models::Export { .. } | Models::Compare | Models::Drift { .. } => {}
    }
    Ok(())
}

fn list(shelf: &Shelf) -> String {
    let mut text = String::new();
    for kind in shelf.kinds() {
        for version in shelf.versions(kind) {
            let metrics = version.metrics.iter();
            let metrics: Vec<String> =
                metrics.map(|m| format!("{} {:.4} ({} {:.4})", m.name, m.value, m.baseline_name, m.baseline)).collect();
            let state = version.state.as_str();
            let _ = writeln!(text, "{kind:<16} {:>3} {state:<10} {}", version.number, metrics.join(", "));
        }
    }
    if text.is_empty() {
        text.push_str("No model is on the shelf: the rule that needs none decides. `hunch train --list` says which models there are, \
             `hunch models add FILE` puts one here.\n");
    }
    text
}

/// The folder of a programme's models.
#[derive(Clone, Debug)]
pub struct ModelFolder(PathBuf);

impl ModelFolder {
    pub fn of(settings: &Settings) -> ModelFolder {
        ModelFolder(settings.folder().join("models"))
    }

    /// The shelf as it is now; empty before the first model.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self) -> anyhow::Result<Shelf> {
        let file = self.0.join("shelf.json");
        if !file.exists() {
            return Ok(Shelf::default());
        }
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is not a shelf of models", file.display()))
    }

    /// Changes the shelf; two at once wait for each other. If `change` fails, nothing is written.
    fn change<T>(&self, change: impl FnOnce(&mut Shelf) -> anyhow::Result<T>) -> anyhow::Result<T> {
        fs::create_dir_all(&self.0).with_context(|| self.0.display().to_string())?;
        let lock = File::create(self.0.join("lock")).with_context(|| self.0.display().to_string())?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let mut shelf = self.read()?;
        let changed = change(&mut shelf)?;
        let mut bytes = serde_json::to_vec_pretty(&shelf)?;
        bytes.push(b'\n');
        write_whole(&self.0.join("shelf.json"), &bytes)?;
        Ok(changed)
    }

    /// A version's model, as it was put on the shelf.
    ///
    /// # Errors
    /// When its file is gone, was changed, or is another one.
    pub fn artifact(&self, kind: &str, version: &Version) -> anyhow::Result<Artifact> {
        let file = self.file(kind, version.number)?;
        let artifact = read_artifact(&file)?;
        ensure!(artifact.sha256()? == version.sha256, "{} is not the model that was put there", file.display());
        Ok(artifact)
    }

    /// The model by which decisions are served, and the hash of its file. None if no version serves.
    ///
    /// # Errors
    /// When the one that serves cannot be read or used.
    pub fn deciding(&self) -> anyhow::Result<Option<(String, Model)>> {
        let shelf = self.read()?;
        let Some(version) = shelf.served(choice::KIND) else { return Ok(None) };
        let artifact = self.artifact(choice::KIND, version)?;
        Ok(Some((version.sha256.clone(), Model::of(&artifact)?)))
    }

    fn file(&self, kind: &str, number: u32) -> anyhow::Result<PathBuf> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(!kind.is_empty() && kind.chars().all(plain), "{kind:?} is no kind of model");
        Ok(self.0.join(format!("{kind}-{number}.model")))
    }
}

fn read_artifact(file: &Path) -> anyhow::Result<Artifact> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    Artifact::read(&bytes).with_context(|| file.display().to_string())
}

/// Written beside its place, made durable and moved there: after any failure the file is the old or the new one.
fn write_whole(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let unfinished = file.with_extension("unfinished");
        let mut open = File::create(&unfinished)?;
        open.write_all(bytes)?;
        open.sync_all()?;
        fs::rename(&unfinished, file)?;
        file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_learning::life::{Better, Metric, Window};

    fn model(value: f64) -> Artifact {
        let mut model = Artifact::new("churn", 1, Window::default(), &vec![value]).unwrap();
        model.metrics = vec![Metric {
            name: "log loss".to_owned(),
            value,
            baseline: 0.5,
            baseline_name: "base rate".to_owned(),
            better: Better::Lower,
            gate: true,
        }];
        model
    }

    #[test]
    fn models_are_added_promoted_and_rolled_back_and_a_changed_file_does_not_serve() {
        let folder = tempfile::tempdir().unwrap();
        let toml = folder.path().join("hunch.toml");
        fs::write(&toml, format!("[database]\nfolder = {:?}", folder.path())).unwrap();
        let settings = Settings::load(Some(&toml), std::iter::empty()).unwrap();
        let models = ModelFolder::of(&settings);
        let kind = || "churn".to_owned();
        let tell = |command| on_shelf(&command, &settings);
        for (n, value) in [0.4, 0.3, 0.6].into_iter().enumerate() {
            let file = folder.path().join("made");
            fs::write(&file, model(value).to_bytes().unwrap()).unwrap();
            tell(Models::Add { file }).unwrap();
            tell(Models::Shadow { kind: kind(), number: n as u32 + 1 }).unwrap();
            let promoted = tell(Models::Promote { kind: kind(), number: n as u32 + 1 });
            assert_eq!(promoted.is_ok(), value < 0.5, "{promoted:?}");
        }
        let served = || models.read().unwrap().served("churn").map(|version| version.number);
        assert_eq!(served(), Some(2));
        tell(Models::Rollback { kind: kind() }).unwrap();
        assert_eq!(served(), Some(1));
        let shelf = models.read().unwrap();
        assert_eq!(models.artifact("churn", shelf.served("churn").unwrap()).unwrap(), model(0.4));
        assert!(list(&shelf).contains("served"));
        fs::write(models.0.join("churn-1.model"), model(0.1).to_bytes().unwrap()).unwrap();
        assert!(models.artifact("churn", shelf.served("churn").unwrap()).is_err());
        assert!(models.file("../x", 1).is_err());
    }
}
