//! A supervised model on top of a known answer: it learns by how much the answer is to be corrected, from lessons of
//! the past, and how far each of its members is to be trusted, from customers it did not learn from.

use crate::numeric::regression::{Family, Regression, RegressionError, Rows};
use crate::numeric::special::{logistic, logit};

/// What is to be learned; every slice but `groups` has one entry for each row.
pub struct Lessons {
    pub features: Vec<Vec<f64>>,
    /// The known answer on the linear scale.
    pub offset: Vec<f64>,
    pub target: Vec<f64>,
    pub weight: Vec<f64>,
    /// Whose row it is; all rows of one customer stay on one side when members are weighed.
    pub group: Vec<usize>,
    pub family: Family,
}

/// Corrections for rows whose answer is not known yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Corrected {
    /// Linear scale, offset included.
    pub linear: Vec<f64>,
    /// Shares of the offset alone and of the regression.
    pub shares: [f64; 2],
    /// For the lessons: the linear predictor from models that did not learn from the row's customer.
    pub held_out: Vec<f64>,
}

const PARTS: usize = 5;
const RIDGES: [f64; 3] = [5.0, 50.0, 500.0];

impl Lessons {
    /// Learns from all lessons and corrects the rows asked about.
    ///
    /// # Errors
    /// As `Regression::fit`.
    pub fn correct(&self, features: &[Vec<f64>], offset: &[f64]) -> Result<Corrected, RegressionError> {
        let mut best: Option<(f64, f64, Vec<f64>)> = None;
        for ridge in RIDGES {
            let held_out = self.held_out(ridge)?;
            let loss = self.loss(&held_out);
            if best.as_ref().is_none_or(|(least, _, _)| loss < *least) {
                best = Some((loss, ridge, held_out));
            }
        }
        let (_, ridge, regression_held_out) = best.ok_or(RegressionError::Empty)?;
        let model = Regression::fit(self.rows(), self.family, ridge)?;
        let regression: Vec<f64> =
            features.iter().zip(offset).map(|(row, offset)| offset + model.linear(row)).collect();
        let share = (0..=8).map(|i| f64::from(i) / 8.0).min_by(|left, right| {
            let loss = |share: f64| self.loss(&self.mixed(&self.offset, &regression_held_out, share));
            loss(*left).total_cmp(&loss(*right))
        });
        let share = share.unwrap_or(1.0);
        Ok(Corrected {
            linear: self.mixed(offset, &regression, share),
            shares: [1.0 - share, share],
            held_out: self.mixed(&self.offset, &regression_held_out, share),
        })
    }

    fn rows(&self) -> Rows<'_> {
        Rows { features: &self.features, target: &self.target, weight: &self.weight, offset: &self.offset }
    }

    fn held_out(&self, ridge: f64) -> Result<Vec<f64>, RegressionError> {
        let mut linear = self.offset.clone();
        for part in 0..PARTS {
            let weight: Vec<f64> = self
                .weight
                .iter()
                .zip(&self.group)
                .map(|(w, who)| if who % PARTS == part { 0.0 } else { *w })
                .collect();
            if weight.iter().sum::<f64>() <= 0.0 {
                continue;
            }
            let model = Regression::fit(Rows { weight: &weight, ..self.rows() }, self.family, ridge)?;
            for (i, features) in self.features.iter().enumerate().filter(|(i, _)| self.group[*i] % PARTS == part) {
                linear[i] = self.offset[i] + model.linear(features);
            }
        }
        Ok(linear)
    }

    /// Weighted mean deviance, up to what the target alone decides.
    pub fn loss(&self, linear: &[f64]) -> f64 {
        let one = |(eta, target): (&f64, &f64)| match self.family {
            Family::Logistic => libm::log1p(libm::exp(-eta.abs())) + eta.max(0.0) - target * eta,
            Family::Poisson => libm::exp(*eta) - target * eta,
        };
        let terms = linear.iter().zip(&self.target).map(one).zip(&self.weight);
        terms.map(|(loss, weight)| loss * weight).sum::<f64>() / self.weight.iter().sum::<f64>()
    }

    /// A mixture on the scale of the response.
    fn mixed(&self, left: &[f64], right: &[f64], share: f64) -> Vec<f64> {
        let mix = |(left, right): (&f64, &f64)| match self.family {
            Family::Logistic => logit((1.0 - share) * logistic(*left) + share * logistic(*right)),
            Family::Poisson => libm::log((1.0 - share) * libm::exp(*left) + share * libm::exp(*right)),
        };
        left.iter().zip(right).map(mix).collect()
    }
}
