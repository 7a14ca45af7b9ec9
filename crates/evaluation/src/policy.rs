//! Who gets which mailing: `train.csv` of a trial teaches, `input.csv` is who is to be decided for.
//!
//! The outcome is `visit`, less `--cost` for every contact. Columns that both files have, apart from what the trial
//! did and brought, describe the customers.

use std::path::Path;

use hunch_learning::off_policy::PROPENSITY_MIN;
use hunch_learning::uplift::{Trial, target};

use crate::EvaluateError;
use crate::files::{Column, Field, Predictions, Table};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task = Task { name: "policy", about: "whom to contact with what, from a trial", evaluate };

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let input = People::open(run.input, "input.csv")?;
    let [train] = run.train else {
        return Err(EvaluateError::Data("policy needs one --train DIR, with train.csv".to_owned()));
    };
    let trial = People::open(train, "train.csv")?;
    let names: Vec<String> = trial.names.iter().filter(|name| input.names.contains(name)).cloned().collect();
    if names.is_empty() {
        return Err(EvaluateError::Data("train.csv and input.csv have no column in common".to_owned()));
    }
    let (trial, results) = trial.read(&names, true)?;
    let (input, _) = input.read(&names, false)?;
    let coding = Coding::new(&trial, names.len());
    let (features, width) = (coding.all(&trial), coding.width);
    let arms = results.arm.iter().max().map_or(0, |arm| arm + 1);
    let propensity = if results.propensity.is_empty() { shares(&results.arm, arms) } else { results.propensity };
    let trial = Trial {
        features: &features,
        width,
        arm: &results.arm,
        outcome: &results.outcome,
        propensity: &propensity,
        arms,
    };
    let wrong = |e| EvaluateError::Data(format!("train.csv: {e}"));
    let targeting = target(&trial, run.cost, ALPHA, run.threads).map_err(wrong)?;
    run.say(format_args!(
        "best arm for all: {}, worth {:.4}; treating customers differently adds {:.4}, at least {:.4}: {}",
        targeting.constant,
        targeting.constant_value,
        targeting.gain,
        targeting.gain_low,
        if targeting.differs() { "done" } else { "not proven, not done" },
    ));
    let header: Vec<String> = std::iter::once("row".to_owned()).chain((0..arms).map(|arm| format!("p{arm}"))).collect();
    let mut out = Predictions::create(run.out, &header.iter().map(String::as_str).collect::<Vec<_>>())?;
    for (row, person) in input.rows.iter().zip(&input.numbers) {
        let arm = targeting.arm(&coding.of(person));
        let chances: Vec<&str> = (0..arms).map(|a| if a == arm { "1" } else { "0" }).collect();
        out.row(format_args!("{},{}", Field(row), chances.join(",")))?;
    }
    out.finish()
}

/// Of treating customers differently where one arm for all would be better.
const ALPHA: f64 = 0.05;

/// What the trial did and brought, and what describes nobody.
const NOT_FEATURES: [&str; 6] = ["row", "action", "visit", "conversion", "spend", "propensity"];

struct People {
    table: Table,
    names: Vec<String>,
}

#[derive(Default)]
struct Read {
    rows: Vec<String>,
    numbers: Vec<Vec<f64>>,
}

#[derive(Default)]
struct Results {
    arm: Vec<usize>,
    outcome: Vec<f64>,
    propensity: Vec<f64>,
}

impl People {
    fn open(folder: &Path, name: &str) -> Result<People, EvaluateError> {
        let table = Table::open(folder, name)?;
        let names = table.header().iter().filter(|name| !NOT_FEATURES.contains(&name.as_str())).cloned().collect();
        Ok(People { table, names })
    }

    fn read(mut self, names: &[String], trial: bool) -> Result<(Read, Results), EvaluateError> {
        let table = &mut self.table;
        let columns = names.iter().map(|name| table.column(name)).collect::<Result<Vec<Column>, _>>()?;
        let row = if trial { table.column_if_any("row") } else { Some(table.column("row")?) };
        let results = if trial { Some((table.column("action")?, table.column("visit")?)) } else { None };
        let chance = table.column_if_any("propensity").filter(|_| trial);
        let (mut read, mut found) = (Read::default(), Results::default());
        let mut names = std::collections::BTreeSet::new();
        while table.next_row()? {
            if let Some(row) = row {
                read.rows.push(table.text(row).to_owned());
                if !names.insert(table.text(row).to_owned()) {
                    return Err(table.wrong(row, "this row stands there twice"));
                }
            }
            read.numbers.push(columns.iter().map(|column| table.number(*column)).collect::<Result<_, _>>()?);
            let Some((action, visit)) = results else { continue };
            let arm = table.whole::<usize>(action)?;
            if arm >= ARMS_MAX {
                return Err(table.wrong(action, &format!("arms are numbered from 0, at most {ARMS_MAX}")));
            }
            found.arm.push(arm);
            found.outcome.push(table.number(visit)?);
            if let Some(chance) = chance {
                let p = table.number(chance)?;
                if !(PROPENSITY_MIN..=1.0).contains(&p) {
                    return Err(table.wrong(chance, "a propensity is from 1e-12 to 1"));
                }
                found.propensity.push(p);
            }
        }
        Ok((read, found))
    }
}

const ARMS_MAX: usize = 50;

