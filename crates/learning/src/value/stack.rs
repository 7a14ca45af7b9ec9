//! A supervised model on top of a known answer: it learns by how much the answer is to be corrected, from lessons of
//! the past, and how far each of its members is to be trusted, from customers it did not learn from.

use serde::{Deserialize, Serialize};

use super::past::Lesson;
use crate::boosting::{self, BoostError, Booster, Columns, Loss, Sample, Settings};
use crate::numeric::parallel;
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

/// What was learned: by how much a known answer is to be corrected. A known answer, a regression and boosted trees are
/// mixed by their shares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Corrector {
    family: Family,
    /// Of the known answer alone, of the regression and of the trees.
    shares: [f64; MEMBERS],
    /// None without a share.
    regression: Option<Regression>,
    trees: Option<Booster>,
}

impl Corrector {
    /// The known answer of each row, `offset`, corrected; both on the linear scale.
    pub fn linear(&self, features: &[Vec<f64>], offset: &[f64]) -> Vec<f64> {
        let add = |change: Vec<f64>| -> Vec<f64> {
            offset.iter().zip(change).map(|(offset, change)| offset + change).collect()
        };
        let regression = self.regression.as_ref().map(|model| add(by_regression(model, features)));
        // Trees refuse a feature that is infinite; the known answer stands then.
        let trees = self.trees.as_ref().and_then(|model| by_trees(model, features).ok()).map(add);
        let members = [offset, regression.as_deref().unwrap_or(offset), trees.as_deref().unwrap_or(offset)];
        mixed(self.family, members, self.shares)
    }

    /// Whether rows with so many features can be corrected.
    pub fn fits(&self, width: usize) -> bool {
        self.regression.as_ref().is_none_or(|model| model.slopes.len() == width)
            && self.trees.as_ref().is_none_or(|model| model.width() == width)
    }
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

    /// Learns from all lessons; `threads` change how long it takes, nothing else.
    ///
    /// # Errors
    /// `Empty` without a row that has weight; as `Regression::fit`.
    pub fn learn(&self, seed: u64, threads: usize) -> Result<Corrector, RegressionError> {
        if self.weight.iter().sum::<f64>() <= 0.0 {
            return Err(RegressionError::Empty);
        }
        let mut ways: Vec<Way> = RIDGES.map(Way::Regression).to_vec();
        if self.target.len() >= TREE_ROWS_MIN {
            // In front, since they take longest.
            ways.insert(0, Way::Trees);
        }
        let jobs: Vec<(Way, usize)> = ways.iter().flat_map(|way| (0..PARTS).map(|part| (*way, part))).collect();
        let parts = parallel::map(&jobs, threads, |(way, part)| self.changes_held_out(*way, *part, seed));
        let mut trees = None;
        let mut best: Option<(f64, f64, Vec<f64>)> = None;
        for (way, parts) in ways.iter().zip(parts.chunks(PARTS)) {
            let held_out = self.held_out(parts);
            match way {
                Way::Trees => trees = held_out.ok(),
                Way::Regression(ridge) => {
                    let held_out = held_out?;
                    let loss = self.loss(&held_out);
                    if best.as_ref().is_none_or(|(least, _, _)| loss < *least) {
                        best = Some((loss, *ridge, held_out));
                    }
                }
            }
        }
        let (_, ridge, regression) = best.ok_or(RegressionError::Empty)?;
        let shares = self.shares([&self.offset, &regression, trees.as_ref().unwrap_or(&self.offset)]);
        let members = [(Way::Trees, trees.is_some() && shares[2] > 0.0), (Way::Regression(ridge), shares[1] > 0.0)];
        let members: Vec<Way> = members.into_iter().filter(|(_, counts)| *counts).map(|(way, _)| way).collect();
        let mut corrector = Corrector { family: self.family, shares, regression: None, trees: None };
        for member in parallel::map(&members, threads, |way| self.fit(*way, &self.weight, seed)) {
            match member? {
                Member::Regression(model) => corrector.regression = Some(model),
                Member::Trees(model) => corrector.trees = Some(model),
            }
        }
        Ok(corrector)
    }

    /// The mixture, in eighths, that loses least on what its members did not learn from.
    fn shares(&self, held_out: [&[f64]; MEMBERS]) -> [f64; MEMBERS] {
        let (mut best, mut least) = ([1.0, 0.0, 0.0], f64::INFINITY);
        for regression in 0..=8_u8 {
            for trees in 0..=8 - regression {
                let shares = [8 - regression - trees, regression, trees].map(|eighths| f64::from(eighths) / 8.0);
                let loss = self.loss(&mixed(self.family, held_out, shares));
                if loss < least {
                    (best, least) = (shares, loss);
                }
            }
        }
        best
    }

    fn fit(&self, way: Way, weight: &[f64], seed: u64) -> Result<Member, RegressionError> {
        match way {
            Way::Regression(ridge) => {
                Regression::fit(Rows { weight, ..self.rows() }, self.family, ridge).map(Member::Regression)
            }
            Way::Trees => self.grown(weight, seed).map(Member::Trees).map_err(|_| RegressionError::Empty),
        }
    }

    fn grown(&self, weight: &[f64], seed: u64) -> Result<Booster, BoostError> {
        let kept: Vec<usize> = (0..weight.len()).filter(|i| weight[*i] > 0.0).collect();
        let pick = |values: &[f64]| kept.iter().map(|i| values[*i]).collect::<Vec<f64>>();
        let features = columns(kept.iter().map(|i| &self.features[*i]))?;
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
        boosting::fit(&sample, None, loss, &settings)
    }

