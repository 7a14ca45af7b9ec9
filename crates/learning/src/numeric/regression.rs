//! Generalised linear regression with a ridge: logistic and Poisson, by Newton's method.
//!
//! Columns are centred and scaled inside, so one ridge fits all of them; a missing value (NaN) counts as the column's
//! mean. The intercept is not penalised, so sums of predictions match sums of targets over the rows that were learned
//! from.

use nalgebra::{DMatrix, DVector};

use super::special::logistic;

/// What the target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Family {
    /// 0 or 1 (or a share between); the linear part is a logit.
    Logistic,
    /// Counts or amounts, not negative, whose variance grows with the mean; the linear part is a logarithm.
    Poisson,
}

/// Why there is no fit.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum RegressionError {
    #[error("{what} has {given} entries, {needed} are needed")]
    Length { what: &'static str, given: usize, needed: usize },
    #[error("row {row} has a target, weight or offset that cannot be used")]
    Value { row: usize },
    #[error("there is nothing to learn from: no row with weight")]
    Empty,
    #[error("the equations cannot be solved")]
    Singular,
}

/// Rows to learn from; every slice has one entry for each row.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// By row, each of the same width; NaN is missing.
    pub features: &'a [Vec<f64>],
    pub target: &'a [f64],
    /// Not negative.
    pub weight: &'a [f64],
    /// A known part of the linear predictor.
    pub offset: &'a [f64],
}

/// A fitted regression: `intercept + Σ slope (feature - centre) / scale`, added to a row's offset.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Regression {
    pub intercept: f64,
    pub slopes: Vec<f64>,
    pub centres: Vec<f64>,
    pub scales: Vec<f64>,
}

const STEPS_MAX: usize = 60;
/// Standardised features beyond this are taken as this: a far outlier must not decide a prediction.
const REACH: f64 = 5.0;
/// Limits of the linear part, far outside of what data can show, so that exp stays finite on the way.
const LINEAR_MAX: f64 = 30.0;

impl Regression {
    /// Fits by penalised maximum likelihood: `ridge / 2 · Σ slope²` is added to the summed weighted loss.
    ///
    /// # Errors
    /// `Length` or `Value` for rows that do not fit together or hold what cannot be used (a negative target, an
    /// infinite offset), `Empty` without weight, `Singular` if Newton's equations have no solution.
    pub fn fit(rows: Rows<'_>, family: Family, ridge: f64) -> Result<Regression, RegressionError> {
        check(rows, family)?;
        let width = rows.features.first().map_or(0, Vec::len);
        let (centres, scales) = moments(rows, width);
        let design = standardised(rows.features, &centres, &scales);
        let mut at = DVector::<f64>::zeros(width + 1);
        at[0] = start(rows, family);
        let mut loss = penalised(rows, family, ridge, &design, &at);
        for _ in 0..STEPS_MAX {
            let (gradient, hessian) = derivatives(rows, family, ridge, &design, &at);
            let step = hessian.cholesky().ok_or(RegressionError::Singular)?.solve(&gradient);
            let mut share = 1.0;
            let (next, lower) = loop {
                let next = &at - &step * share;
                let lower = penalised(rows, family, ridge, &design, &next);
                if lower <= loss || share < 1e-6 {
                    break (next, lower);
                }
                share *= 0.5;
            };
            let gain = loss - lower;
            if gain >= 0.0 {
                (at, loss) = (next, lower);
            }
            if gain < 1e-9 * (1.0 + loss.abs()) {
                break;
            }
        }
        Ok(Regression { intercept: at[0], slopes: at.iter().skip(1).copied().collect(), centres, scales })
    }

    /// The linear part for one row, without its offset.
    pub fn linear(&self, features: &[f64]) -> f64 {
        let terms = features.iter().zip(&self.slopes).zip(self.centres.iter().zip(&self.scales));
        let sum: f64 = terms.map(|((x, slope), (centre, scale))| slope * standard(*x, *centre, *scale)).sum();
        self.intercept + sum
    }
}

