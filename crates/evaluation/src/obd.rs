//! The same on a real log of clicks: `policy_bts.csv` (item and position) judged from `random.csv`.

use std::collections::BTreeMap;

use hunch_learning::off_policy::{Description, Estimate, Intervals, Log, PROPENSITY_MIN, cross_fit, estimate};

use crate::EvaluateError;
use crate::files::{Predictions, Table};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task =
    Task { name: "obd", about: "the same, from a log of clicks by item and position", evaluate };

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let policy = Policy::read(run)?;
    let clicks = Clicks::read(run, &policy)?;
    let actions = policy.items.len();
    let log = Log { action: &clicks.item, reward: &clicks.click, propensity: &clicks.propensity, actions };
    let of = |row: usize, item: usize, out: &mut [f64]| clicks.describe(row, item, out);
    let wrong = |e| EvaluateError::Data(format!("random.csv: {e}"));
    let description = Description { width: clicks.width(), of: &of };
    let model = cross_fit(&log, &description, FOLDS, run.threads).map_err(wrong)?;
    let table: Vec<f64> =
        clicks.position.iter().flat_map(|position| policy.chances[*position].iter().copied()).collect();
    let mut out = Predictions::create(run.out, &["estimator", "value", "ci_lo", "ci_hi"])?;
    // Not for these very rows: for people like theirs.
    let intervals = Intervals { level: 0.95, population: true };
    for Estimate { estimator, value, low, high, .. } in estimate(&log, &table, &model, &intervals).map_err(wrong)? {
        out.row(format_args!("{},{value},{low},{high}", estimator.name()))?;
    }
    out.finish()
}

const FOLDS: usize = 5;
/// A coded user feature with more values than this is taken as a number's worth of none.
const VALUES_MAX: usize = 12;

/// Probability of each item at each position.
struct Policy {
    items: BTreeMap<String, usize>,
    positions: BTreeMap<String, usize>,
    /// For each position, of each item.
    chances: Vec<Vec<f64>>,
}

impl Policy {
    fn read(run: &Run<'_>) -> Result<Policy, EvaluateError> {
        let mut table = Table::open(run.input, "policy_bts.csv")?;
        let [position, item, chance] = ["position", "item_id", "p"].map(|name| table.column(name));
        let (position, item, chance) = (position?, item?, chance?);
        let (mut items, mut positions, mut cells) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        while table.next_row()? {
            let (items_known, positions_known) = (items.len(), positions.len());
            let at = *positions.entry(table.text(position).to_owned()).or_insert(positions_known);
            let of = *items.entry(table.text(item).to_owned()).or_insert(items_known);
            let p = table.number(chance)?;
            if !(0.0..=1.0).contains(&p) {
                return Err(table.wrong(chance, "a probability is from 0 to 1"));
            }
            if cells.insert((at, of), p).is_some() {
                return Err(table.wrong(item, "this item stands there twice for the position"));
            }
        }
        let mut chances = vec![vec![0.0; items.len()]; positions.len()];
        cells.into_iter().for_each(|((at, of), p)| chances[at][of] = p);
        for (name, at) in &positions {
            let sum: f64 = chances[*at].iter().sum();
            if (sum - 1.0).abs() > 1e-2 {
                let problem = format!("the probabilities of position {name} sum to {sum}, not 1");
                return Err(EvaluateError::File { file: table.file().to_owned(), problem });
            }
        }
        Ok(Policy { items, positions, chances })
    }
}

/// `random.csv`.
struct Clicks {
    item: Vec<usize>,
    position: Vec<usize>,
    click: Vec<f64>,
    propensity: Vec<f64>,
    /// What describes the row without its item: one number for each value of position and of each user feature.
    occasion: Vec<Vec<f64>>,
    /// Affinity of the row's user to items.
    affinity: Vec<BTreeMap<usize, f64>>,
}

