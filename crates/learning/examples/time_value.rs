//! Seconds for fits and predictions of the repeat-buying models on a summary of customers:
//! `time_value SUMMARY.csv HORIZON_WEEKS`, where `docs/models/compare_lifetimes.py --summary` wrote the summary.
//!
//! Nothing but the work itself is timed: the rows are in memory before, and the answers, one for each row, are in
//! memory afterwards. Each piece of work is repeated, and the shortest time counts, as on the other side of the
//! comparison: on a machine that others use too, it is the one least disturbed.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use hunch_learning::value::{GammaGamma, Geometric, Leaving, MeanSpend, Pareto, RepeatBuying, Summary};

const FITS: usize = 7;
const PREDICTIONS: usize = 50;

/// Prints the shortest time that `work` takes.
fn timed<T>(name: &str, times: usize, work: impl Fn() -> T) {
    let once = || {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64()
    };
    println!("{name} {:.9}", (0..times).map(|_| once()).fold(f64::INFINITY, f64::min));
}

fn predictions(name: &str, model: &dyn RepeatBuying, customers: &[Summary], horizon: f64) {
    let customers = black_box(customers);
    timed(&format!("{name}_expected"), PREDICTIONS, || model.expected_all(customers, horizon));
    timed(&format!("{name}_alive"), PREDICTIONS, || {
        customers.iter().map(|customer| model.alive(customer)).collect::<Vec<f64>>()
    });
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, horizon] = args.as_slice() else { return Err("time_value SUMMARY.csv HORIZON_WEEKS".into()) };
    let horizon: f64 = horizon.parse()?;
    let (mut customers, mut spend) = (Vec::new(), Vec::new());
    for line in std::fs::read_to_string(file)?.lines().skip(1) {
        let row = line.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let [repeats, recency, age, days, mean] = row[..] else { return Err("a row has five numbers".into()) };
        customers.push(Summary { repeats: repeats as u32, recency, age, ln_gaps: 0.0 });
        if mean > 0.0 {
            spend.push(MeanSpend { days, mean });
        }
    }
    let (customers, spend) = (black_box(customers), black_box(spend));
    let bg = Geometric::fit(&customers, Leaving::AfterRepeat, 1)?;
    timed("bg_nbd_fit", FITS, || Geometric::fit(&customers, Leaving::AfterRepeat, 1));
    predictions("bg_nbd", &bg, &customers, horizon);
    let pareto = Pareto::fit(&customers)?;
    timed("pareto_nbd_fit", FITS, || Pareto::fit(&customers));
    predictions("pareto_nbd", &pareto, &customers, horizon);
    let amount = GammaGamma::fit(&spend)?;
    timed("gamma_gamma_fit", FITS, || GammaGamma::fit(&spend));
    let spend = black_box(spend.as_slice());
    timed("gamma_gamma_expected", PREDICTIONS, || spend.iter().map(|s| amount.expected(s)).collect::<Vec<f64>>());
    Ok(())
}
