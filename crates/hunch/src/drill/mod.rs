//! `hunch drill NAME`: breaks things on purpose, on a programme of its own, and proves that nothing was lost. Each prints
//! one JSON line; the exit code is 0 only if everything held.

mod clawback;
mod kill;
mod load;
mod machine;
mod neighbours;
mod proof;
mod proxy;
mod restore;
mod slow_senders;
pub mod victim;

use crate::settings::Settings;

#[derive(clap::Subcommand, Debug)]
pub enum Drill {
    /// Takes receipts back before, between and after a result and its corrections, in every order.
    Clawback(clawback::ClawbackDrill),
    /// Kills the server and PostgreSQL (kill -9) at random moments under load.
    Kill(kill::KillDrill),
    /// Makes everything the programme leans on slow, broken or absent for a while, one after the other.
    Neighbours(neighbours::NeighboursDrill),
    /// Backs up under load, restores elsewhere, and audits the copy with its anchor.
    Restore(restore::RestoreDrill),
    /// Lets strangers, and one till, send slowly, silently or nonsense, and measures what honest people notice of it.
    SlowSenders(slow_senders::SlowSendersDrill),
}

/// Whether everything held.
pub async fn run(drill: &Drill, settings: &Settings) -> anyhow::Result<bool> {
    match drill {
        Drill::Clawback(options) => clawback::run(options, settings).await,
        Drill::Kill(options) => kill::run(options, settings).await,
        Drill::Neighbours(options) => neighbours::run(options, settings).await,
        Drill::Restore(options) => restore::run(options, settings).await,
        Drill::SlowSenders(options) => slow_senders::run(options, settings).await,
    }
}
