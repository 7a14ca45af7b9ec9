//! Logistic regression with a normal prior, refitted again and again from where it stood.
//!
//! Columns are standardised at each refit, so one prior strength does for all. The prior's mean need not be zero: with
//! few rows the model is the prior, which is what makes a young site's estimates sensible.

use super::sigmoid;
use crate::numeric::cholesky;

/// Labelled rows, one after another in one array.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    width: usize,
    values: Vec<f64>,
    yes: Vec<f64>,
    weight: Vec<f64>,
}

impl Rows {
    pub fn new(width: usize) -> Rows {
        Rows { width, ..Rows::default() }
    }

    pub fn push(&mut self, row: &[f64], yes: bool, weight: f64) {
        debug_assert_eq!(row.len(), self.width);
        self.values.extend_from_slice(row);
        self.yes.push(f64::from(u8::from(yes)));
        self.weight.push(weight);
    }

    pub fn len(&self) -> usize {
        self.yes.len()
    }

    fn iter(&self) -> impl Iterator<Item = (&[f64], f64, f64)> {
        let labels = self.yes.iter().zip(&self.weight);
        self.values.chunks_exact(self.width.max(1)).zip(labels).map(|(row, (&yes, &weight))| (row, yes, weight))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Logistic {
    /// Of the columns it looks at: the first `width` of a row.
    width: usize,
    /// Prior means of the coefficients, for columns as they come; then that of the constant.
    prior: Vec<f64>,
    /// Prior precision of each coefficient of a standardised column, and of the constant at the columns' means.
    strength: f64,
    constant_strength: f64,
    mean: Vec<f64>,
    scale: Vec<f64>,
    /// Coefficients for columns as they come, then the constant.
    coefficients: Vec<f64>,
    /// Lower Cholesky factor of the posterior precision, in standardised columns; row by row.
    factor: Vec<f64>,
}

impl Logistic {
    /// `prior` has one mean for each column, and the constant's.
    pub fn new(prior: Vec<f64>, strength: f64, constant_strength: f64) -> Logistic {
        let width = prior.len().saturating_sub(1);
        let (mean, scale) = (vec![0.0; width], vec![1.0; width]);
        let coefficients = prior.clone();
        Logistic { width, coefficients, prior, strength, constant_strength, mean, scale, factor: Vec::new() }
    }

    pub fn logit(&self, row: &[f64]) -> f64 {
        let sum: f64 = row.iter().zip(&self.coefficients[..self.width]).map(|(x, b)| x * b).sum();
        sum + self.coefficients[self.width]
    }

    /// Variance of `logit(row)` under the normal approximation of the posterior (Laplace); 1 before the first refit.
    pub fn variance(&self, row: &[f64]) -> f64 {
        if self.factor.is_empty() {
            return 1.0;
        }
        let mut standard = self.standardised(row);
        standard.push(1.0);
        cholesky::solve_lower(&self.factor, &mut standard);
        standard.iter().map(|x| x * x).sum()
    }

    /// Newton's method from the present coefficients, `steps` steps. Rows it cannot be fitted to leave it as it was.
    pub fn refit(&mut self, rows: &Rows, steps: u32) {
        self.standardise(rows);
        for _ in 0..steps {
            if !self.step(rows) {
                return;
            }
        }
    }

    fn standardised(&self, row: &[f64]) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.width + 1);
        out.extend(row.iter().zip(&self.mean).zip(&self.scale).map(|((x, mean), scale)| (x - mean) / scale));
        out
    }

    /// Sets means and scales to those of the rows. A column without spread keeps the scale 1.
    fn standardise(&mut self, rows: &Rows) {
        let count = rows.len().max(1) as f64;
        let (mut sum, mut squares) = (vec![0.0; self.width], vec![0.0; self.width]);
        for (row, ..) in rows.iter() {
            for (total, x) in sum.iter_mut().zip(row) {
                *total += x;
            }
        }
        self.mean = sum.iter().map(|total| total / count).collect();
        for (row, ..) in rows.iter() {
            for ((total, x), mean) in squares.iter_mut().zip(row).zip(&self.mean) {
                *total += (x - mean) * (x - mean);
            }
        }
        let spread = |total: &f64| (total / count).sqrt();
        self.scale = squares.iter().map(|t| if spread(t) > 1e-6 { spread(t) } else { 1.0 }).collect();
    }

