//! Whether a points command costs the same when there is much history, and when one sponsor pays for everything.

use serde::Serialize;
use sqlx::PgPool;

use crate::bench::apart::on_new_books;
use crate::bench::ledger::{self, Load};
use crate::bench::machine;
use crate::settings::Settings;

const MEMBERS: usize = 10_000;
const CLIENTS: usize = 16;
const BATCH: usize = 500;
const SPONSORS_FEW: u128 = 1;
const SPONSORS_MANY: u128 = 200;

#[derive(clap::Args, Debug)]
pub struct GrowthBench {
    /// Entries of history, a tenth of them in one account.
    #[arg(long, default_value_t = 10_000_000)]
    history: usize,
    /// Commands of each measurement.
    #[arg(long, default_value_t = 400_000)]
    commands: usize,
}

/// Commands a second of each measurement; all in one run on one database.
#[derive(Debug, Serialize)]
pub struct Growth {
    pub bench: &'static str,
    pub empty_per_second: u64,
    pub one_sponsor_per_second: u64,
    pub many_sponsors_per_second: u64,
    /// Of `many_sponsors_per_second`.
    pub share_with_one_sponsor: f64,
    pub history_entries: i64,
    /// Entries of the account that has most.
    pub history_of_one: i64,
    pub filled_per_second: u64,
    /// Of `empty_per_second`.
    pub share_when_filled: f64,
    /// PostgreSQL alone, with the books empty and with them filled.
    pub floor_empty_per_second: u64,
    pub floor_filled_per_second: u64,
    pub floor_share_when_filled: f64,
    pub commands: usize,
    pub clients: usize,
    pub batch: usize,
    pub machine: String,
}

pub async fn run(options: &GrowthBench, settings: &Settings) -> anyhow::Result<Growth> {
    on_new_books(settings, async |app, owner| measure(options, app, owner).await).await
}

async fn measure(options: &GrowthBench, app: &PgPool, owner: &PgPool) -> anyhow::Result<Growth> {
    let members = ledger::open(app, MEMBERS).await?;
    let floor_empty = ledger::floor(options.commands, MEMBERS, owner).await?;
    let mut first = 0;
    let mut rate = async |commands: usize, sponsors: u128, to_one: bool| -> anyhow::Result<f64> {
        let load = Load { commands, clients: CLIENTS, batch: BATCH, sponsors, to_one, first };
        first += commands / (CLIENTS * BATCH) + 1;
        let (_, figures) = ledger::post(app, &members, &load).await?;
        Ok(figures.done / figures.took.as_secs_f64())
    };
    // Not counted: the first pages of everything.
    rate(options.commands / 4, SPONSORS_MANY, false).await?;
    let empty = rate(options.commands, 40, false).await?;
    let one = rate(options.commands, SPONSORS_FEW, false).await?;
    let many = rate(options.commands, SPONSORS_MANY, false).await?;
    eprintln!("   {empty:.0} a second at first; now {} entries of history", options.history);
    rate(options.history / 10, 40, true).await?;
    rate(options.history - options.history / 10, 40, false).await?;
    let (entries, most) = sqlx::query_as::<_, (i64, i64)>(
        "SELECT sum(n)::int8, max(n) FROM (SELECT count(*) AS n FROM ledger.entry GROUP BY member) of_one",
    )
    .fetch_one(owner)
    .await?;
    // As at first: what a checkpoint left behind is touched for the first time.
    rate(options.commands / 4, 40, false).await?;
    let filled = rate(options.commands, 40, false).await?;
    let floor_filled = ledger::floor(options.commands, MEMBERS, owner).await?;
    let share = |a: f64, b: f64| (a / b * 1_000.0).round() / 1_000.0;
    Ok(Growth {
        bench: "growth",
        empty_per_second: empty as u64,
        one_sponsor_per_second: one as u64,
        many_sponsors_per_second: many as u64,
        share_with_one_sponsor: share(one, many),
        history_entries: entries,
        history_of_one: most,
        filled_per_second: filled as u64,
        share_when_filled: share(filled, empty),
        floor_empty_per_second: floor_empty as u64,
        floor_filled_per_second: floor_filled as u64,
        floor_share_when_filled: share(floor_filled, floor_empty),
        commands: options.commands,
        clients: CLIENTS,
        batch: BATCH,
        machine: machine(),
    })
}
