//! Off-policy evaluation: every `policy_*.csv` judged from every replicate of `log.csv`, by every estimator.
//!
//! Columns of `context.csv` whose names end in 0 to K-1 behind one prefix, for K actions, describe the actions; all
//! others the occasion. A replicate is judged from itself alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use hunch_learning::numeric::parallel;
use hunch_learning::off_policy::{
    Description, Estimate, Intervals, Log, OffPolicyError, PROPENSITY_MIN, cross_fit, estimate,
};

use crate::EvaluateError;
use crate::files::{Field, Predictions, Table};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task =
    Task { name: "ope", about: "what other policies would have earned, from a log", evaluate };

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let policies = policies(run.input)?;
    let actions = policies.first().map_or(0, |policy| policy.actions);
    let contexts = Contexts::read(run.input, actions)?;
    let policies: Vec<Policy> = policies.into_iter().map(|policy| policy.placed(&contexts)).collect();
    let replicates = replicates(run.input, actions)?;
    let mut out = Predictions::create(run.out, &["rep", "policy", "estimator", "value", "ci_lo", "ci_hi"])?;
    let judged = parallel::map(&replicates, run.threads, |(name, replicate)| {
        let judged = judge(name, replicate, &policies, &contexts);
        run.say(format_args!("replicate {name}: {} decisions, {} policies", replicate.rows.len(), policies.len()));
        judged
    });
    let mut spent = Spent::default();
    for ((name, _), judged) in replicates.iter().zip(judged) {
        let (estimated, here) = judged?;
        spent = Spent { fit: spent.fit + here.fit, estimate: spent.estimate + here.estimate };
        for (policy, estimates) in policies.iter().zip(estimated) {
            for Estimate { estimator, value, low, high, .. } in estimates {
                let (rep, policy) = (Field(name), Field(&policy.name));
                out.row(format_args!("{rep},{policy},{},{value},{low},{high}", estimator.name()))?;
            }
        }
    }
    let (fit, estimate) = (spent.fit.as_secs_f64(), spent.estimate.as_secs_f64());
    run.say(format_args!("ope: fit {fit:.4} s, estimate {estimate:.4} s, {} threads", run.threads));
    out.finish()
}

/// Of the time of one thread.
#[derive(Default)]
struct Spent {
    fit: Duration,
    estimate: Duration,
}

/// The estimates of every policy from one replicate.
fn judge(
    name: &str,
    replicate: &Replicate,
    policies: &[Policy],
    contexts: &Contexts,
) -> Result<(Vec<Vec<Estimate>>, Spent), EvaluateError> {
    let wrong = |e: OffPolicyError| EvaluateError::Data(format!("replicate {name} of log.csv: {e}"));
    let rows = replicate.places(contexts)?;
    let log = replicate.log(policies.first().map_or(0, |policy| policy.actions));
    let of = |row: usize, action: usize, out: &mut [f64]| contexts.describe(rows[row], action, out);
    let start = Instant::now();
    let model = cross_fit(&log, &Description { width: contexts.width(), of: &of }, FOLDS, 1).map_err(wrong)?;
    let fitted = Instant::now();
    let estimates = |policy: &Policy| {
        let table = policy.of(&rows, &replicate.rows)?;
        estimate(&log, &table, &model, &INTERVALS).map_err(wrong)
    };
    let estimated = policies.iter().map(estimates).collect::<Result<_, _>>()?;
    Ok((estimated, Spent { fit: fitted - start, estimate: fitted.elapsed() }))
}

const FOLDS: usize = 5;
/// The exact value on the occasions of the log is what is asked for.
const INTERVALS: Intervals = Intervals { level: 0.95, population: false };

/// A policy's probabilities as its file gives them, by row name.
struct Written {
    name: String,
    actions: usize,
    chances: BTreeMap<String, Vec<f64>>,
}

/// A policy's probabilities by a row's place in `context.csv`; empty for a row of which it says nothing.
struct Policy {
    name: String,
    actions: usize,
    chances: Vec<Vec<f64>>,
}

