//! Fits the boosting of `hunch-learning` to one table and times it; `docs/models/compare_boosting.py` makes the tables
//! and sets the same work beside it.
//!
//! `boosting_compare TRAIN.csv TEST.csv OUT.csv LOSS [name=value …]`: the first column of both tables is the target, an
//! empty field is missing, a column named `group` names lists. Writes one prediction a line, prints one line of JSON.

use std::error::Error;
use std::time::Instant;

use hunch_learning::boosting::{Booster, Columns, Loss, Sample, Settings, fit};

struct Table {
    target: Vec<f64>,
    features: Columns,
    group: Option<Vec<u32>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [train, test, out, loss, further @ ..] = args.as_slice() else {
        return Err("boosting_compare TRAIN.csv TEST.csv OUT.csv LOSS [name=value …]".into());
    };
    let (train, test, loss) = (read(train)?, read(test)?, loss_named(loss)?);
    let mut settings = Settings::default();
    let mut repeat = 1;
    for setting in further {
        let (name, value) = setting.split_once('=').ok_or("a setting is name=value")?;
        match name {
            "rounds" => settings.rounds = value.parse()?,
            "leaves_max" => settings.leaves_max = value.parse()?,
            "learning_rate" => settings.learning_rate = value.parse()?,
            "threads" => settings.threads = value.parse()?,
            "repeat" => repeat = value.parse()?,
            _ => return Err(format!("there is no setting {name}").into()),
        }
    }
    let sample = Sample {
        features: &train.features,
        target: &train.target,
        weight: None,
        offset: None,
        group: train.group.as_deref(),
    };
    let (mut fits, mut predictions) = (Vec::new(), Vec::new());
    let mut last: Option<(Booster, Vec<f64>)> = None;
    for _ in 0..repeat {
        let (booster, took) = timed(|| fit(&sample, None, loss, &settings));
        let booster = booster?;
        let (told, took_telling) = timed(|| booster.predict(&test.features));
        fits.push(took);
        predictions.push(took_telling);
        last = Some((booster, told?));
    }
    let (booster, told) = last.ok_or("repeat must be at least 1")?;
    let lines: Vec<String> = told.iter().map(f64::to_string).collect();
    std::fs::write(out, lines.join("\n") + "\n")?;
    let shortest = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
    let line = serde_json::json!({
        "rows": train.target.len(), "rows_test": test.target.len(), "width": train.features.width(),
        "trees": booster.rounds(), "fit_seconds": shortest(&fits), "predict_seconds": shortest(&predictions),
    });
    println!("{line}");
    Ok(())
}

/// Seconds of this thread on a processor where the system tells them, else seconds that went by: other programs on the
/// same machine are not to count.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let on_processor = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    let (from, clock) = (on_processor(), Instant::now());
    let done = work();
    let went_by = clock.elapsed().as_secs_f64();
    let took = from.zip(on_processor()).map(|(from, to)| (to - from) / 1e9).filter(|took| *took > 0.0);
    (done, took.unwrap_or(went_by))
}

fn loss_named(name: &str) -> Result<Loss, Box<dyn Error>> {
    let (name, number) = name.split_once(':').unwrap_or((name, "0"));
    Ok(match name {
        "squared" => Loss::Squared,
        "log" => Loss::Log,
        "poisson" => Loss::Poisson,
        "tweedie" => Loss::Tweedie { power: number.parse()? },
        "quantile" => Loss::Quantile { level: number.parse()? },
        "pairwise" => Loss::Pairwise,
        _ => return Err(format!("there is no loss {name}").into()),
    })
}

fn read(file: &str) -> Result<Table, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(file)?;
    let header = reader.headers()?.clone();
    let mut columns = vec![Vec::new(); header.len()];
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row)? {
        for (column, field) in columns.iter_mut().zip(&row) {
            column.push(if field.is_empty() { f64::NAN } else { field.parse()? });
        }
    }
    let group = header.iter().position(|name| name == "group").map(|at| columns.remove(at));
    let group = group.map(|numbers| numbers.into_iter().map(|number| number as u32).collect());
    let target = columns.remove(0);
    Ok(Table { target, features: Columns::new(columns)?, group })
}
