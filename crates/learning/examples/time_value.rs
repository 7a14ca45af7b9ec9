//! Seconds for fits and predictions of the repeat-buying models on a summary of customers:
//! `time_value SUMMARY.csv HORIZON_WEEKS`, where `docs/models/compare_lifetimes.py --summary` wrote the summary.

use std::time::Instant;

use hunch_learning::value::{GammaGamma, Geometric, Leaving, MeanSpend, Pareto, RepeatBuying, Summary, ValueError};

fn timed<T>(name: &str, work: impl Fn() -> Result<T, ValueError>) -> Option<T> {
    let start = Instant::now();
    let answer = work();
    println!("{name} {:.6}", start.elapsed().as_secs_f64());
    answer.map_err(|e| eprintln!("{name}: {e}")).ok()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (Some(file), Some(horizon)) = (args.get(1), args.get(2).and_then(|weeks| weeks.parse::<f64>().ok())) else {
        eprintln!("usage: time_value SUMMARY.csv HORIZON_WEEKS");
        return;
    };
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let (mut customers, mut spend) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let row: Vec<f64> = line.split(',').filter_map(|x| x.parse().ok()).collect();
        if let [repeats, recency, age, days, mean] = row[..] {
            customers.push(Summary { repeats: repeats as u32, recency, age, ln_gaps: 0.0 });
            spend.push(MeanSpend { days, mean });
        }
    }
    let sum = |model: &dyn RepeatBuying| Ok(customers.iter().map(|c| model.expected(c, horizon)).sum::<f64>());
    let alive = |model: &dyn RepeatBuying| Ok(customers.iter().map(|c| model.alive(c)).sum::<f64>());
    if let Some(model) = timed("bg_nbd_fit", || Geometric::fit(&customers, Leaving::AfterRepeat, 1)) {
        timed("bg_nbd_expected", || sum(&model));
        timed("bg_nbd_alive", || alive(&model));
    }
    if let Some(model) = timed("pareto_nbd_fit", || Pareto::fit(&customers)) {
        timed("pareto_nbd_expected", || sum(&model));
        timed("pareto_nbd_alive", || alive(&model));
    }
    if let Some(model) = timed("gamma_gamma_fit", || GammaGamma::fit(&spend)) {
        timed("gamma_gamma_expected", || Ok(spend.iter().map(|s| model.expected(s)).sum::<f64>()));
    }
}
