//! Trainers for what a customer will buy and who goes. What is judged is the whole model as `hunch evaluate` has it,
//! learned up to an earlier cut-off; what is kept is the same learned up to the last one.

use hunch_learning::churn::{Churn, ChurnModel, churn as judge};
use hunch_learning::life::{Artifact, Better, Judged, Metric, Reference, Window};
use hunch_learning::value::{MeanSpend, Moment, PurchaseHistory, Summary, ValueError, ValueModel, forecast};
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::{TrainRun, purpose};
use crate::EvaluateError;
use crate::ltv::moment;
use crate::purchases::{Asked, Customers, log_name_in};

const WEEK: f64 = 7.0;
/// Days of past that a cut-off needs.
const PAST_DAYS_MIN: i32 = 28;
const REFERENCE_BINS: usize = 10;

/// Holds a [`ValueModel`].
pub fn ltv(run: &TrainRun<'_>) -> Result<Artifact, EvaluateError> {
    let (customers, asked) = read(run)?;
    let histories = &customers.histories;
    let now = moment(&customers, &asked, asked.horizon_days, &run.as_run())?;
    let back = earlier(now, now.horizon)?;
    let past = Known::at(histories, back);
    let (days, spend) = past.outcomes(histories);
    let own_days: Vec<f64> = past.customers.iter().map(|known| known.own_rate() * f64::from(back.horizon)).collect();
    let own_spend: Vec<f64> =
        past.customers.iter().zip(&own_days).map(|(known, days)| known.spend.mean * days).collect();
    let said = forecast(histories, back, run.seed, run.threads).map_err(unfit)?;
    let (said_days, said_spend): (Vec<f64>, Vec<f64>) = said.iter().map(|said| (said.days, said.spend)).unzip();
    let metric = |name: &str, value, baseline, gate| Metric {
        name: name.to_owned(),
        value,
        baseline,
        baseline_name: "each customer's own rate so far".to_owned(),
        better: Better::Lower,
        gate,
    };
    let model = ValueModel::learn(histories, now, run.seed, run.threads).map_err(unfit)?;
    let mut artifact = Artifact::new("ltv", run.seed, window(run, &customers, now)?, &model)?;
    artifact.metrics = vec![
        metric("MAE of purchase days", mae(&said_days, &days), mae(&own_days, &days), true),
        metric("RMSE of purchase days", rmse(&said_days, &days), rmse(&own_days, &days), true),
        metric("MAE of spend", mae(&said_spend, &spend), mae(&own_spend, &spend), true),
        metric("RMSE of spend", rmse(&said_spend, &spend), rmse(&own_spend, &spend), false),
    ];
    artifact.judged = judged(back, past.customers.len());
    let expected = model.forecast(histories, now, run.seed, run.threads).map_err(unfit)?;
    let expected: Vec<f64> = expected.iter().map(|expected| expected.days).collect();
    artifact.reference = Known::at(histories, now).reference(&expected, "expected purchase days")?;
    artifact.purpose = purpose(
        "What a customer will buy",
        "loyalty manager",
        "Expected purchase days and spend of a member at a merchant, for planning and for choosing whom to greet.",
        &[
            "To set a person's prices, limits or credit.",
            "To decide who is prompted to stake: what was staked or lost has no place in it, and must get none.",
        ],
    );
    Ok(artifact)
}

