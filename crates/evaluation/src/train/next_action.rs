//! Trainer for what to say next, from a programme's own decisions as `hunch models export` writes them.
//!
//! The chooser learns the decisions of the first part of the log in order, and is judged on the later ones by what it would
//! have earned there: the self-normalised estimate over the logged propensities. What decided then is the baseline, and the
//! lower bound of the estimate has to beat it.

use hunch_learning::bandit::BanditError;
use hunch_learning::choice::{Chooser, KIND, Parameters};
use hunch_learning::life::{Artifact, Better, Judged, Metric, Reference, Window};

use jiff::Timestamp;

use super::{TrainRun, purpose};
use crate::EvaluateError;
use crate::files::{Column, Table};

const FILE: &str = "decisions.csv";
const FIXED: [&str; 6] = ["decision", "at", "kind", "chosen", "propensity_ppm", "reward_thousandths"];
/// Of the decisions, the first that are learned from before the rest judges.
const LEARNED_PERCENT: usize = 70;
const DECISIONS_MIN: usize = 100;
const MILLION: f64 = 1_000_000.0;
const THOUSAND: f64 = 1_000.0;
/// Standard deviations of a two-sided 95 % interval.
const WIDE: f64 = 1.959_964;

/// One decision with all that could be chosen, *nothing* first.
#[derive(Debug)]
struct Decision {
    number: u64,
    at: Timestamp,
    options: Vec<(u8, Vec<i32>)>,
    chosen: Option<usize>,
    propensity_ppm: u32,
    reward: i32,
}

pub fn next_action(run: &TrainRun<'_>) -> Result<Artifact, EvaluateError> {
    let (features, decisions) = read(run)?;
    if decisions.len() < DECISIONS_MIN {
        let problem = format!("{} decisions are too few to judge a model; {DECISIONS_MIN} are needed", decisions.len());
        return Err(EvaluateError::Data(problem));
    }
    let quiet = decisions.iter().find(|d| d.chosen == Some(0)).map_or(1, |d| d.reward);
    let (past, later) = decisions.split_at(decisions.len() * LEARNED_PERCENT / 100);
    let unfit = |e: BanditError| EvaluateError::Data(e.to_string());
    let mut chooser = Chooser::new(features.len(), quiet).map_err(unfit)?;
    learn(&mut chooser, past).map_err(unfit)?;
    let value = estimate(&chooser, later).map_err(unfit)?;
    let logged = later.iter().map(|d| f64::from(d.reward) / THOUSAND).sum::<f64>() / later.len() as f64;
    learn(&mut chooser, later).map_err(unfit)?;
    let (from, to) = (decisions[0].at.to_string(), decisions[decisions.len() - 1].at.to_string());
    let window =
        Window { from: from.clone(), to: to.clone(), rows: decisions.len() as u64, sha256: run.sha256_of(&[FILE])? };
    let reference = (0..features.len())
        .map(|at| {
            let values: Vec<f64> =
                decisions.iter().flat_map(|d| &d.options[1..]).map(|(_, numbers)| f64::from(numbers[at])).collect();
            Reference::new(&features[at], &values, 10)
        })
        .collect::<Result<_, _>>()
        .map_err(|e| EvaluateError::Data(format!("nothing could be said in any decision: {e}")))?;
    let mut artifact = Artifact::new(KIND, run.seed, window, &Parameters { features, chooser })?;
    let metric = |name: &str, value, gate| Metric {
        name: name.to_owned(),
        value,
        baseline: logged,
        baseline_name: "what decided then".to_owned(),
        better: Better::Higher,
        gate,
    };
    artifact.metrics = vec![
        metric("reward a decision, lower 95 % bound", value.mean - WIDE * value.error, true),
        metric("reward a decision", value.mean, false),
    ];
    artifact.judged = Judged {
        learned_until: past.last().map(|d| d.at.to_string()).unwrap_or_default(),
        to,
        rows: later.len() as u64,
        how: format!(
            "Learned the first {LEARNED_PERCENT} % of the decisions; on the others, the self-normalised estimate over logged \
             propensities ({:.0} of them effective).",
            value.effective
        ),
    };
    artifact.reference = reference;
    artifact.purpose = purpose(
        "What to say next",
        "loyalty manager",
        "Choosing between a market, a local offer and nothing after a purchase, among what hard rules and the gate leave.",
        &[
            "To decide whether somebody may be prompted at all: that is the gate's, and comes first.",
            "With any sign of harm among its features: losses, refusals, limits, and how often or how much somebody staked have no place in it.",
        ],
    );
    Ok(artifact)
}

