//! What the stored decisions say of models that decide: whether one in the shadow would do better than what serves, and
//! whether the one that serves still meets the world it learned from.

use anyhow::{Context, ensure};
use hunch_db::PoolSizes;
use hunch_engage::{Beside, Model, shadow, told, told_between};
use hunch_kernel::Shard;
use hunch_learning::choice;
use hunch_learning::life::{Comparison, Reference, Verdict, calibration, stability};
use hunch_learning::off_policy::{CrossFit, Estimator, Intervals, Log, estimate, gate};
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;

use crate::home::Home;
use crate::models::ModelFolder;
use crate::settings::Settings;

/// Of each bound of a comparison: one in forty that it is wrong, so that the interval holds in nineteen of twenty.
const ERROR: f64 = 0.025;
/// Fewer decisions than this compare nothing.
const DECISIONS_MIN: usize = 200;
const BINS: usize = 10;

const THOUSANDTHS: f64 = 1_000.0;
const MILLIONTHS: f64 = 1_000_000.0;

/// Asks the version in the shadow about the decisions since its data end, writes down what came of it, and says it.
///
/// # Errors
/// When there is none, or too few decisions whose earnings are known.
pub async fn compare(settings: &Settings) -> anyhow::Result<()> {
    let folder = ModelFolder::of(settings);
    let shelf = folder.read()?;
    let version = shelf
        .shadowing(choice::KIND)
        .with_context(|| format!("no version of {:?} stands in the shadow: `hunch models shadow`", choice::KIND))?;
    let model = Model::of(&folder.artifact(choice::KIND, version)?)?;
    let home = Home::visit(settings, PoolSizes::default()).await?;
    let asked = ask(home.database.auditor(), &model, model.learned_until()).await;
    home.close().await?;
    let found = judge(&asked?)?;
    let (number, since) = (version.number, model.learned_until());
    println!("{} {number}, on {} decisions since {since}, beside what was served:", choice::KIND, found.decisions);
    println!("  the same choice in {} of 100", 100 * found.agreed / found.decisions.max(1));
    println!(
        "  {:+.4} a decision, between {:+.4} and {:+.4} in nineteen of twenty",
        found.difference, found.difference_low, found.difference_high
    );
    folder.change(|shelf| Ok(shelf.compared(choice::KIND, number, found)?))
}

async fn ask(pool: &PgPool, model: &Model, since: Timestamp) -> anyhow::Result<Vec<Beside>> {
    let mut all = Vec::new();
    for shard in 0..hunch_log::shards(pool).await? {
        all.extend(shadow(pool, Shard(shard as i16), model, since).await?);
    }
    Ok(all)
}

/// What the model would have earned less what was earned, by the same weights and decision by decision.
fn judge(asked: &[Beside]) -> anyhow::Result<Comparison> {
    ensure!(
        asked.len() >= DECISIONS_MIN,
        "only {} decisions since the model's data end have earned what they will; {DECISIONS_MIN} are needed",
        asked.len()
    );
    // What was chosen, and everything else.
    let log = Log {
        action: &vec![0; asked.len()],
        reward: &asked.iter().map(|b| f64::from(b.reward_thousandths) / THOUSANDTHS).collect::<Vec<_>>(),
        propensity: &asked.iter().map(|b| f64::from(b.propensity_ppm) / MILLIONTHS).collect::<Vec<_>>(),
        actions: 2,
    };
    let value = |chance: fn(&Beside) -> u32| {
        let policy: Vec<f64> =
            asked.iter().map(|b| f64::from(chance(b)) / MILLIONTHS).flat_map(|p| [p, 1.0 - p]).collect();
        let nothing_assumed = CrossFit::given(vec![0.0; policy.len()]);
        let intervals = Intervals { level: 1.0 - 2.0 * ERROR, population: true };
        let all = estimate(&log, &policy, &nothing_assumed, &intervals)?;
        all.into_iter().find(|one| one.estimator == Estimator::Snips).context("no estimate")
    };
    let (served, shadow) = (value(|b| b.propensity_ppm)?, value(|b| b.share_ppm)?);
    let (better, worse) = (gate(&served, &shadow, ERROR)?, gate(&shadow, &served, ERROR)?);
    Ok(Comparison {
        decisions: asked.len() as u64,
        agreed: asked.iter().filter(|b| b.same).count() as u64,
        difference: better.gain,
        difference_low: better.low,
        difference_high: -worse.low,
    })
}

/// Compares the last days with the time that the serving model learned from, and says where they differ.
///
/// # Errors
/// When no model serves, or there is nothing to compare. An alarm is an error too, so that whoever runs it by the clock
/// hears of it.
pub async fn drift(days: u16, settings: &Settings) -> anyhow::Result<()> {
    let folder = ModelFolder::of(settings);
    let shelf = folder.read()?;
    let version = shelf.served(choice::KIND).with_context(|| format!("no version of {:?} serves", choice::KIND))?;
    let artifact = folder.artifact(choice::KIND, version)?;
    let model = Model::of(&artifact)?;
    let from: Timestamp = artifact.window.from.parse().context("the model does not say from when its data are")?;
    let home = Home::visit(settings, PoolSizes::default()).await?;
    let seen = look(home.database.auditor(), &model, from, SignedDuration::from_hours(24 * i64::from(days))).await;
    home.close().await?;
    let (then, now, asked) = seen?;
    ensure!(!then.is_empty(), "the decisions that the model learned from are not in this database");
    ensure!(!now.is_empty(), "nothing was decided in the last {days} days");
    let alarms = report(&then, &now, &asked)?;
    ensure!(alarms == 0, "{alarms} of these are an alarm: train anew, or let the rule decide (`hunch models retire`)");
    Ok(())
}

