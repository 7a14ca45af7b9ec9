//! A supervised model on top of a known answer: it learns by how much the answer is to be corrected, from lessons of
//! the past, and how far each of its members is to be trusted, from customers it did not learn from.

use super::past::Lesson;
use crate::boosting::{self, Columns, Loss, Sample, Settings};
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
    /// Shares of the offset alone, of the regression and of the trees.
    pub shares: [f64; MEMBERS],
}

const MEMBERS: usize = 3;
const PARTS: usize = 5;
const RIDGES: [f64; 3] = [5.0, 50.0, 500.0];
/// Rows below which trees are not tried.
const TREE_ROWS_MIN: usize = 400;

impl Lessons {
    pub fn new(family: Family) -> Lessons {
        Lessons {
            features: Vec::new(),
            offset: Vec::new(),
            target: Vec::new(),
            weight: Vec::new(),
            group: Vec::new(),
            family,
        }
    }

    /// Adds all rows of a cut-off in the past; `offset`, `target` and `weight` have one entry for each of its customers.
    pub fn add(&mut self, lesson: &Lesson, offset: impl Iterator<Item = f64>, target: &[f64], weight: &[f64]) {
        self.features.extend(lesson.snapshot.features.iter().cloned());
        self.offset.extend(offset);
        self.target.extend(target);
        self.weight.extend(weight.iter().map(|weight| weight * lesson.weight()));
        self.group.extend(&lesson.snapshot.who);
    }

    /// Learns from all lessons and corrects the rows asked about.
    ///
    /// # Errors
    /// As `Regression::fit`.
    pub fn correct(&self, features: &[Vec<f64>], offset: &[f64], seed: u64) -> Result<Corrected, RegressionError> {
        let mut best: Option<(f64, f64, Vec<f64>)> = None;
        for ridge in RIDGES {
            let held_out = self.held_out(|weight, rows| self.by_regression(weight, ridge, rows))?;
            let loss = self.loss(&held_out);
            if best.as_ref().is_none_or(|(least, _, _)| loss < *least) {
                best = Some((loss, ridge, held_out));
            }
        }
        let (_, ridge, regression_held_out) = best.ok_or(RegressionError::Empty)?;
        let add = |change: Vec<f64>| offset.iter().zip(change).map(|(offset, change)| offset + change).collect();
        let regression: Vec<f64> = add(self.by_regression(&self.weight, ridge, features)?);
        let trees = if self.target.len() < TREE_ROWS_MIN {
            None
        } else {
            let held_out =
                self.held_out(|weight, rows| self.by_trees(weight, rows, seed).ok_or(RegressionError::Empty));
            held_out.ok().zip(self.by_trees(&self.weight, features, seed).map(add))
        };
        let (trees_held_out, trees) = trees.unwrap_or_else(|| (self.offset.clone(), offset.to_vec()));
        let shares = self.shares([&self.offset, &regression_held_out, &trees_held_out]);
        Ok(Corrected { linear: self.mixed([offset, &regression, &trees], shares), shares })
    }

    /// The mixture, in eighths, that loses least on what its members did not learn from.
    fn shares(&self, held_out: [&[f64]; MEMBERS]) -> [f64; MEMBERS] {
        let (mut best, mut least) = ([1.0, 0.0, 0.0], f64::INFINITY);
        for regression in 0..=8_u8 {
            for trees in 0..=8 - regression {
                let shares = [8 - regression - trees, regression, trees].map(|eighths| f64::from(eighths) / 8.0);
                let loss = self.loss(&self.mixed(held_out, shares));
                if loss < least {
                    (best, least) = (shares, loss);
                }
            }
        }
        best
    }

    fn by_regression(&self, weight: &[f64], ridge: f64, rows: &[Vec<f64>]) -> Result<Vec<f64>, RegressionError> {
        let model = Regression::fit(Rows { weight, ..self.rows() }, self.family, ridge)?;
        Ok(rows.iter().map(|row| model.linear(row)).collect())
    }

    /// None if trees cannot be grown.
    fn by_trees(&self, weight: &[f64], rows: &[Vec<f64>], seed: u64) -> Option<Vec<f64>> {
        let kept: Vec<usize> = (0..weight.len()).filter(|i| weight[*i] > 0.0).collect();
        let pick = |values: &[f64]| kept.iter().map(|i| values[*i]).collect::<Vec<f64>>();
        let learned: Vec<&[f64]> = kept.iter().map(|i| self.features[*i].as_slice()).collect();
        let features = columns(&learned)?;
        let (target, weight, offset) = (pick(&self.target), pick(weight), pick(&self.offset));
        let sample =
            Sample { features: &features, target: &target, weight: Some(&weight), offset: Some(&offset), group: None };
        let loss = match self.family {
            Family::Logistic => Loss::Log,
            Family::Poisson => Loss::Poisson,
        };
        let settings = Settings {
            rounds: 100,
            learning_rate: 0.05,
            leaves_max: 8,
            rows_per_leaf_min: 30,
            l2: 10.0,
            bins_max: 63,
            columns_share: 0.5,
            rows_share: 0.7,
            seed,
            ..Settings::default()
        };
        let model = boosting::fit(&sample, None, loss, &settings).ok()?;
        let asked: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        model.raw(&columns(&asked)?).ok()
    }

    fn rows(&self) -> Rows<'_> {
        Rows { features: &self.features, target: &self.target, weight: &self.weight, offset: &self.offset }
    }

    /// For each row the linear predictor of a model that did not learn from its group; `learn` takes weights and rows
    /// and gives the change of the offset for each of the rows.
    fn held_out(
        &self,
        learn: impl Fn(&[f64], &[Vec<f64>]) -> Result<Vec<f64>, RegressionError>,
    ) -> Result<Vec<f64>, RegressionError> {
        let mut linear = self.offset.clone();
        for part in 0..PARTS {
            let is_out = |i: usize| self.group[i] % PARTS == part;
            let weight: Vec<f64> = (0..linear.len()).map(|i| if is_out(i) { 0.0 } else { self.weight[i] }).collect();
            if weight.iter().sum::<f64>() <= 0.0 {
                continue;
            }
            let places: Vec<usize> = (0..linear.len()).filter(|i| is_out(*i)).collect();
            let rows: Vec<Vec<f64>> = places.iter().map(|i| self.features[*i].clone()).collect();
            for (i, change) in places.into_iter().zip(learn(&weight, &rows)?) {
                linear[i] += change;
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
    fn mixed(&self, linear: [&[f64]; MEMBERS], shares: [f64; MEMBERS]) -> Vec<f64> {
        let mix = |i: usize, response: fn(f64) -> f64| -> f64 {
            let members = linear.iter().zip(shares).filter(|(_, share)| *share > 0.0);
            members.map(|(member, share)| share * response(member[i])).sum()
        };
        (0..linear[0].len())
            .map(|i| match self.family {
                Family::Logistic => logit(mix(i, logistic)),
                Family::Poisson => libm::log(mix(i, |x| libm::exp(x.min(30.0)))),
            })
            .collect()
    }
}

/// Rows turned into columns.
fn columns(rows: &[&[f64]]) -> Option<Columns> {
    let width = rows.first().map_or(0, |row| row.len());
    Columns::new((0..width).map(|column| rows.iter().map(|row| row[column]).collect()).collect()).ok()
}
