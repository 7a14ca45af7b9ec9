//! How long one decision of the bandit takes: 50 features, 20 actions. Run with `--release`.

use std::error::Error;
use std::time::Instant;

use hunch_learning::bandit::{Bandit, Candidate, Exploration, Settings};
use hunch_learning::numeric::chance::chance;

const DECISIONS: u64 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    for exploration in [Exploration::InverseGap { gamma: 100.0, growth: 0.5 }, Exploration::Thompson { draws: 64 }] {
        let mut settings = Settings::new(25, 25);
        settings.exploration = exploration;
        settings.half_life = Some(10_000.0);
        let mut bandit = Bandit::new(settings)?;
        let (mut deciding, mut learning) = (Vec::new(), Vec::new());
        for number in 0..DECISIONS {
            let context: Vec<f64> = (0..25).map(|i| ((number + i) % 7) as f64 / 7.0).collect();
            let features: Vec<Vec<f64>> =
                (0..20).map(|action| (0..25).map(|i| ((number * action + i) % 11) as f64 / 11.0).collect()).collect();
            let candidates: Vec<Candidate<'_>> =
                (0_u64..).zip(&features).map(|(action, features)| Candidate { action, features }).collect();
            let start = Instant::now();
            let decision = bandit.decide(&context, &candidates, &mut chance(1, number))?;
            deciding.push(start.elapsed().as_nanos());
            let start = Instant::now();
            bandit.learn(&decision.taken, f64::from(u8::from((number + decision.action).is_multiple_of(9))))?;
            learning.push(start.elapsed().as_nanos());
        }
        for (what, mut nanoseconds) in [("decide", deciding), ("learn", learning)] {
            nanoseconds.sort_unstable();
            let at = |share: f64| nanoseconds[(share * (nanoseconds.len() - 1) as f64) as usize] as f64 / 1_000.0;
            println!("{exploration:?} {what}: median {:.1} µs, p99 {:.1} µs", at(0.5), at(0.99));
        }
    }
    Ok(())
}