    /// One step of Newton's method in standardised columns; false if it leads nowhere finite.
    fn step(&mut self, rows: &Rows) -> bool {
        let size = self.width + 1;
        let (mut gradient, mut precision) = (vec![0.0; size], vec![0.0; size * size]);
        let mut standard = vec![1.0; size];
        for (row, yes, weight) in rows.iter() {
            for (j, out) in standard[..self.width].iter_mut().enumerate() {
                *out = (row[j] - self.mean[j]) / self.scale[j];
            }
            let p = sigmoid(self.logit(row));
            let (slope, bend) = (weight * (yes - p), weight * (p * (1.0 - p)).max(1e-6));
            for i in 0..size {
                gradient[i] += slope * standard[i];
                let factor = bend * standard[i];
                let line = &mut precision[i * size..i * size + i + 1];
                for (cell, x) in line.iter_mut().zip(&standard) {
                    *cell += factor * x;
                }
            }
        }
        for (i, slope) in gradient[..self.width].iter_mut().enumerate() {
            precision[i * size + i] += self.strength;
            *slope -= self.strength * (self.coefficients[i] - self.prior[i]) * self.scale[i];
        }
        let last = self.width;
        let centre = |b: &[f64]| b[last] + b.iter().zip(&self.mean).map(|(b, mean)| b * mean).sum::<f64>();
        precision[last * size + last] += self.constant_strength;
        gradient[last] -= self.constant_strength * (centre(&self.coefficients) - centre(&self.prior));
        if !cholesky::factor(&mut precision, size) {
            return false;
        }
        cholesky::solve_lower(&precision, &mut gradient);
        cholesky::solve_upper(&precision, &mut gradient);
        if gradient.iter().any(|x| !x.is_finite()) {
            return false;
        }
        for (i, step) in gradient[..self.width].iter().enumerate() {
            let change = step / self.scale[i];
            self.coefficients[i] += change;
            self.coefficients[last] -= change * self.mean[i];
        }
        self.coefficients[last] += gradient[last];
        self.factor = precision;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::chance::chance;
    use rand::RngExt;

    #[test]
    fn coefficients_are_found_and_the_prior_holds_without_rows() {
        let mut random = chance(3, 1);
        let mut rows = Rows::new(2);
        for _ in 0..20_000 {
            let x = [random.random::<f64>() * 4.0 - 2.0, random.random::<f64>() * 40.0 + 100.0];
            let p = sigmoid(0.8 * x[0] - 0.05 * x[1] + 5.5);
            rows.push(&x, random.random::<f64>() < p, 1.0);
        }
        let mut model = Logistic::new(vec![0.3, 0.0, 0.0], 1.0, 0.01);
        model.refit(&Rows::new(2), 3);
        assert!((model.logit(&[1.0, 120.0]) - 0.3).abs() < 1e-9);
        model.refit(&rows, 8);
        for (found, true_one) in model.coefficients.iter().zip([0.8, -0.05, 5.5]) {
            assert!((found - true_one).abs() < 0.07 * true_one.abs(), "{:?}", model.coefficients);
        }
        assert!(model.variance(&[0.0, 120.0]) < 0.001 && model.variance(&[0.0, 120.0]) > 0.0);
        assert!(model.variance(&[40.0, 120.0]) > model.variance(&[0.0, 120.0]));
    }

    #[test]
    fn a_constant_column_and_one_outcome_do_no_harm() {
        let mut rows = Rows::new(2);
        for i in 0..50 {
            rows.push(&[1.0, f64::from(i)], true, 1.0);
        }
        let mut model = Logistic::new(vec![0.0; 3], 5.0, 0.05);
        model.refit(&rows, 10);
        let logit = model.logit(&[1.0, 20.0]);
        assert!(logit.is_finite() && logit > 1.0, "{logit}");
    }
}
