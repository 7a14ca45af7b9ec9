//! A Gaussian belief about weights, moved one reward at a time.
//!
//! The covariance is kept whole and symmetric; no step inverts anything.

use serde::{Deserialize, Serialize};

use super::BanditError;
use super::settings::Step;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Belief {
    mean: Vec<f64>,
    /// Row by row.
    covariance: Vec<f64>,
}

impl Belief {
    pub fn prior(mean: &[f64], deviation: &[f64]) -> Belief {
        let width = mean.len();
        let mut covariance = vec![0.0; width * width];
        for (i, deviation) in deviation.iter().enumerate() {
            covariance[i * width + i] = deviation * deviation;
        }
        Belief { mean: mean.to_vec(), covariance }
    }

    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    pub fn check(&self, width: usize) -> Result<(), BanditError> {
        super::settings::check("a belief", &self.mean, width)?;
        super::settings::check("a covariance", &self.covariance, width * width)
    }

    pub fn dot(&self, features: &[f64]) -> f64 {
        product(&self.mean, features)
    }

    /// Covariance times `features`.
    pub fn along(&self, features: &[f64]) -> Vec<f64> {
        self.covariance.chunks_exact(self.mean.len().max(1)).map(|row| product(row, features)).collect()
    }

    /// One extended Kalman step; `along` is [`Belief::along`] of the lesson, `variance` that of the whole score, of
    /// which this belief may be a part.
    pub fn move_by(&mut self, along: &[f64], step: &Step, variance: f64) {
        let scale = 1.0 / (1.0 + step.curvature * variance);
        for (mean, along) in self.mean.iter_mut().zip(along) {
            *mean += along * step.residual * scale;
        }
        let width = self.mean.len();
        for i in 0..width {
            for j in 0..=i {
                let moved = self.covariance[i * width + j] - along[i] * along[j] * step.curvature * scale;
                // Rounding may take a variance that is nearly 0 below it.
                let moved = if i == j { moved.max(0.0) } else { moved };
                self.covariance[i * width + j] = moved;
                self.covariance[j * width + i] = moved;
            }
        }
    }

    /// Moves the belief towards the prior: an autoregressive walk whose stationary law is the prior, so that what is
    /// never seen again ends as uncertain as it began, and never more so.
    pub fn fade(&mut self, keep: f64, mean: &[f64], deviation: &[f64]) {
        if keep == 1.0 {
            return;
        }
        for (now, prior) in self.mean.iter_mut().zip(mean) {
            *now = prior + keep * (*now - prior);
        }
        let width = self.mean.len();
        self.covariance.iter_mut().for_each(|entry| *entry *= keep * keep);
        for (i, deviation) in deviation.iter().enumerate() {
            self.covariance[i * width + i] += (1.0 - keep * keep) * deviation * deviation;
        }
    }

    /// Of the covariance.
    pub fn root(&self) -> Root {
        Root::of(&self.covariance, self.mean.len())
    }
}

/// A square root of a covariance.
pub(super) struct Root {
    width: usize,
    lower: Vec<f64>,
}

impl Root {
    /// Lower triangle L with L Lᵀ = `covariance`, row by row and of which only the lower triangle is looked at (Cholesky);
    /// a direction without variance gives a column of zeros.
    pub fn of(covariance: &[f64], width: usize) -> Root {
        let mut lower = vec![0.0; width * width];
        for i in 0..width {
            for j in 0..=i {
                let (row_i, row_j) = (&lower[i * width..i * width + j], &lower[j * width..j * width + j]);
                let rest = covariance[i * width + j] - product(row_i, row_j);
                lower[i * width + j] = if i == j {
                    if rest > 1e-14 * covariance[i * width + i] { libm::sqrt(rest) } else { 0.0 }
                } else if lower[j * width + j] > 0.0 {
                    rest / lower[j * width + j]
                } else {
                    0.0
                };
            }
        }
        Root { width, lower }
    }

    /// The rows of the triangle, each up to its diagonal.
    pub fn rows(self) -> Vec<Vec<f64>> {
        let rows = self.lower.chunks_exact(self.width.max(1)).enumerate();
        rows.map(|(i, row)| row[..=i].to_vec()).collect()
    }

    /// Lᵀ `features`: its product with independent normals has the covariance's spread along `features`.
    pub fn project(&self, features: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.width];
        for (row, feature) in self.lower.chunks_exact(self.width.max(1)).zip(features) {
            for (out, entry) in out.iter_mut().zip(row) {
                *out += entry * feature;
            }
        }
        out
    }
}

/// Sum of products, in four fixed lanes: the same order on every machine, and fast.
pub(super) fn product(a: &[f64], b: &[f64]) -> f64 {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let mut lanes = [0.0; 4];
    let (a_four, b_four) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a_four.remainder().iter().zip(b_four.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_four.zip(b_four) {
        for lane in 0..4 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}
