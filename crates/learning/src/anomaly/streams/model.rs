//! From the features of a purchase to how likely it is a fraud.

use serde::{Deserialize, Serialize};

use super::features::{FEATURES, Features};
use crate::boosting::{self, BoostError, Booster, Columns, Loss, Sample};

/// Frauds without which there is no model.
pub const FRAUDS_MIN: usize = 20;

/// Boosted trees on the features of purchases whose labels are known.
///
/// Settings come from three weeks of a public stream of card payments, each predicted from what was known before it;
/// twice the trees, leaves or weights change the average precision by less than 0.01.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FraudModel {
    booster: Booster,
}

impl FraudModel {
    /// `fraud` is 1 or 0 and `weight` how many purchases it stands for, one for each row of `features`; None with fewer
    /// than `FRAUDS_MIN` frauds.
    ///
    /// # Errors
    /// What boosting refuses: lengths that differ.
    pub fn fit(
        features: &Columns,
        fraud: &[f64],
        weight: &[f64],
        seed: u64,
        threads: usize,
    ) -> Result<Option<FraudModel>, BoostError> {
        if fraud.iter().filter(|&&fraud| fraud > 0.5).count() < FRAUDS_MIN {
            return Ok(None);
        }
        let settings = boosting::Settings {
            rounds: 150,
            learning_rate: 0.05,
            leaves_max: 15,
            rows_per_leaf_min: 50,
            l2: 5.0,
            columns_share: 0.5,
            rows_share: 0.7,
            seed,
            threads,
            ..boosting::Settings::default()
        };
        let sample = Sample { features, target: fraud, weight: Some(weight), offset: None, group: None };
        Ok(Some(FraudModel { booster: boosting::fit(&sample, None, Loss::Log, &settings)? }))
    }

    /// Probabilities of fraud, one a row.
    ///
    /// # Errors
    /// `Width` if the features are not those of this version.
    pub fn probabilities(&self, features: &Columns) -> Result<Vec<f64>, BoostError> {
        self.booster.predict(features)
    }
}

/// Features by column, as boosting takes them.
///
/// # Errors
/// None: features are never infinite.
pub fn columns<'a>(rows: impl Iterator<Item = &'a Features>) -> Result<Columns, BoostError> {
    let mut columns = vec![Vec::new(); FEATURES];
    for row in rows {
        for (column, &value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    Columns::new(columns)
}

/// How strange a purchase is where nobody ever said what a fraud is: 0..1, from the amount alone, against the
/// customer's own purchases, everyone's, and how much of late went beyond the usual.
pub fn label_free(features: &Features) -> f64 {
    let [own, everyone, of_late] = LABEL_FREE.map(|place| {
        // What is not known is not strange.
        if features[place].is_nan() { 0.0 } else { features[place].clamp(0.0, 1e6) }
    });
    // A normal tail for the customer's own spread, an exponential one for amounts of many customers.
    let surprise = 0.5 * own * own + 0.5 * (everyone - 1.0).max(0.0) + 0.2 * of_late;
    surprise / (surprise + 5.0)
}

const LABEL_FREE: [usize; 3] = [place("amount_deviations"), place("amount_over_all"), place("customer_excess")];

/// Where a feature stands; a name that is none does not compile.
const fn place(name: &str) -> usize {
    let mut at = 0;
    while at < FEATURES {
        if same(super::NAMES[at].as_bytes(), name.as_bytes()) {
            return at;
        }
        at += 1;
    }
    panic!("no feature has this name")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
