//! Hunch: a loyalty programme for a town. This crate only wires: settings, commands, loops.

mod auditing;
mod backup;
mod bench;
mod clock;
mod demo;
mod doctor;
mod drill;
mod exchange;
mod home;
mod models;
mod only_one;
mod programme;
mod sandbox;
mod secrets;
mod serve;
mod settings;
mod sweeping;
mod trading_loops;
mod treasury;
mod watchable;

use anyhow::Context;
use clap::{Parser, Subcommand};
use hunch_db::PoolSizes;
use settings::Settings;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A server makes and drops a great many small pieces: glibc's allocator took a tenth of a purchase's processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser, Debug)]
#[command(
    name = "hunch",
    version,
    about = "A loyalty programme for a town: points from local shopping, staked on same-day markets"
)]
struct Cli {
    /// Settings file; `hunch.toml`, if there is one, when none is named.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Watch a town at work: shops, members and purchases on a private database.
    Demo(demo::DemoArgs),
    /// Run the programme and its HTTP API until Ctrl-C.
    Serve,
    /// An exchange that speaks Kalshi's protocol, alone: a believable day of markets for any client.
    ExchangeSim(hunch_exchange_sim::cli::Args),
    /// Ask the configured exchange whether it works, what we have there and what could be traded.
    ExchangeStatus,
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
    /// Bring the database's schema up to date.
    Migrate {
        /// Print the SQL with which a superuser makes the four roles, and do nothing else.
        #[arg(long)]
        print_roles: bool,
    },
    /// Check that every point and every dollar is accounted for.
    Audit {
        /// From the beginning instead of from where the last audit ended.
        #[arg(long)]
        full: bool,
        /// Also prove the log against hashes kept outside the database.
        #[arg(long)]
        anchor: Option<PathBuf>,
        /// Append the present hashes to this file afterwards, if everything holds.
        #[arg(long)]
        write_anchor: Option<PathBuf>,
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Copy the running programme's private database and keys into a new folder.
    Backup {
        /// The new folder; it holds people's data and the programme's keys, so keep it as safe as the original.
        folder: PathBuf,
    },
    /// Make the private database and keys of a backup this programme's own, and audit them.
    Restore {
        /// As `hunch backup` left it.
        folder: PathBuf,
    },
    /// Predict what a directory of data asks for, and write the predictions as CSV.
    Evaluate(hunch_evaluation::cli::Args),
    /// Learn from a directory of data, write the model's file and print its card.
    Train(hunch_evaluation::train::Args),
    /// The operator's dollars: what each account holds, and covering losses.
    #[command(subcommand)]
    Treasury(treasury::Treasury),
    /// Which models wait, stand in the shadow, serve and have retired.
    #[command(subcommand)]
    Models(models::Models),
    /// Say what this machine lacks and the exact command that brings it.
    Doctor {
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Make the token of the second person, who approves what one operator must not do alone. Run it on that person's machine.
    Approver,
    /// Settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Break things on purpose and prove that nothing was lost: one JSON line and an exit code each.
    #[command(subcommand)]
    Drill(drill::Drill),
    /// Measure speed: one JSON line each.
    #[command(subcommand)]
    Bench(bench::Bench),
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Explain every setting and where its value came from; fail if they do not fit together.
    Check,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hunch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(cli.config.as_deref(), std::env::vars())?;
    start_log(&settings)?;
    // Only the drills' own tests set it, in a build that has mistakes to plant.
    if let Ok(mistake) = std::env::var("HUNCH_DRILL_MISTAKE") {
        anyhow::ensure!(hunch_kernel::plant_for_ever(mistake), "this build has no mistakes to plant");
    }
    // One TLS provider for every client in the process; a second attempt to install it is harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(run(cli.command, &settings))
}

async fn run(command: Command, settings: &Settings) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(&args, settings).await,
        Command::Serve => serve::run(settings).await.map(|()| ExitCode::SUCCESS),
        Command::ExchangeSim(args) => {
            let interrupted = async {
                let _ = tokio::signal::ctrl_c().await;
            };
            hunch_exchange_sim::cli::run(args, clock::clocks(1, None), interrupted).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::ExchangeStatus => {
            exchange::status(settings, &clock::clocks(1, None)).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Openapi => {
            print!("{}", hunch_http::openapi_json());
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate { print_roles: true } => {
            print!("{}", hunch_db::roles::CREATE_ROLES_SQL.trim_start());
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate { print_roles: false } => {
            let home = home::Home::open(settings, PoolSizes::default()).await?;
            println!("The schema is up to date{}.", home.how_started().map(|h| format!(" ({h})")).unwrap_or_default());
            home.close().await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Audit { full, anchor, write_anchor, json } => {
            let options = hunch_audit::AuditOptions::with_anchors(full, anchor)?;
            let held = audit(&options, write_anchor.as_deref(), json, settings).await?;
            Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Backup { folder } => {
            backup::back_up(&folder, settings).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Restore { folder } => {
            let held = backup::restore(&folder, settings).await?;
            Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Evaluate(args) => {
            hunch_evaluation::cli::run(&args)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Train(args) => {
            hunch_evaluation::train::run(&args)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Treasury(treasury) => {
            treasury::run(&treasury, settings).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Models(models) => {
            models::run(&models, settings).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Approver => {
            secrets::new_approver();
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { json } => doctor::run(settings, json).await,
        Command::Config(ConfigCommand::Check) => {
            print!("{}", settings.explain());
            settings.check()?;
            exchange::try_key(settings)?;
            serve::check_clock(settings).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Drill(drill) => {
            let held = drill::run(&drill, &settings.with_velocity_raised()?).await?;
            Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Bench(bench) => {
            let held = bench::run(&bench, &settings.with_velocity_raised()?).await?;
            Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Looks at the books and says whether they hold. Only of books that do is an anchor written.
async fn audit(
    options: &hunch_audit::AuditOptions,
    write_anchor: Option<&Path>,
    json: bool,
    settings: &Settings,
) -> anyhow::Result<bool> {
    let home = home::Home::visit(settings, PoolSizes::default()).await?;
    let now = clock::clocks(1, None).wall.now();
    let auditor = home.database.auditor();
    let report = match std::io::stderr().is_terminal() {
        true => auditing::audit_aloud(auditor, options, now).await?,
        false => hunch_audit::run(auditor, options, now).await?,
    };
    if json {
        println!("{}", serde_json::to_string(&report)?)
    } else {
        print!("{}", report.to_text())
    }
    if let Some(path) = write_anchor.filter(|_| report.holds) {
        hunch_audit::write_anchor_file(home.database.auditor(), path, now).await?;
    }
    home.close().await?;
    Ok(report.holds)
}

fn start_log(settings: &Settings) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(settings.text("log.filter")).context("log.filter")?;
    // Colours are for people: in a file or a pipe they are noise.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match settings.text("log.format") {
        "json" => log.json().init(),
        _ => log.init(),
    }
    Ok(())
}