type Numbers = [i32; told::WIDTH];

async fn look(
    pool: &PgPool,
    model: &Model,
    from: Timestamp,
    span: SignedDuration,
) -> anyhow::Result<(Vec<Numbers>, Vec<Numbers>, Vec<Beside>)> {
    // By the log's own clock: a programme that stands still has not drifted.
    let end = hunch_log::newest(pool)
        .await?
        .context("nothing has happened yet")?
        .saturating_add(SignedDuration::from_secs(1))?;
    let since = end.saturating_sub(span)?.max(model.learned_until());
    let then = told_between(pool, from, model.learned_until()).await?;
    let now = told_between(pool, since, end).await?;
    Ok((then, now, ask(pool, model, model.learned_until()).await?))
}

/// Prints a line for each number a model is told, and one for its expectations. How many are an alarm.
fn report(then: &[Numbers], now: &[Numbers], asked: &[Beside]) -> anyhow::Result<usize> {
    let mut alarms = 0;
    println!("{:<26}{:>10}{:>12}", "told of each choice", "shift", "by chance");
    for (at, name) in told::NAMES.iter().enumerate() {
        let column = |rows: &[Numbers]| rows.iter().map(|row| f64::from(row[at])).collect::<Vec<_>>();
        let shift = stability(&Reference::new(name, &column(then), BINS)?, &column(now))?;
        println!("{name:<26}{:>10.3}{:>12.3}  {}", shift.psi, shift.by_chance, word(shift.verdict));
        alarms += usize::from(shift.verdict == Verdict::Alarm);
    }
    let (expected, answered): (Vec<f64>, Vec<f64>) = asked
        .iter()
        .filter_map(|b| {
            let expected = f64::from(b.expected_thousandths?) / THOUSANDTHS;
            Some((expected, if f64::from(b.reward_thousandths) >= THOUSANDTHS { 1.0 } else { 0.0 }))
        })
        .unzip();
    if expected.is_empty() {
        println!("answers: none is known yet since the model's data end");
        return Ok(alarms);
    }
    let held = calibration(&expected, &answered)?;
    println!(
        "answers to {} prompts and offers: {:+.4} beside what was expected, {:.4} on average over tenths  {}",
        held.rows,
        held.mean_gap,
        held.bin_gap,
        word(held.verdict)
    );
    Ok(alarms + usize::from(held.verdict == Verdict::Alarm))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Steady => "steady",
        Verdict::Watch => "watch",
        Verdict::Alarm => "ALARM",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every second decision was answered where `share` was high, none elsewhere.
    fn asked(share_of_answered: u32) -> Vec<Beside> {
        (0..600)
            .map(|n| {
                let answered = n % 2 == 0;
                Beside {
                    propensity_ppm: 300_000,
                    share_ppm: if answered { share_of_answered } else { 600_000 - share_of_answered },
                    reward_thousandths: if answered { 1_000 } else { 0 },
                    expected_thousandths: Some(500),
                    same: answered,
                }
            })
            .collect()
    }

    #[test]
    fn a_model_that_favours_what_is_answered_is_shown_to_be_better_and_the_other_is_not() {
        let better = judge(&asked(450_000)).unwrap();
        assert!(better.difference_low > 0.1 && better.difference_high < 0.5, "{better:?}");
        let same = judge(&asked(300_000)).unwrap();
        assert!(same.difference.abs() < 1e-9 && same.difference_low <= 0.0 && same.difference_high >= 0.0, "{same:?}");
        let worse = judge(&asked(150_000)).unwrap();
        assert!(worse.difference_high < 0.0, "{worse:?}");
        assert!(judge(&asked(450_000)[..100]).unwrap_err().to_string().contains("only 100 decisions"));
    }

    #[test]
    fn what_changed_is_an_alarm_and_what_did_not_is_none() {
        let told = |shift: i32| -> Vec<Numbers> {
            (0..500)
                .map(|n| std::array::from_fn(|at| (n * 7 + at as i32) % 10 * 100 + if at == 3 { shift } else { 0 }))
                .collect()
        };
        let expected = |thousandths| -> Vec<Beside> {
            asked(300_000).into_iter().map(|b| Beside { expected_thousandths: Some(thousandths), ..b }).collect()
        };
        assert_eq!(report(&told(0), &told(0), &expected(500)).unwrap(), 0);
        assert_eq!(report(&told(0), &told(600), &expected(500)).unwrap(), 1);
        assert_eq!(report(&told(0), &told(0), &expected(100)).unwrap(), 1);
        assert_eq!(report(&told(0), &told(0), &[]).unwrap(), 0);
    }
}