fn check(rows: Rows<'_>, family: Family) -> Result<(), RegressionError> {
    let needed = rows.features.len();
    for (what, given) in [("target", rows.target.len()), ("weight", rows.weight.len()), ("offset", rows.offset.len())] {
        if given != needed {
            return Err(RegressionError::Length { what, given, needed });
        }
    }
    let width = rows.features.first().map_or(0, Vec::len);
    if let Some(row) = rows.features.iter().find(|row| row.len() != width) {
        return Err(RegressionError::Length { what: "a row of features", given: row.len(), needed: width });
    }
    let most = if family == Family::Logistic { 1.0 } else { f64::MAX };
    let usable = |row: usize| {
        (0.0..=most).contains(&rows.target[row])
            && (0.0..f64::INFINITY).contains(&rows.weight[row])
            && rows.offset[row].is_finite()
            && !rows.features[row].iter().any(|x| x.is_infinite())
    };
    if let Some(row) = (0..needed).find(|row| !usable(*row)) {
        return Err(RegressionError::Value { row });
    }
    if rows.weight.iter().sum::<f64>() > 0.0 { Ok(()) } else { Err(RegressionError::Empty) }
}

fn moments(rows: Rows<'_>, width: usize) -> (Vec<f64>, Vec<f64>) {
    (0..width)
        .map(|column| {
            let known = || {
                let values = rows.features.iter().map(move |row| row[column]);
                values.zip(rows.weight).filter(|(x, _)| !x.is_nan())
            };
            let weight = known().map(|(_, w)| w).sum::<f64>().max(f64::MIN_POSITIVE);
            let centre = known().map(|(x, w)| w * x).sum::<f64>() / weight;
            let variance = known().map(|(x, w)| w * (x - centre) * (x - centre)).sum::<f64>() / weight;
            let scale = variance.sqrt();
            (centre, if scale > 1e-12 * (1.0 + centre.abs()) { scale } else { f64::INFINITY })
        })
        .map(|(centre, scale)| (centre, scale.min(f64::MAX)))
        .unzip()
}

fn standard(x: f64, centre: f64, scale: f64) -> f64 {
    if x.is_nan() { 0.0 } else { ((x - centre) / scale).clamp(-REACH, REACH) }
}

fn standardised(features: &[Vec<f64>], centres: &[f64], scales: &[f64]) -> DMatrix<f64> {
    DMatrix::from_fn(features.len(), centres.len() + 1, |row, column| match column {
        0 => 1.0,
        j => standard(features[row][j - 1], centres[j - 1], scales[j - 1]),
    })
}

/// The intercept that is right if no feature matters and offsets are alike.
fn start(rows: Rows<'_>, family: Family) -> f64 {
    let weight: f64 = rows.weight.iter().sum();
    let sum = |values: &dyn Fn(usize) -> f64| (0..rows.target.len()).map(|i| rows.weight[i] * values(i)).sum::<f64>();
    let mean = sum(&|i| rows.target[i]) / weight;
    match family {
        Family::Logistic => super::special::logit(mean.clamp(1e-4, 1.0 - 1e-4)) - sum(&|i| rows.offset[i]) / weight,
        Family::Poisson => {
            let offset = sum(&|i| libm::exp(rows.offset[i].min(LINEAR_MAX))) / weight;
            libm::log(mean.max(1e-9) / offset.max(1e-9))
        }
    }
}

fn response(family: Family, linear: f64) -> f64 {
    match family {
        Family::Logistic => logistic(linear),
        Family::Poisson => libm::exp(linear.min(LINEAR_MAX)),
    }
}

fn penalised(rows: Rows<'_>, family: Family, ridge: f64, design: &DMatrix<f64>, at: &DVector<f64>) -> f64 {
    let linear = design * at;
    let loss = |i: usize| {
        let eta = (linear[i] + rows.offset[i]).clamp(-LINEAR_MAX, LINEAR_MAX);
        match family {
            Family::Logistic => libm::log1p(libm::exp(-eta.abs())) + eta.max(0.0) - rows.target[i] * eta,
            Family::Poisson => libm::exp(eta) - rows.target[i] * eta,
        }
    };
    let slopes: f64 = at.iter().skip(1).map(|slope| slope * slope).sum();
    (0..rows.target.len()).map(|i| rows.weight[i] * loss(i)).sum::<f64>() + 0.5 * ridge * slopes
}

