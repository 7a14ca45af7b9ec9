//! Offer response: probability that a household redeems anything of a campaign.

use std::collections::HashMap;
use std::path::Path;

use hunch_learning::response::{Household, Offer, Past, Redemption, response};

use crate::EvaluateError;
use crate::clock::Clock;
use crate::files::{Column, Field, Predictions, Table, find};
use crate::purchases::{day_number, log_name_in, read_log};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task =
    Task { name: "offer", about: "probability that a household redeems coupons of a campaign", evaluate };

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let mut numbers = Numbers::default();
    let asked = read_offers(run.input, "input.csv", &mut numbers, false)?;
    let (mut offers, mut redemptions) = (Vec::new(), Vec::new());
    for folder in run.train {
        if find(folder, "train.csv").is_some() {
            offers.extend(read_offers(folder, "train.csv", &mut numbers, true)?);
        }
        if find(folder, "redemptions.csv").is_some() {
            redemptions.extend(read_redemptions(folder, &mut numbers)?);
        }
    }
    if offers.is_empty() {
        return Err(EvaluateError::Data("offer needs a --train folder with train.csv to learn from".to_owned()));
    }
    let (households, log_start) = read_households(run, &mut numbers)?;
    let past_offers: Vec<Offer> = offers.iter().map(|row| row.offer).collect();
    let redeemed: Vec<f64> = offers.iter().map(|row| row.redeemed).collect();
    let past = Past {
        offers: &past_offers,
        redeemed: &redeemed,
        redemptions: &redemptions,
        households: &households,
        log_start,
    };
    let asked_offers: Vec<Offer> = asked.iter().map(|row| row.offer).collect();
    let taken = response(past, &asked_offers, run.seed, run.threads).map_err(|e| EvaluateError::Data(e.to_string()))?;
    let mut out = Predictions::create(run.out, &["household_id", "campaign_id", "p_redeem"])?;
    for (row, p) in asked.iter().zip(taken) {
        out.row(format_args!("{},{},{p:.6}", Field(&row.household), Field(&row.campaign)))?;
    }
    out.finish()
}

/// Numbers for households, campaigns and kinds, in the order in which they are met.
#[derive(Default)]
struct Numbers {
    households: HashMap<String, usize>,
    campaigns: HashMap<String, usize>,
    kinds: HashMap<String, usize>,
}

fn number(known: &mut HashMap<String, usize>, name: &str) -> usize {
    let next = known.len();
    *known.entry(name.to_owned()).or_insert(next)
}

struct Row {
    household: String,
    campaign: String,
    offer: Offer,
    redeemed: f64,
}

/// # Errors
/// A missing column; with its line, a date that is none, a campaign that ends before it starts, an outcome that is
/// neither 0 nor 1, a household that stands twice in one campaign.
fn read_offers(
    folder: &Path,
    name: &str,
    numbers: &mut Numbers,
    with_outcome: bool,
) -> Result<Vec<Row>, EvaluateError> {
    let mut table = Table::open(folder, name)?;
    let (household, campaign) = (table.column("household_id")?, table.column("campaign_id")?);
    let (kind, start, end) = (table.column("campaign_type")?, table.column("start_date")?, table.column("end_date")?);
    let outcome = if with_outcome { Some(table.column("redeemed")?) } else { None };
    let (mut rows, mut pairs) = (Vec::new(), std::collections::HashSet::new());
    while table.next_row()? {
        let offer = Offer {
            household: number(&mut numbers.households, required(&table, household)?),
            campaign: number(&mut numbers.campaigns, required(&table, campaign)?),
            kind: number(&mut numbers.kinds, table.text(kind)),
            start: day(&table, start)?,
            end: day(&table, end)?,
        };
        if offer.end < offer.start {
            return Err(table.wrong(end, "the campaign ends before it starts"));
        }
        if !pairs.insert((offer.household, offer.campaign)) {
            return Err(table.wrong(household, "this household stands in this campaign already"));
        }
        let redeemed = match outcome {
            Some(column) => table.number(column)?,
            None => 0.0,
        };
        if let Some(column) = outcome.filter(|_| redeemed != 0.0 && redeemed != 1.0) {
            return Err(table.wrong(column, "0 or 1 is needed here"));
        }
        let (household, campaign) = (table.text(household).to_owned(), table.text(campaign).to_owned());
        rows.push(Row { household, campaign, offer, redeemed });
    }
    Ok(rows)
}

fn read_redemptions(folder: &Path, numbers: &mut Numbers) -> Result<Vec<Redemption>, EvaluateError> {
    let mut table = Table::open(folder, "redemptions.csv")?;
    let (date, household) = (table.column("date")?, table.column("household_id")?);
    let campaign = table.column("campaign_id")?;
    let mut redemptions = Vec::new();
    while table.next_row()? {
        redemptions.push(Redemption {
            household: number(&mut numbers.households, required(&table, household)?),
            campaign: number(&mut numbers.campaigns, required(&table, campaign)?),
            day: day(&table, date)?,
        });
    }
    Ok(redemptions)
}

/// Purchases of the households that are known by number, from every folder with a log; first day of the logs.
fn read_households(run: &Run<'_>, numbers: &mut Numbers) -> Result<(Vec<Household>, i32), EvaluateError> {
    let mut households = vec![Household::default(); numbers.households.len()];
    let mut log_start = i32::MAX;
    for folder in run.train {
        let Some(name) = log_name_in(folder)? else { continue };
        if Table::open(folder, &name)?.column_if_any("customer_id").is_none() {
            continue;
        }
        let log = read_log(folder, &name, None)?;
        for ((id, history), extras) in log.ids.iter().zip(log.histories).zip(log.extras) {
            log_start = log_start.min(history.days().first().copied().unwrap_or(i32::MAX));
            if let Some(place) = numbers.households.get(id)
                && households[*place].purchases.days().is_empty()
            {
                households[*place] = Household { purchases: history, extras };
            }
        }
    }
    Ok((households, log_start))
}

fn required(table: &Table, column: Column) -> Result<&str, EvaluateError> {
    let text = table.text(column);
    if text.is_empty() { Err(table.wrong(column, "this must not be empty")) } else { Ok(text) }
}

fn day(table: &Table, column: Column) -> Result<i32, EvaluateError> {
    Ok(day_number(Clock::default().moment(table, column)?.date()))
}