/// Holds a [`ChurnModel`]. Customers too few to judge give the base rate for all, which beats no baseline and is not
/// promoted therefore.
pub fn churn(run: &TrainRun<'_>) -> Result<Artifact, EvaluateError> {
    let (customers, asked) = read(run)?;
    let histories = &customers.histories;
    let now = moment(&customers, &asked, asked.active_days.unwrap_or(asked.horizon_days), &run.as_run())?;
    let back = earlier(now, now.horizon)?;
    let past = Known::at(histories, back);
    let gone: Vec<f64> = past.outcomes(histories).0.iter().map(|days| f64::from(u8::from(*days == 0.0))).collect();
    let said = judge(histories, back, run.seed, run.threads).map_err(unfit)?;
    let said = probabilities(&said, past.customers.len());
    let share = gone.iter().sum::<f64>() / gone.len() as f64;
    let constant = vec![share; gone.len()];
    let idle: Vec<f64> = past.customers.iter().map(|known| known.summary.age - known.summary.recency).collect();
    let metric = |name: &str, value, baseline, baseline_name: &str, better, gate| Metric {
        name: name.to_owned(),
        value,
        baseline,
        baseline_name: baseline_name.to_owned(),
        better,
        gate,
    };
    let model = ChurnModel::learn(histories, now, run.seed, run.threads).map_err(unfit)?;
    let mut artifact = Artifact::new("churn", run.seed, window(run, &customers, now)?, &model)?;
    artifact.metrics = vec![
        metric(
            "log loss",
            log_loss(&said, &gone),
            log_loss(&constant, &gone),
            "true share for all",
            Better::Lower,
            true,
        ),
        metric(
            "Brier",
            rmse(&said, &gone).powi(2),
            rmse(&constant, &gone).powi(2),
            "true share for all",
            Better::Lower,
            false,
        ),
        metric("AUC", auc(&said, &gone), auc(&idle, &gone), "time since last purchase", Better::Higher, true),
    ];
    artifact.judged = judged(back, past.customers.len());
    let present = Known::at(histories, now);
    let scores = probabilities(&model.judge(histories, now).map_err(unfit)?, present.customers.len());
    artifact.reference = present.reference(&scores, "probability of no purchase")?;
    artifact.purpose = purpose(
        "Who will not come back",
        "loyalty manager",
        "The probability that a member buys nothing in the days after, for choosing whom to greet with an offer.",
        &[
            "To prompt anybody to stake: who drifts away from shops is no target for markets, and harm signs win.",
            "To refuse, delay or reprice anything.",
        ],
    );
    Ok(artifact)
}

/// One for each of so many customers.
fn probabilities(said: &Churn, customers: usize) -> Vec<f64> {
    match said {
        Churn::Judged(risks) => risks.iter().map(|risk| risk.none).collect(),
        Churn::NotEnoughData { base_rate, .. } => vec![*base_rate; customers],
    }
}

fn unfit(error: ValueError) -> EvaluateError {
    EvaluateError::Data(error.to_string())
}

fn read(run: &TrainRun<'_>) -> Result<(Customers, Asked), EvaluateError> {
    let asked = Asked::read(run.input)?;
    let (customers, _) = Customers::read(&run.as_run(), &asked)?;
    Ok((customers, asked))
}

/// The cut-off one horizon earlier; where the log is too short for that, at two thirds of it with what follows as
/// horizon.
fn earlier(now: Moment, horizon: i32) -> Result<Moment, EvaluateError> {
    let known = now.cutoff - now.start;
    let horizon = if known >= horizon + PAST_DAYS_MIN { horizon } else { known / 3 };
    if known - horizon < PAST_DAYS_MIN || horizon < 1 {
        return Err(EvaluateError::Data(format!(
            "{known} days of purchases are too few: a model is judged on the days after {PAST_DAYS_MIN} days at least"
        )));
    }
    Ok(Moment { cutoff: now.cutoff - horizon, horizon, ..now })
}

struct Customer {
    place: usize,
    summary: Summary,
    spend: MeanSpend,
}

impl Customer {
    /// Purchase days a day, the first purchase counted as one in the time since.
    fn own_rate(&self) -> f64 {
        (f64::from(self.summary.repeats) + 1.0) / (self.summary.age * WEEK + 1.0)
    }
}

/// The customers with a purchase until a cut-off, in their order.
struct Known {
    moment: Moment,
    customers: Vec<Customer>,
}

