//! Choices that were made, each with the alternatives it was set against, and a model that says what made the
//! difference: a conditional logit (McFadden 1974) on standardised columns.

use std::collections::VecDeque;

use super::features::WIDTH;
use crate::numeric::cholesky;

/// One choice; the chosen one comes first.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub question: u64,
    pub probability: f64,
    pub rows: Vec<[f64; WIDTH]>,
}

/// The latest choices, so many at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices {
    pub kept: VecDeque<Choice>,
    /// Ever made.
    pub made: u64,
}

const KEPT_MAX: usize = 8_000;

impl Choices {
    pub fn push(&mut self, choice: Choice) {
        self.made += 1;
        self.kept.push_back(choice);
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }
}

/// Linear utility of a candidate.
#[derive(Clone, Debug)]
pub(super) struct Utility {
    weights: [f64; WIDTH],
}

impl Utility {
    pub fn of(&self, row: &[f64; WIDTH]) -> f64 {
        row.iter().zip(&self.weights).map(|(x, w)| x * w).sum()
    }

    /// Maximum a posteriori with a normal prior at zero, by Newton's method; `weight` says how much each choice counts.
    /// None without choices, or if the steps lead nowhere finite.
    pub fn fit(choices: &Choices, weight: impl Fn(&Choice) -> f64) -> Option<Utility> {
        const STRENGTH: f64 = 3.0;
        const STEPS: usize = 7;
        let scale = scales(choices)?;
        let mut utility = Utility { weights: [0.0; WIDTH] };
        for _ in 0..STEPS {
            let mut gradient = [0.0; WIDTH];
            let mut precision = vec![0.0; WIDTH * WIDTH];
            for choice in &choices.kept {
                utility.add(choice, weight(choice), &scale, &mut gradient, &mut precision);
            }
            for i in 0..WIDTH {
                precision[i * WIDTH + i] += STRENGTH;
                gradient[i] -= STRENGTH * utility.weights[i] * scale[i];
            }
            if !cholesky::factor(&mut precision, WIDTH) {
                return None;
            }
            cholesky::solve_lower(&precision, &mut gradient);
            cholesky::solve_upper(&precision, &mut gradient);
            for i in 0..WIDTH {
                utility.weights[i] += gradient[i] / scale[i];
            }
        }
        utility.weights.iter().all(|w| w.is_finite()).then_some(utility)
    }

    fn add(
        &self,
        choice: &Choice,
        weight: f64,
        scale: &[f64; WIDTH],
        gradient: &mut [f64; WIDTH],
        precision: &mut [f64],
    ) {
        let utilities: Vec<f64> = choice.rows.iter().map(|row| self.of(row)).collect();
        let top = utilities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = utilities.iter().map(|u| libm::exp(u - top)).collect();
        let total: f64 = shares.iter().sum();
        let mut mean = [0.0; WIDTH];
        for (row, share) in choice.rows.iter().zip(&shares) {
            for (mean, x) in mean.iter_mut().zip(row) {
                *mean += share / total * x;
            }
        }
        for (row, share) in choice.rows.iter().zip(&shares) {
            let part = weight * share / total;
            // Candidates that would hardly ever be chosen bend nothing.
            if part < 1e-5 {
                continue;
            }
            let mut apart = [0.0; WIDTH];
            for j in 0..WIDTH {
                apart[j] = (row[j] - mean[j]) / scale[j];
            }
            for i in 0..WIDTH {
                let factor = part * apart[i];
                for (cell, x) in precision[i * WIDTH..=i * WIDTH + i].iter_mut().zip(&apart) {
                    *cell += factor * x;
                }
            }
        }
        for j in 0..WIDTH {
            gradient[j] += weight * (choice.rows[0][j] - mean[j]) / scale[j];
        }
    }
}

/// Spread of each column within choices.
fn scales(choices: &Choices) -> Option<[f64; WIDTH]> {
    let mut squares = [0.0; WIDTH];
    let mut count = 0.0;
    for choice in &choices.kept {
        let n = choice.rows.len() as f64;
        for (j, square) in squares.iter_mut().enumerate() {
            let mean = choice.rows.iter().map(|row| row[j]).sum::<f64>() / n;
            *square += choice.rows.iter().map(|row| (row[j] - mean) * (row[j] - mean)).sum::<f64>();
        }
        count += n;
    }
    (count > 0.0).then(|| squares.map(|square| if square > 1e-9 { (square / count).sqrt() } else { 1.0 }))
}
