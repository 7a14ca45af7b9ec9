//! Trainer for the next best action where a log tells what every action would have earned: weights to start from.
//!
//! No person stands in the model: what somebody did before is remembered anew where it is used.

use hunch_learning::life::{Artifact, Better, Judged, Metric, Window};

use super::{TrainRun, purpose};
use crate::EvaluateError;
use crate::nba::Stream;
use crate::nba::player::{Occasion, Player};

const FILE: &str = "stream.csv";
const KIND: &str = "nba";
/// Of the rows, the first that are learned from before the rest judges.
const LEARNED_PERCENT: usize = 70;
const ROWS_MIN: usize = 100;

struct Row {
    occasion: Occasion,
    rewards: Vec<f64>,
}

pub fn nba(run: &TrainRun<'_>) -> Result<Artifact, EvaluateError> {
    let rows = read(run)?;
    if rows.len() < ROWS_MIN {
        return Err(EvaluateError::Data(format!("{} rows are too few; {ROWS_MIN} are needed", rows.len())));
    }
    let (past, later) = rows.split_at(rows.len() * LEARNED_PERCENT / 100);
    let mut player = Player::new(run.seed);
    learn(&mut player, past)?;
    run.say(format_args!("learned {} rows", past.len()));
    let fixed = best_fixed(past);
    let mean = |earned: f64| earned / later.len() as f64;
    let mut earned = 0.0;
    for (number, row) in (0..).zip(later) {
        let answer = player.decide(number, &row.occasion).map_err(wrong)?;
        let reward = row.rewards[answer.action];
        player.reward(number, reward).map_err(wrong)?;
        earned += reward;
    }
    let mut whole = Player::new(run.seed);
    learn(&mut whole, &rows)?;
    let nothing = || EvaluateError::Data("nothing was learned".to_owned());
    let window = Window {
        from: day(&rows[0]),
        to: day(&rows[rows.len() - 1]),
        rows: rows.len() as u64,
        sha256: run.sha256_of(&[FILE])?,
    };
    let mut artifact = Artifact::new(KIND, run.seed, window, whole.bandit().ok_or_else(nothing)?)?;
    let metric = |baseline, baseline_name: &str, gate| Metric {
        name: "reward a decision".to_owned(),
        value: mean(earned),
        baseline,
        baseline_name: baseline_name.to_owned(),
        better: Better::Higher,
        gate,
    };
    let uniform: f64 = later.iter().map(|row| row.rewards.iter().sum::<f64>() / row.rewards.len() as f64).sum();
    let always: f64 = later.iter().map(|row| row.rewards[fixed]).sum();
    artifact.metrics = vec![
        metric(mean(always), "the action that was best in the past, always", true),
        metric(mean(uniform), "any action", true),
    ];
    artifact.judged = Judged {
        learned_until: past.last().map(day).unwrap_or_default(),
        to: day(&rows[rows.len() - 1]),
        rows: later.len() as u64,
        how: format!(
            "Learned the first {LEARNED_PERCENT} % of the rows, then played the others, seeing only what its choice earned."
        ),
    };
    artifact.purpose = purpose(
        "Weights to start the next best action from",
        "loyalty manager",
        "Starting a bandit over the same context numbers and actions where no log of its own is there yet.",
        &[
            "Over other numbers or actions than those it was trained on.",
            "To decide whether somebody may be prompted to stake: that is the gate's, and comes first.",
        ],
    );
    Ok(artifact)
}

fn learn(player: &mut Player, rows: &[Row]) -> Result<(), EvaluateError> {
    rows.iter().try_for_each(|row| player.learn(&row.occasion, &row.rewards).map_err(wrong))
}

fn wrong(error: impl std::fmt::Display) -> EvaluateError {
    EvaluateError::Data(error.to_string())
}

/// The action that earned most in all.
fn best_fixed(rows: &[Row]) -> usize {
    let actions = rows.first().map_or(0, |row| row.rewards.len());
    let earned = |action: usize| rows.iter().map(|row| row.rewards[action]).sum::<f64>();
    (0..actions).fold(0, |best, action| if earned(action) > earned(best) { action } else { best })
}

/// Its day since 1970, or nothing where the log has no dates.
fn day(row: &Row) -> String {
    row.occasion.day.map(|day| format!("day {day:.2} since 1970")).unwrap_or_default()
}

fn read(run: &TrainRun<'_>) -> Result<Vec<Row>, EvaluateError> {
    let mut stream = Stream::open(run.input)?;
    let mut rows = Vec::new();
    while let Some(occasion) = stream.next()? {
        let rewards = stream.rewards.iter().map(|column| stream.reward(*column)).collect::<Result<_, _>>()?;
        rows.push(Row { occasion, rewards });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// Which of two actions earns is told by the context; neither alone is good.
    fn log(folder: &std::path::Path, rows: usize) {
        let mut text = "row,hh,ts,side,r0,r1\n".to_owned();
        for n in 0..rows {
            let side = n * 7 % 3 % 2;
            let _ = writeln!(text, "{n},h{},2026-01-01 {:02}:00,{side},{},{side}", n % 5, n % 24, 1 - side);
        }
        std::fs::write(folder.join(FILE), text).unwrap();
    }

    #[test]
    fn what_the_context_tells_beats_the_best_fixed_action() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), 600);
        let run = TrainRun { input: folder.path(), seed: 1, threads: 1 };
        let model = nba(&run).unwrap();
        assert!(model.beaten_by_baseline().is_empty(), "{:?}", model.metrics);
        assert_eq!(nba(&run).unwrap().to_bytes().unwrap(), model.to_bytes().unwrap());
        log(folder.path(), 20);
        assert!(nba(&run).unwrap_err().to_string().contains("too few"));
    }
}