impl Known {
    fn at(histories: &[PurchaseHistory], moment: Moment) -> Known {
        let known = |(place, history): (usize, &PurchaseHistory)| {
            let seen = history.until(moment.cutoff);
            Some(Customer { place, summary: seen.summary(moment.cutoff)?, spend: seen.mean_spend() })
        };
        Known { moment, customers: histories.iter().enumerate().filter_map(known).collect() }
    }

    /// Purchase days and spend in the horizon.
    fn outcomes(&self, histories: &[PurchaseHistory]) -> (Vec<f64>, Vec<f64>) {
        let Moment { cutoff, horizon, .. } = self.moment;
        let after = |known: &Customer| {
            let seen = histories[known.place].between(cutoff, cutoff + horizon);
            (seen.days.len() as f64, seen.spend_sum())
        };
        self.customers.iter().map(after).unzip()
    }

    fn reference(&self, scores: &[f64], name: &str) -> Result<Vec<Reference>, EvaluateError> {
        let of = |name: &str, value: fn(&Customer) -> f64| {
            Reference::new(name, &self.customers.iter().map(value).collect::<Vec<f64>>(), REFERENCE_BINS)
        };
        [
            Reference::new(name, scores, REFERENCE_BINS),
            of("repeat purchases", |known| f64::from(known.summary.repeats)),
            of("weeks since last purchase", |known| known.summary.age - known.summary.recency),
            of("weeks since first purchase", |known| known.summary.age),
        ]
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|e| EvaluateError::Data(e.to_string()))
    }
}

/// Keeps a probability where its logarithm is small enough to be told.
const CERTAIN: f64 = 1e-6;

fn window(run: &TrainRun<'_>, customers: &Customers, now: Moment) -> Result<Window, EvaluateError> {
    let name = log_name_in(run.input)?.unwrap_or_default();
    let rows = customers.histories.iter().map(|history| history.until(now.cutoff).days.len() as u64).sum();
    Ok(Window { from: date(now.start), to: date(now.cutoff), rows, sha256: run.sha256_of(&[&name, "task.json"])? })
}

fn judged(back: Moment, rows: usize) -> Judged {
    Judged {
        learned_until: date(back.cutoff),
        to: date(back.cutoff + back.horizon),
        rows: rows as u64,
        how: format!("Learned up to an earlier cut-off, judged on the {} days after it.", back.horizon),
    }
}

fn date(day: i32) -> String {
    let from = Date::constant(1970, 1, 1);
    from.checked_add(day.days()).unwrap_or(from).to_string()
}

fn mae(said: &[f64], came: &[f64]) -> f64 {
    said.iter().zip(came).map(|(a, b)| (a - b).abs()).sum::<f64>() / came.len().max(1) as f64
}

fn rmse(said: &[f64], came: &[f64]) -> f64 {
    (said.iter().zip(came).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / came.len().max(1) as f64).sqrt()
}

fn log_loss(said: &[f64], came: &[f64]) -> f64 {
    let one = |(p, y): (&f64, &f64)| {
        let p = p.clamp(CERTAIN, 1.0 - CERTAIN);
        -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())
    };
    said.iter().zip(came).map(one).sum::<f64>() / came.len().max(1) as f64
}