fn learn(chooser: &mut Chooser, decisions: &[Decision]) -> Result<(), BanditError> {
    for decision in decisions {
        if let Some((kind, numbers)) = decision.chosen.and_then(|at| decision.options.get(at))
            && *kind > 0
        {
            chooser.learn(numbers, decision.reward)?;
        }
    }
    Ok(())
}

/// What a policy would have earned.
struct Value {
    mean: f64,
    /// Standard error.
    error: f64,
    /// Decisions of equal weight that would tell as much.
    effective: f64,
}

/// Swaminathan and Joachims (2015), self-normalised estimator; the error is that of a ratio, by the delta method.
fn estimate(chooser: &Chooser, decisions: &[Decision]) -> Result<Value, BanditError> {
    let (mut weights, mut rewards) = (Vec::new(), Vec::new());
    for decision in decisions {
        let Some(chosen) = decision.chosen else { continue };
        let options: Vec<(u8, &[i32])> = decision.options[1..].iter().map(|(k, n)| (*k, n.as_slice())).collect();
        let share = f64::from(chooser.shares(&options)?[chosen]);
        weights.push(share / f64::from(decision.propensity_ppm.max(1)));
        rewards.push(f64::from(decision.reward) / THOUSAND);
    }
    let total: f64 = weights.iter().sum();
    let mean = weights.iter().zip(&rewards).map(|(w, r)| w * r).sum::<f64>() / total.max(1.0 / MILLION);
    let squares: f64 = weights.iter().zip(&rewards).map(|(w, r)| (w * (r - mean)).powi(2)).sum();
    let effective = total * total / weights.iter().map(|w| w * w).sum::<f64>().max(1.0 / MILLION);
    Ok(Value { mean, error: squares.sqrt() / total.max(1.0 / MILLION), effective })
}