/// Without a column of propensities: the share of each arm, which a trial by lot makes them.
fn shares(arm: &[usize], arms: usize) -> Vec<f64> {
    let mut count = vec![0.0; arms];
    arm.iter().for_each(|arm| count[*arm] += 1.0);
    let people = arm.len() as f64;
    arm.iter().map(|arm| count[*arm] / people).collect()
}

/// How columns become features, fixed by the trial.
struct Coding {
    columns: Vec<Code>,
    /// Pairs of two-valued columns: their product is a feature.
    pairs: Vec<(usize, usize)>,
    width: usize,
}

enum Code {
    Number,
    /// Never below 0 and with a long tail: its logarithm.
    Amount,
    /// Few whole numbers: one feature for each but the first.
    Values(Vec<f64>),
}

impl Coding {
    fn new(trial: &Read, columns: usize) -> Coding {
        let mut pairs = Vec::new();
        let mut two_valued = Vec::new();
        let mut codes = Vec::new();
        for column in 0..columns {
            let mut values: Vec<f64> = trial.numbers.iter().map(|row| row[column]).collect();
            values.sort_by(f64::total_cmp);
            let middle = values.get(values.len() / 2).copied().unwrap_or(0.0);
            let tail = values.first().is_some_and(|least| *least >= 0.0)
                && values.last().is_some_and(|most| *most > 5.0 * middle.max(1.0));
            values.dedup();
            if values.len() == 2 {
                pairs.extend(two_valued.iter().map(|other| (*other, column)));
                two_valued.push(column);
            }
            let few = (2..=6).contains(&values.len()) && values.iter().all(|value| value.fract() == 0.0);
            codes.push(if few {
                Code::Values(values[1..].to_vec())
            } else if tail {
                Code::Amount
            } else {
                Code::Number
            });
        }
        let width =
            codes.iter().map(|code| if let Code::Values(values) = code { values.len() } else { 1 }).sum::<usize>();
        Coding { width: width + pairs.len(), columns: codes, pairs }
    }

    fn of(&self, person: &[f64]) -> Vec<f64> {
        let mut features = Vec::with_capacity(self.width);
        for (code, number) in self.columns.iter().zip(person) {
            match code {
                Code::Number => features.push(*number),
                Code::Amount => features.push(number.max(0.0).ln_1p()),
                Code::Values(values) => {
                    features.extend(values.iter().map(|value| f64::from(u8::from(value == number))))
                }
            }
        }
        features.extend(self.pairs.iter().map(|(a, b)| person[*a] * person[*b]));
        features
    }

    fn all(&self, people: &Read) -> Vec<f64> {
        people.numbers.iter().flat_map(|person| self.of(person)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::PathBuf;

    use super::*;

    fn files(people: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut train = "row,recency,mens,zip_code,action,visit,conversion,spend\n".to_owned();
        let mut input = "row,recency,mens,zip_code\n".to_owned();
        // Knuth's linear congruence: enough chance for a trial by lot.
        let mut state = 1_u64;
        let mut dice = |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        for row in 0..people {
            let (recency, mens, zip, arm) = (dice(12), row / 2 % 2, dice(3), dice(3));
            // Arm 1 works for those with mens = 1 only, arm 2 for nobody.
            let visit = u8::from(dice(10) < if arm == 1 && mens == 1 { 7 } else { 2 });
            let _ = writeln!(train, "{row},{recency},{mens},{zip},{arm},{visit},0,0");
            let _ = writeln!(input, "{row},{recency},{mens},{zip}");
        }
        std::fs::write(folder.path().join("train.csv"), train).unwrap();
        std::fs::write(folder.path().join("input.csv"), input).unwrap();
        folder
    }

    fn run(folder: &Path, train: &[PathBuf], cost: f64) -> Result<String, EvaluateError> {
        let out = folder.join("out.csv");
        evaluate(&Run { cost, ..Run::over(folder, train, &out) })?;
        Ok(std::fs::read_to_string(out).unwrap())
    }

    #[test]
    fn contacts_go_where_they_pay() {
        let folder = files(900);
        let train = [folder.path().to_owned()];
        let out = run(folder.path(), &train, 0.1).unwrap();
        assert_eq!(out.lines().next(), Some("row,p0,p1,p2"));
        let right = out.lines().skip(1).enumerate().filter(|(row, line)| {
            let wanted = if row / 2 % 2 == 1 { "0,1,0" } else { "1,0,0" };
            *line == format!("{row},{wanted}")
        });
        let right = right.count();
        assert!(right > 810, "{right} of 900");
        assert!(run(folder.path(), &train, 5.0).unwrap().lines().skip(1).all(|line| line.ends_with(",1,0,0")));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let folder = files(300);
        let train = [folder.path().to_owned()];
        assert!(run(folder.path(), &[], 0.0).unwrap_err().to_string().contains("--train"));
        let file = folder.path().join("train.csv");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replacen("\n4,", "\n3,", 1)).unwrap();
        assert!(run(folder.path(), &train, 0.0).unwrap_err().to_string().contains("line 6, column \"row\""));
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut fields: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
        fields[5] = "inf";
        lines[1] = fields.join(",");
        std::fs::write(&file, lines.join("\n")).unwrap();
        assert!(run(folder.path(), &train, 0.0).unwrap_err().to_string().contains("line 2, column \"visit\""));
        std::fs::write(&file, text.lines().take(20).collect::<Vec<_>>().join("\n")).unwrap();
        assert!(run(folder.path(), &train, 0.0).unwrap_err().to_string().contains("fifty people"));
    }
}