fn derivatives(
    rows: Rows<'_>,
    family: Family,
    ridge: f64,
    design: &DMatrix<f64>,
    at: &DVector<f64>,
) -> (DVector<f64>, DMatrix<f64>) {
    let linear = design * at;
    let mut residual = DVector::<f64>::zeros(rows.target.len());
    let mut weighted = design.clone();
    for i in 0..rows.target.len() {
        let mean = response(family, linear[i] + rows.offset[i]);
        residual[i] = rows.weight[i] * (mean - rows.target[i]);
        let curvature = if family == Family::Logistic { mean * (1.0 - mean) } else { mean };
        weighted.row_mut(i).scale_mut(rows.weight[i] * curvature);
    }
    let mut gradient = design.transpose() * residual;
    let mut hessian = design.transpose() * weighted;
    for j in 0..at.len() {
        let penalty = if j == 0 { 0.0 } else { ridge };
        gradient[j] += penalty * at[j];
        hessian[(j, j)] += penalty + 1e-9;
    }
    (gradient, hessian)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(features: &[Vec<f64>], target: &[f64], family: Family, ridge: f64) -> Regression {
        let (weight, offset) = (vec![1.0; target.len()], vec![0.0; target.len()]);
        Regression::fit(Rows { features, target, weight: &weight, offset: &offset }, family, ridge).unwrap()
    }

    /// Two groups have closed answers: the logit, or the logarithm, of each group's mean.
    #[test]
    fn two_groups_get_their_own_means() {
        let features: Vec<Vec<f64>> = (0..8).map(|i| vec![f64::from(u8::from(i >= 4))]).collect();
        let target = [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0];
        let model = fit(&features, &target, Family::Logistic, 0.0);
        assert!((logistic(model.linear(&[0.0])) - 0.25).abs() < 1e-6);
        assert!((logistic(model.linear(&[1.0])) - 0.75).abs() < 1e-6);
        let target = [1.0, 2.0, 0.0, 1.0, 5.0, 6.0, 7.0, 2.0];
        let model = fit(&features, &target, Family::Poisson, 0.0);
        assert!((model.linear(&[0.0]).exp() - 1.0).abs() < 1e-6);
        assert!((model.linear(&[1.0]).exp() - 5.0).abs() < 1e-6);
    }

    #[test]
    fn sums_match_under_any_ridge_and_constant_columns_do_nothing() {
        let features: Vec<Vec<f64>> = (0..30).map(|i| vec![f64::from(i), 7.0, f64::NAN]).collect();
        let target: Vec<f64> = (0..30).map(|i| f64::from(i % 5)).collect();
        let model = fit(&features, &target, Family::Poisson, 10.0);
        let sum: f64 = features.iter().map(|row| model.linear(row).exp()).sum();
        assert!((sum - target.iter().sum::<f64>()).abs() < 1e-4, "{sum}");
        assert_eq!(model.linear(&[3.0, 7.0, f64::NAN]), model.linear(&[3.0, 1e9, 0.0]));
    }

    #[test]
    fn rows_that_cannot_be_used_are_told() {
        let rows = |target: &'static [f64], weight: &'static [f64]| Rows { features: &[], target, weight, offset: &[] };
        assert_eq!(
            Regression::fit(rows(&[1.0], &[]), Family::Poisson, 1.0).unwrap_err(),
            RegressionError::Length { what: "target", given: 1, needed: 0 }
        );
        assert_eq!(Regression::fit(rows(&[], &[]), Family::Poisson, 1.0).unwrap_err(), RegressionError::Empty);
        let one = Rows { features: &[vec![1.0]], target: &[-1.0], weight: &[1.0], offset: &[0.0] };
        assert_eq!(Regression::fit(one, Family::Poisson, 1.0).unwrap_err(), RegressionError::Value { row: 0 });
    }
}