/// All `policy_*.csv` and `policy_*.csv.gz` of a folder, by name.
fn policies(folder: &Path) -> Result<Vec<Written>, EvaluateError> {
    let unreadable = |source| EvaluateError::Unreadable { file: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        if let Some(name) = name.strip_prefix("policy_").and_then(|name| name.strip_suffix(".csv")) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Err(EvaluateError::Missing { file: folder.join("policy_*.csv") });
    }
    let policies = names.into_iter().map(|name| Written::read(folder, name)).collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = policies.iter().find(|policy| policy.actions != policies[0].actions) {
        let problem = format!("policies {} and {} have different numbers of actions", policies[0].name, other.name);
        return Err(EvaluateError::Data(problem));
    }
    Ok(policies)
}

impl Written {
    fn read(folder: &Path, name: String) -> Result<Written, EvaluateError> {
        let mut table = Table::open(folder, &format!("policy_{name}.csv"))?;
        let row = table.column("row")?;
        let mut columns = vec![table.column("p0")?];
        while let Some(column) = table.column_if_any(&format!("p{}", columns.len())) {
            columns.push(column);
        }
        let mut chances = BTreeMap::new();
        while table.next_row()? {
            let mut numbers = columns.iter().map(|p| table.number(*p)).collect::<Result<Vec<f64>, _>>()?;
            let sum: f64 = numbers.iter().sum();
            if numbers.iter().any(|p| *p < 0.0) || (sum - 1.0).abs() > 1e-2 {
                return Err(table.wrong(columns[0], &format!("probabilities of a row sum to 1, not {sum}")));
            }
            if numbers.iter().all(|p| *p == 0.0) {
                numbers[0] = 1.0;
            }
            if chances.insert(table.text(row).to_owned(), numbers).is_some() {
                return Err(table.wrong(row, "this row stands there twice"));
            }
        }
        Ok(Written { name, actions: columns.len(), chances })
    }

    fn placed(mut self, contexts: &Contexts) -> Policy {
        let mut chances = vec![vec![]; contexts.occasion.len()];
        for (row, place) in &contexts.places {
            chances[*place] = self.chances.remove(row).unwrap_or_default();
        }
        Policy { name: self.name, actions: self.actions, chances }
    }
}

impl Policy {
    /// The probabilities at these places, whose names are `rows`.
    fn of(&self, places: &[usize], rows: &[String]) -> Result<Vec<f64>, EvaluateError> {
        let mut table = Vec::with_capacity(rows.len() * self.actions);
        for (place, row) in places.iter().zip(rows) {
            let chances = &self.chances[*place];
            if chances.is_empty() {
                let problem = format!("policy_{}.csv has no row {row}, which log.csv has", self.name);
                return Err(EvaluateError::Data(problem));
            }
            table.extend_from_slice(chances);
        }
        Ok(table)
    }
}

/// One replicate of the log.
#[derive(Default)]
struct Replicate {
    rows: Vec<String>,
    action: Vec<usize>,
    reward: Vec<f64>,
    propensity: Vec<f64>,
}

fn replicates(folder: &Path, actions: usize) -> Result<Vec<(String, Replicate)>, EvaluateError> {
    let mut table = Table::open(folder, "log.csv")?;
    let rep = table.column_if_any("rep");
    let [row, action, reward, propensity] = ["row", "action", "reward", "propensity"].map(|name| table.column(name));
    let (row, action, reward, propensity) = (row?, action?, reward?, propensity?);
    let mut replicates: Vec<(String, Replicate)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    while table.next_row()? {
        let name = rep.map_or("0", |rep| table.text(rep)).to_owned();
        let place = *places.entry(name.clone()).or_insert(replicates.len());
        if place == replicates.len() {
            replicates.push((name, Replicate::default()));
        }
        let (chosen, chance) = (table.whole::<usize>(action)?, table.number(propensity)?);
        if chosen >= actions {
            return Err(table.wrong(action, &format!("the policies have {actions} actions")));
        }
        if !(PROPENSITY_MIN..=1.0).contains(&chance) {
            return Err(table.wrong(propensity, "a propensity is from 1e-12 to 1"));
        }
        let replicate = &mut replicates[place].1;
        replicate.rows.push(table.text(row).to_owned());
        replicate.action.push(chosen);
        replicate.reward.push(table.number(reward)?);
        replicate.propensity.push(chance);
    }
    if replicates.is_empty() {
        return Err(EvaluateError::File { file: table.file().to_owned(), problem: "it has no decisions".to_owned() });
    }
    Ok(replicates)
}