/// Area under the receiver operating characteristic, ties counting half; an even 0.5 where all or none happened.
pub(super) fn auc(score: &[f64], happened: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|a, b| score[*a].total_cmp(&score[*b]));
    let (mut rank_sum, mut at) = (0.0, 0);
    while at < order.len() {
        let tie = order[at..].iter().take_while(|i| score[**i] == score[order[at]]).count();
        let rank = at as f64 + (tie as f64 + 1.0) / 2.0;
        rank_sum += rank * order[at..at + tie].iter().map(|i| happened[*i]).sum::<f64>();
        at += tie;
    }
    let yes: f64 = happened.iter().sum();
    let no = happened.len() as f64 - yes;
    if yes == 0.0 || no == 0.0 { 0.5 } else { (rank_sum - yes * (yes + 1.0) / 2.0) / (yes * no) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hanley and McNeil's counting definition on six rows, by hand: 8 of 9 pairs in order, of which none tie.
    #[test]
    fn auc_counts_pairs_in_order() {
        assert_eq!(auc(&[0.1, 0.2, 0.35, 0.3, 0.8, 0.9], &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]), 8.0 / 9.0);
        assert_eq!(auc(&[0.5, 0.5, 0.5], &[0.0, 1.0, 1.0]), 0.5);
        assert_eq!(auc(&[0.5], &[1.0]), 0.5);
    }

    #[test]
    fn a_short_log_is_split_and_a_shorter_one_refused() {
        let now = Moment { start: 0, cutoff: 100, horizon: 90 };
        assert_eq!(earlier(now, 90).unwrap(), Moment { start: 0, cutoff: 67, horizon: 33 });
        assert_eq!(earlier(now, 30).unwrap(), Moment { start: 0, cutoff: 70, horizon: 30 });
        assert!(earlier(Moment { start: 0, cutoff: 20, horizon: 7 }, 7).is_err());
    }

    /// Customers with a gap of their own between purchases, some of whom stop; drawn by a small generator of fixed seed.
    fn log(folder: &std::path::Path, customers: u64) {
        use std::fmt::Write as _;
        let mut state = 7u64;
        let mut draw = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as f64 + 0.5) / (1u64 << 31) as f64
        };
        let mut text = "customer_id,ts,value\n".to_owned();
        for customer in 0..customers {
            let gap = 2.0 + 25.0 * draw();
            let mut day = 30.0 * draw();
            while day < 240.0 && draw() > 0.06 {
                let _ = writeln!(text, "c{customer},{},{:.2}", date(20_000 + day as i32), 5.0 + 20.0 * draw());
                day += -gap * draw().ln();
            }
        }
        std::fs::write(folder.join("input.csv"), text).unwrap();
        let asked = format!(r#"{{"cutoff":"{}","horizon_days":60,"active_days":28}}"#, date(20_180));
        std::fs::write(folder.join("task.json"), asked).unwrap();
    }

    #[test]
    fn customers_with_habits_are_told_better_than_by_the_baselines() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), 300);
        let run = TrainRun { input: folder.path(), seed: 1, threads: 1 };
        for (train, kind) in [(churn as fn(&TrainRun<'_>) -> _, "churn"), (ltv, "ltv")] {
            let model: Artifact = train(&run).unwrap();
            assert!(model.beaten_by_baseline().is_empty(), "{:?}", model.metrics);
            assert_eq!((model.kind.as_str(), model.window.to.as_str()), (kind, date(20_180).as_str()));
            let bytes = model.to_bytes().unwrap();
            assert_eq!(Artifact::read(&bytes).unwrap(), model);
            assert_eq!(train(&run).unwrap().to_bytes().unwrap(), bytes, "the same data give the same file");
        }
    }

    /// What the log holds after the cut-off changes nothing but the hash of the files read.
    #[test]
    fn nothing_after_the_cutoff_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), 120);
        let run = TrainRun { input: folder.path(), seed: 1, threads: 1 };
        let mut whole = churn(&run).unwrap();
        let file = folder.path().join("input.csv");
        let text = std::fs::read_to_string(&file).unwrap();
        let known = |row: &&str| row.starts_with("customer") || row.split(',').nth(1).unwrap() <= date(20_180).as_str();
        std::fs::write(&file, text.lines().filter(known).collect::<Vec<_>>().join("\n")).unwrap();
        let cut = churn(&run).unwrap();
        assert_ne!(whole.window.sha256, cut.window.sha256);
        whole.window.sha256.clone_from(&cut.window.sha256);
        assert_eq!(whole, cut);
    }
}