fn read(run: &TrainRun<'_>) -> Result<(Vec<String>, Vec<Decision>), EvaluateError> {
    let mut table = Table::open(run.input, FILE)?;
    let fixed: Vec<Column> = FIXED.iter().map(|name| table.column(name)).collect::<Result<_, _>>()?;
    let features: Vec<String> = table.header().iter().filter(|name| !FIXED.contains(&name.as_str())).cloned().collect();
    let columns: Vec<Column> = features.iter().map(|name| table.column(name)).collect::<Result<_, _>>()?;
    let mut decisions: Vec<Decision> = Vec::new();
    while table.next_row()? {
        let number: u64 = table.whole(fixed[0])?;
        let at = table.text(fixed[1]);
        let at: Timestamp =
            at.parse().map_err(|_| table.wrong(fixed[1], &format!("{at:?} is no time with its zone")))?;
        let numbers = columns.iter().map(|column| table.whole(*column)).collect::<Result<Vec<i32>, _>>()?;
        let kind: u8 = table.whole(fixed[2])?;
        let before = decisions.last();
        if before.is_none_or(|before| before.number != number) {
            if before.is_some_and(|before| before.number > number || before.at > at) {
                return Err(table.wrong(fixed[1], "decisions must stand in the order of time"));
            }
            if before.is_some_and(|before| before.chosen.is_none()) {
                return Err(table.wrong(fixed[3], "in the decision before this row nothing was chosen"));
            }
            if kind != 0 {
                return Err(table.wrong(fixed[2], "a decision begins with nothing, kind 0"));
            }
            decisions.push(Decision { number, at, options: Vec::new(), chosen: None, propensity_ppm: 1, reward: 0 });
        } else if kind == 0 {
            return Err(table.wrong(fixed[2], "nothing, kind 0, stands in a decision twice"));
        }
        let Some(decision) = decisions.last_mut() else { continue };
        match table.text(fixed[3]) {
            "0" => {}
            "1" if decision.chosen.is_none() => {
                decision.chosen = Some(decision.options.len());
                decision.propensity_ppm = table.whole(fixed[4])?;
                decision.reward = table.whole(fixed[5])?;
                if !(1..=1_000_000).contains(&decision.propensity_ppm) {
                    return Err(table.wrong(fixed[4], "a propensity is from 1 to 1000000 millionths"));
                }
            }
            "1" => return Err(table.wrong(fixed[3], "a decision has one choice")),
            _ => return Err(table.wrong(fixed[3], "0 or 1 is needed here")),
        }
        decision.options.push((kind, numbers));
    }
    if decisions.last().is_some_and(|last| last.chosen.is_none()) {
        decisions.pop();
    }
    Ok((features, decisions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_learning::numeric::chance::chance;
    use std::fmt::Write as _;
    use std::path::Path;

    /// A log in which an even coin decided between nothing, a market and an offer; offers are answered `percent` of the
    /// time, markets never.
    fn log(folder: &Path, decisions: u32, percent: u32) {
        use rand::RngExt as _;
        let mut chance = chance(1, 0);
        let mut text = format!("{},market,offer\n", FIXED.join(","));
        for n in 0..decisions {
            let at = format!("2026-01-{:02}T{:02}:{:02}:00Z", 1 + n / 1_440, n / 60 % 24, n % 60);
            let chosen = chance.random_range(0..3);
            let answered = chance.random_range(0..100) < percent;
            for (place, features) in ["0,0", "1000,0", "0,1000"].iter().enumerate() {
                let earned = match (place, answered) {
                    (0, _) => 50,
                    (2, true) => 1_000,
                    _ => 0,
                };
                let chose = if place == chosen { format!("1,333333,{earned}") } else { "0,,".to_owned() };
                let _ = writeln!(text, "{n},{at},{place},{chose},{features}");
            }
        }
        std::fs::write(folder.join(FILE), text).unwrap();
    }

    fn trained(folder: &Path) -> Result<Artifact, EvaluateError> {
        next_action(&TrainRun { input: folder, seed: 1, threads: 1 })
    }

    #[test]
    fn what_earns_more_than_chance_beats_its_baseline_and_may_serve() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), 3_000, 40);
        let model = trained(folder.path()).unwrap();
        assert!(model.beaten_by_baseline().is_empty(), "{:?}", model.metrics);
        assert!(model.metrics[1].value > 0.3 && model.metrics[1].value < 0.45, "{:?}", model.metrics);
        let Parameters { features, chooser } = model.parameters(KIND).unwrap();
        assert_eq!(features, ["market", "offer"]);
        assert!(chooser.expected(&[0, 1_000]).unwrap() > chooser.expected(&[1_000, 0]).unwrap());
        assert_eq!(trained(folder.path()).unwrap().to_bytes().unwrap(), model.to_bytes().unwrap(), "the same bytes");
    }

    #[test]
    fn where_nothing_is_to_be_gained_the_bound_does_not_beat_it() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), 600, 5);
        assert!(!trained(folder.path()).unwrap().beaten_by_baseline().is_empty());
        log(folder.path(), 40, 5);
        assert!(trained(folder.path()).unwrap_err().to_string().contains("too few"));
    }

    #[test]
    fn a_log_that_cannot_be_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let head = "decision,at,kind,chosen,propensity_ppm,reward_thousandths,market\n";
        for (rows, told) in [
            (
                "1,2026-01-01T00:00:01Z,0,1,1000000,50,0\n0,2026-01-01T00:00:01Z,0,1,1000000,50,0\n",
                "line 3, column \"at\"",
            ),
            ("0,noon,0,1,1,50,0\n", "line 2, column \"at\""),
            ("0,2026-01-01T00:00:00.5Z,0,1,0,50,0\n", "line 2, column \"propensity_ppm\""),
            (
                "0,2026-01-01T00:00:00.5Z,0,1,10,50,0\n0,2026-01-01T00:00:00.5Z,1,1,10,50,0\n",
                "line 3, column \"chosen\"",
            ),
            ("0,2026-01-01T00:00:00.5Z,1,1,10,50,0\n", "line 2, column \"kind\""),
            ("0,2026-01-01T00:00:00.5Z,0,1,10,x,0\n", "line 2, column \"reward_thousandths\""),
        ] {
            std::fs::write(folder.path().join(FILE), format!("{head}{rows}")).unwrap();
            let error = trained(folder.path()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