impl Replicate {
    fn log(&self, actions: usize) -> Log<'_> {
        Log { action: &self.action, reward: &self.reward, propensity: &self.propensity, actions }
    }

    /// Where the rows of this replicate stand in `contexts`.
    fn places(&self, contexts: &Contexts) -> Result<Vec<usize>, EvaluateError> {
        let missing = |row: &String| EvaluateError::Data(format!("context.csv has no row {row}, which log.csv has"));
        self.rows.iter().map(|row| contexts.places.get(row).copied().ok_or_else(|| missing(row))).collect()
    }
}

/// `context.csv`.
struct Contexts {
    places: BTreeMap<String, usize>,
    /// Numbers of the occasion, row by row.
    occasion: Vec<Vec<f64>>,
    /// What describes the actions: for each row, for each action and group the number, its logarithm if the group is 0
    /// or above everywhere, and the mean of that over the actions.
    of_actions: Vec<Vec<f64>>,
    groups: usize,
}

impl Contexts {
    fn read(folder: &Path, actions: usize) -> Result<Contexts, EvaluateError> {
        let mut table = Table::open(folder, "context.csv")?;
        let row = table.column("row")?;
        let header = table.header().to_vec();
        let has = |name: String| header.contains(&name);
        let prefixes: Vec<&str> = header
            .iter()
            .filter_map(|name| name.strip_suffix('0'))
            .filter(|prefix| actions > 1 && (0..actions).all(|i| has(format!("{prefix}{i}"))))
            .collect();
        let describes = |name: &str| {
            let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
            prefixes.contains(&prefix) && prefix.len() < name.len()
        };
        let mut of_actions = Vec::new();
        for action in 0..actions {
            for prefix in &prefixes {
                of_actions.push(table.column(&format!("{prefix}{action}"))?);
            }
        }
        let occasion = header.iter().filter(|name| *name != "row" && !describes(name));
        let occasion = occasion.map(|name| table.column(name)).collect::<Result<Vec<_>, _>>()?;
        let groups = prefixes.len();
        let (mut places, mut occasions, mut tables) = (BTreeMap::new(), Vec::new(), Vec::new());
        while table.next_row()? {
            let read =
                |columns: &[_]| columns.iter().map(|column| table.number(*column)).collect::<Result<Vec<f64>, _>>();
            if places.insert(table.text(row).to_owned(), occasions.len()).is_some() {
                return Err(table.wrong(row, "this row stands there twice"));
            }
            occasions.push(read(&occasion)?);
            tables.push(read(&of_actions)?);
        }
        let positive = (0..groups).map(|group| {
            tables.iter().flat_map(|row: &Vec<f64>| row.iter().skip(group).step_by(groups)).all(|x| *x >= 0.0)
        });
        let positive: Vec<bool> = positive.collect();
        let of_actions = tables.iter().map(|table| straightened(table, &positive)).collect();
        Ok(Contexts { places, occasion: occasions, of_actions, groups })
    }

    /// Numbers of the occasion; of each group the number, its logarithm, and the mean of that over the actions.
    fn width(&self) -> usize {
        self.occasion.first().map_or(0, Vec::len) + self.groups * 3
    }

    fn describe(&self, row: usize, action: usize, out: &mut [f64]) {
        let occasion = &self.occasion[row];
        out[..occasion.len()].copy_from_slice(occasion);
        let width = 3 * self.groups;
        out[occasion.len()..].copy_from_slice(&self.of_actions[row][action * width..(action + 1) * width]);
    }
}