impl Clicks {
    fn read(run: &Run<'_>, policy: &Policy) -> Result<Clicks, EvaluateError> {
        let mut table = Table::open(run.input, "random.csv")?;
        let [item, position, click, propensity] =
            ["item_id", "position", "click", "propensity"].map(|name| table.column(name));
        let (item, position, click, propensity) = (item?, position?, click?, propensity?);
        let affinity = table.column_if_any("affinity");
        let mut coded = Vec::new();
        while let Some(column) = table.column_if_any(&format!("u{}", coded.len())) {
            coded.push(column);
        }
        let mut clicks = Clicks {
            item: Vec::new(),
            position: Vec::new(),
            click: Vec::new(),
            propensity: Vec::new(),
            occasion: Vec::new(),
            affinity: Vec::new(),
        };
        let mut codes: Vec<Vec<String>> = Vec::new();
        while table.next_row()? {
            let known = |names: &BTreeMap<String, usize>, column| {
                let place = names.get(table.text(column)).copied();
                place.ok_or_else(|| table.wrong(column, "policy_bts.csv does not name it"))
            };
            let (at, of) = (known(&policy.positions, position)?, known(&policy.items, item)?);
            let (earned, chance) = (table.number(click)?, table.number(propensity)?);
            if !(PROPENSITY_MIN..=1.0).contains(&chance) {
                return Err(table.wrong(propensity, "a propensity is from 1e-12 to 1"));
            }
            clicks.position.push(at);
            clicks.item.push(of);
            clicks.click.push(earned);
            clicks.propensity.push(chance);
            codes.push(
                std::iter::once(at.to_string())
                    .chain(coded.iter().map(|column| table.text(*column).to_owned()))
                    .collect(),
            );
            clicks.affinity.push(affinity.map(|column| affinities(table.text(column), policy)).unwrap_or_default());
        }
        clicks.occasion = spread(&codes);
        Ok(clicks)
    }

    /// Of the row, and the affinity of its user to the item; the item's own level is the model's.
    fn width(&self) -> usize {
        self.occasion.first().map_or(0, Vec::len) + 1
    }

    fn describe(&self, row: usize, item: usize, out: &mut [f64]) {
        let occasion = &self.occasion[row];
        out[..occasion.len()].copy_from_slice(occasion);
        out[occasion.len()] = self.affinity[row].get(&item).copied().unwrap_or(0.0);
    }
}

/// `item:value;item:value`; what cannot be read, or names an item that the policy does not know, is passed over.
fn affinities(text: &str, policy: &Policy) -> BTreeMap<usize, f64> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once(':'));
    let read = |(item, value): (&str, &str)| {
        let value = value.trim().parse::<f64>().ok().filter(|value| value.is_finite())?;
        Some((*policy.items.get(item.trim())?, value))
    };
    pairs.filter_map(read).collect()
}

/// One number for each value of each code, 1 where the row has it; codes with one value or very many give none.
fn spread(codes: &[Vec<String>]) -> Vec<Vec<f64>> {
    let width = codes.first().map_or(0, Vec::len);
    let mut out = vec![Vec::new(); codes.len()];
    for code in 0..width {
        let mut values: Vec<&String> = codes.iter().map(|row| &row[code]).collect();
        values.sort();
        values.dedup();
        if !(2..=VALUES_MAX).contains(&values.len()) {
            continue;
        }
        for (row, out) in codes.iter().zip(&mut out) {
            out.extend(values[1..].iter().map(|value| f64::from(u8::from(*value == &row[code]))));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn run(click: &str, threads: usize) -> Result<String, EvaluateError> {
        let folder = tempfile::tempdir().unwrap();
        let mut random = "ts,item_id,position,click,propensity,u0,affinity\n".to_owned();
        for row in 0..90 {
            let click = if row == 30 { click } else { "0" };
            let _ =
                writeln!(random, "2026-01-01,{},{},{click},0.25,{},{}:2.5;x:1", row % 4, 1 + row % 3, row % 2, row % 4);
        }
        let mut policy = "position,item_id,p\n".to_owned();
        for cell in 0..12 {
            let _ = writeln!(policy, "{},{},{}", 1 + cell / 4, cell % 4, [0.7, 0.1, 0.1, 0.1][cell % 4]);
        }
        std::fs::write(folder.path().join("random.csv"), random).unwrap();
        std::fs::write(folder.path().join("policy_bts.csv"), policy).unwrap();
        let out = folder.path().join("out.csv");
        evaluate(&Run { threads, ..Run::over(folder.path(), &[], &out) })?;
        Ok(std::fs::read_to_string(out).unwrap())
    }

    #[test]
    fn one_click_is_weighed_by_its_chance() {
        let out = run("1", 1).unwrap();
        // Row 30 showed item 2: weight 0.1 / 0.25.
        let ips = out.lines().find(|line| line.starts_with("ips,")).unwrap();
        let value: f64 = ips.split(',').nth(1).unwrap().parse().unwrap();
        assert!((value - 0.4 / 90.0).abs() < 1e-12, "{ips}");
        assert_eq!(out.lines().count(), 8);
        for threads in [2, 5] {
            assert_eq!(run("1", threads).unwrap(), out, "threads change nothing");
        }
        // Without any click every estimate is near 0, and still a number.
        let none = run("0", 1).unwrap();
        assert!(!none.contains("NaN") && !none.contains("inf"), "{none}");
        assert!(run("nan", 1).unwrap_err().to_string().contains("random.csv, line 32, column \"click\""));
    }
}