    fn rows(&self) -> Rows<'_> {
        Rows { features: &self.features, target: &self.target, weight: &self.weight, offset: &self.offset }
    }

    /// For the rows of one part of the groups, the change of the offset by a model of all other parts.
    fn changes_held_out(&self, way: Way, part: usize, seed: u64) -> Result<Vec<(usize, f64)>, RegressionError> {
        let is_out = |i: usize| self.group[i] % PARTS == part;
        let weight: Vec<f64> = (0..self.weight.len()).map(|i| if is_out(i) { 0.0 } else { self.weight[i] }).collect();
        if weight.iter().sum::<f64>() <= 0.0 {
            return Ok(Vec::new());
        }
        let places: Vec<usize> = (0..weight.len()).filter(|i| is_out(*i)).collect();
        let rows: Vec<Vec<f64>> = places.iter().map(|i| self.features[*i].clone()).collect();
        let changes = match self.fit(way, &weight, seed)? {
            Member::Regression(model) => by_regression(&model, &rows),
            Member::Trees(model) => by_trees(&model, &rows).map_err(|_| RegressionError::Empty)?,
        };
        Ok(places.into_iter().zip(changes).collect())
    }

    /// The linear predictor of every row by models that did not learn from its group.
    fn held_out(&self, parts: &[Result<Vec<(usize, f64)>, RegressionError>]) -> Result<Vec<f64>, RegressionError> {
        let mut linear = self.offset.clone();
        for part in parts {
            for (i, change) in part.as_ref().map_err(Clone::clone)? {
                linear[*i] += change;
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
}

/// How a correction can be learned.
#[derive(Clone, Copy)]
enum Way {
    /// With this ridge.
    Regression(f64),
    Trees,
}

enum Member {
    Regression(Regression),
    Trees(Booster),
}

fn by_regression(model: &Regression, rows: &[Vec<f64>]) -> Vec<f64> {
    rows.iter().map(|row| model.linear(row)).collect()
}

/// # Errors
/// `Infinite` for a feature, `Width` for rows of another width, or none at all.
fn by_trees(model: &Booster, rows: &[Vec<f64>]) -> Result<Vec<f64>, BoostError> {
    model.raw(&columns(rows.iter())?)
}

/// A mixture on the scale of the response.
fn mixed(family: Family, linear: [&[f64]; MEMBERS], shares: [f64; MEMBERS]) -> Vec<f64> {
    let mix = |i: usize, response: fn(f64) -> f64| -> f64 {
        let members = linear.iter().zip(shares).filter(|(_, share)| *share > 0.0);
        members.map(|(member, share)| share * response(member[i])).sum()
    };
    (0..linear[0].len())
        .map(|i| match family {
            Family::Logistic => logit(mix(i, logistic)),
            Family::Poisson => libm::log(mix(i, |x| libm::exp(x.min(30.0)))),
        })
        .collect()
}

/// Rows turned into columns.
fn columns<'a>(rows: impl Iterator<Item = &'a Vec<f64>>) -> Result<Columns, BoostError> {
    let mut columns: Vec<Vec<f64>> = Vec::new();
    for row in rows {
        columns.resize_with(row.len(), Vec::new);
        columns.iter_mut().zip(row).for_each(|(column, x)| column.push(*x));
    }
    Columns::new(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::chance::{chance, uniform};

    /// Whether something happens hangs on both features together, which a regression cannot see, and on a third alone.
    fn lessons(rows: usize) -> Lessons {
        let mut dice = chance(3, 9);
        let mut lessons = Lessons::new(Family::Logistic);
        for row in 0..rows {
            let features: Vec<f64> = (0..3).map(|_| uniform(&mut dice)).collect();
            let apart = (features[0] > 0.5) != (features[1] > 0.5);
            let likely = (if apart { 0.6 } else { 0.1 }) + 0.3 * features[2];
            lessons.target.push(f64::from(u8::from(uniform(&mut dice) < likely)));
            lessons.offset.push(0.2 * (uniform(&mut dice) - 0.5));
            lessons.weight.push(1.0);
            lessons.group.push(row / 2);
            lessons.features.push(features);
        }
        lessons
    }

    fn bits(linear: &[f64]) -> Vec<u64> {
        linear.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn what_was_learned_is_kept_to_the_last_bit_by_any_number_of_threads() {
        let lessons = lessons(600);
        let learned = lessons.learn(5, 1).unwrap();
        assert!(learned.trees.is_some() && learned.shares[2] > 0.0, "{:?}", learned.shares);
        let asked = learned.linear(&lessons.features, &lessons.offset);
        assert!(lessons.loss(&asked) < lessons.loss(&lessons.offset));
        for threads in [2, 7] {
            assert_eq!(lessons.learn(5, threads).unwrap(), learned);
        }
        let read: Corrector = serde_json::from_str(&serde_json::to_string(&learned).unwrap()).unwrap();
        assert_eq!(bits(&read.linear(&lessons.features, &lessons.offset)), bits(&asked));
        // Nobody's answer hangs on who else is asked about.
        for row in 0..20 {
            let alone = read.linear(&lessons.features[row..=row], &lessons.offset[row..=row]);
            assert_eq!(bits(&alone), bits(&asked[row..=row]));
        }
        assert!(read.fits(3) && !read.fits(2));
    }

    #[test]
    fn few_rows_grow_no_trees_and_none_teach_nothing() {
        assert_eq!(lessons(TREE_ROWS_MIN - 1).learn(5, 1).unwrap().trees, None);
        assert_eq!(lessons(0).learn(5, 1), Err(RegressionError::Empty));
    }
}