/// Of a row's numbers, for each action one of each group: for each action and group the number, its logarithm where the
/// group is `positive`, and the mean of that over the actions.
fn straightened(table: &[f64], positive: &[bool]) -> Vec<f64> {
    let groups = positive.len();
    let straight = |at: usize| if positive[at % groups] { (table[at] + 0.01).ln() } else { table[at] };
    let straight: Vec<f64> = (0..table.len()).map(straight).collect();
    let actions = table.len() / groups.max(1);
    let mean = |group: usize| straight.iter().skip(group).step_by(groups).sum::<f64>() / actions.max(1) as f64;
    let means: Vec<f64> = (0..groups).map(mean).collect();
    (0..table.len()).flat_map(|at| [table[at], straight[at], means[at % groups]]).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// Two replicates of forty decisions; `change` may spoil a file.
    fn run(change: impl Fn(&str, String) -> String) -> Result<String, EvaluateError> {
        let folder = tempfile::tempdir().unwrap();
        let (mut context, mut log) =
            ("row,hour,like0,like1\n".to_owned(), "rep,row,action,reward,propensity\n".to_owned());
        let (mut even, mut first) = ("row,p0,p1\n".to_owned(), "p0,p1,row\n".to_owned());
        for row in 0..40 {
            let _ = writeln!(context, "{row},{},{},{}", row % 24, row % 3, row % 2);
            let _ = writeln!(even, "{row},0.5,0.5");
            let _ = writeln!(first, "0.9,0.1,{row}");
            for rep in 0..2 {
                let _ = writeln!(log, "{rep},{row},{},{},{}", (row + rep) % 2, u8::from(row % 5 == 0), 0.4);
            }
        }
        for (name, text) in
            [("context.csv", context), ("log.csv", log), ("policy_even.csv", even), ("policy_first.csv", first)]
        {
            std::fs::write(folder.path().join(name), change(name, text)).unwrap();
        }
        let out = folder.path().join("out.csv");
        let run = Run::over(folder.path(), &[], &out);
        evaluate(&run)?;
        Ok(std::fs::read_to_string(out).unwrap())
    }

    #[test]
    fn every_replicate_policy_and_estimator_has_a_row() {
        let out = run(|_, text| text).unwrap();
        assert_eq!(out.lines().count(), 1 + 2 * 2 * 7);
        // Eight of forty earned 1, and the even policy weighs each by 0.5 / 0.4.
        let ips = out.lines().find(|line| line.starts_with("0,even,ips,")).unwrap();
        let value: f64 = ips.split(',').nth(3).unwrap().parse().unwrap();
        assert!((value - 0.25).abs() < 1e-12, "{ips}");
        let numbers = out.lines().skip(1).flat_map(|line| line.split(',').skip(3).map(|x| x.parse::<f64>().unwrap()));
        assert!(numbers.clone().all(f64::is_finite));
        assert_eq!(out, run(|_, text| text).unwrap());
    }

    #[test]
    fn what_is_wrong_is_told() {
        let told = |name: &'static str, from: &'static str, to: &'static str| {
            let change = move |file: &str, text: String| if file == name { text.replacen(from, to, 1) } else { text };
            run(change).unwrap_err().to_string()
        };
        assert!(told("log.csv", "0.4", "0").contains("log.csv, line 2, column \"propensity\""));
        assert!(told("log.csv", "0,0,0,1,", "0,0,7,1,").contains("column \"action\""));
        assert!(told("log.csv", "propensity", "chance").contains("no column \"propensity\""));
        assert!(told("policy_even.csv", "0.5,0.5", "0.5,0.9").contains("policy_even.csv, line 2"));
        assert!(told("policy_even.csv", "\n1,", "\n0,").contains("twice"));
        assert!(told("context.csv", "\n3,", "\n300,").contains("no row 3"));
    }
}
