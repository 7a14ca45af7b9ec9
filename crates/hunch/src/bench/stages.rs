//! Where the time and the write-ahead log of a purchase go: PostgreSQL's own count of every statement
//! (`pg_stat_statements`), and the processor time of both processes, while tills buy one by one.

use anyhow::Context;
use reqwest::Client;
use sqlx::{ConnectOptions, Connection, Row};
use std::fmt::Write;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

use crate::bench::apart::{end, serve_apart};
use crate::bench::earn_http::{Place, open_town, reported};
use crate::bench::{cpu_seconds, machine, own_cpu_seconds};
use crate::home::reachable;
use crate::serve::Served;
use crate::settings::Settings;
use hunch_town::Purchase;

#[derive(clap::Args, Debug)]
pub struct StagesBench {
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Parallel clients, each with one purchase on its way.
    #[arg(long, default_value_t = 128)]
    clients: usize,
}

const MEMBERS: usize = 5_000;
/// Statements that cost less of a purchase than this are summed up.
const SHOWN_US: f64 = 0.5;

pub async fn run(options: &StagesBench, settings: &Settings) -> anyhow::Result<String> {
    let served = serve_apart(settings).await?;
    let table = measure(options, &served.0, &served.1).await;
    end(served).await?;
    table
}

struct Statement {
    text: String,
    calls: i64,
    rows: i64,
    us: f64,
    planning_us: f64,
    wal: f64,
}

async fn measure(options: &StagesBench, served: &Served, folder: &std::path::Path) -> anyhow::Result<String> {
    let http = Client::builder().pool_max_idle_per_host(options.clients).build()?;
    let (members, tills) = open_town(&Place::of(served), &http, MEMBERS).await?;
    let superuser = hunch_db::cluster::superuser(&reachable(folder)?).context("the private PostgreSQL does not run")?;
    let mut session = superuser.connect().await?;
    sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .execute(&mut session)
        .await
        .context("PostgreSQL was installed without pg_stat_statements")?;
    sqlx::raw_sql("ALTER SYSTEM SET pg_stat_statements.track_planning = on").execute(&mut session).await?;
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut session).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    sqlx::raw_sql("SELECT pg_stat_statements_reset()").execute(&mut session).await?;
    let (cpu, own, begun) = (cpu_seconds(), own_cpu_seconds(), Instant::now());
    let lasting = Duration::from_secs(options.seconds);
    let mut clients = JoinSet::new();
    for client in 0..options.clients {
        let (till, clocks) = (tills[client % tills.len()].clone(), served.clocks.clone());
        let own: Vec<_> = members.iter().skip(client).step_by(options.clients).cloned().collect();
        clients.spawn(async move {
            let (mut n, mut taken) = (0usize, 0usize);
            while begun.elapsed() < lasting {
                let purchase = Purchase {
                    receipt: format!("{client}-{n}"),
                    member_token: own[n % own.len()].member_token,
                    amount_cents: 100 + (n % 5_000) as i64,
                    currency: "USD",
                    purchased_at: clocks.business.now(),
                };
                n += 1;
                taken += usize::from(reported(&till, std::slice::from_ref(&purchase)).await?);
            }
            anyhow::Ok((taken, n - taken))
        });
    }
    let (mut purchases, mut shed) = (0, 0);
    while let Some(done) = clients.join_next().await {
        let (taken, turned_away) = done??;
        purchases += taken;
        shed += turned_away;
    }
    let took = begun.elapsed().as_secs_f64();
    let (cpu, own) = (cpu_seconds() - cpu, own_cpu_seconds() - own);
    let rows = sqlx::query(
        "SELECT query, calls, rows, total_exec_time * 1000 AS us, total_plan_time * 1000 AS planning, wal_bytes::float8
         FROM pg_stat_statements WHERE query NOT ILIKE '%pg_stat_statements%' ORDER BY total_exec_time + total_plan_time DESC",
    )
    .fetch_all(&mut session)
    .await?;
    let statements = rows.iter().map(|row| {
        Ok(Statement {
            text: row.try_get(0)?,
            calls: row.try_get(1)?,
            rows: row.try_get(2)?,
            us: row.try_get(3)?,
            planning_us: row.try_get(4)?,
            wal: row.try_get(5)?,
        })
    });
    let statements: Vec<Statement> = statements.collect::<Result<_, sqlx::Error>>()?;
    session.close().await?;
    let mut table = table(&statements, purchases as f64, took, own, cpu - own);
    if shed > 0 {
        let _ = writeln!(
            table,
            "\nThe door turned {shed} away, whose cost is in the figures: fewer --clients would be right here."
        );
    }
    Ok(table)
}

fn table(statements: &[Statement], purchases: f64, took: f64, own: f64, postgres: f64) -> String {
    let mut text = format!(
        "{:.0} purchases a second, one by one, on {}.\n\n| Stage | Calls for 100 | us | of it planning | WAL bytes |\n|---|---|---|---|---|\n",
        purchases / took,
        machine()
    );
    let mut rest = (0i64, 0.0, 0.0, 0.0);
    let mut line = |name: &str, calls: f64, us: f64, planning: f64, wal: f64| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {name} | {calls:.1} | {us:.1} | {planning:.1} | {wal:.0} |");
    };
    for one in statements {
        let us = (one.us + one.planning_us) / purchases;
        if us < SHOWN_US {
            rest = (rest.0 + one.calls, rest.1 + us, rest.2 + one.planning_us, rest.3 + one.wal);
            continue;
        }
        let name = format!("{} ({:.0} rows each)", stage(&one.text), one.rows as f64 / one.calls.max(1) as f64);
        let each = |sum: f64| sum / purchases;
        line(&name, 100.0 * each(one.calls as f64), us, each(one.planning_us), each(one.wal));
    }
    line("everything smaller", 100.0 * rest.0 as f64 / purchases, rest.1, rest.2 / purchases, rest.3 / purchases);
    let sum = |of: fn(&Statement) -> f64| statements.iter().map(of).sum::<f64>() / purchases;
    let (calls, planning) = (sum(|one| one.calls as f64), sum(|one| one.planning_us));
    line("**statements together**", 100.0 * calls, sum(|one| one.us) + planning, planning, sum(|one| one.wal));
    let _ = writeln!(
        text,
        "\nProcessor time for a purchase: {:.0} us in PostgreSQL, {:.0} us in the programme and in the tills that ask it.",
        postgres * 1e6 / purchases,
        own * 1e6 / purchases
    );
    text
}

/// The verb and what it is about.
fn stage(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().collect();
    let table = words.iter().find(|word| word.contains('.') && !word.contains('(') && !word.contains('$'));
    let verb = if statement.contains("INSERT INTO") { "INSERT" } else { words.first().copied().unwrap_or_default() };
    match table {
        Some(table) => format!("`{verb} {}`", table.trim_matches([',', ';', ')'])),
        None => format!("`{}`", words.iter().take(6).copied().collect::<Vec<_>>().join(" ")),
    }
}
