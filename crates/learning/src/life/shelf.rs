//! Which version of each kind of model waits, stands in the shadow, serves or has retired, and how it came to that.
//!
//! candidate → shadow → served → retired. In the shadow a model decides beside the one that serves, and nobody hears
//! of it. Invariants
//! - At most one version of a kind serves, and at most one stands in the shadow.
//! - A version serves only after it stood in the shadow, beats its baseline in every gate metric, of which it has at
//!   least one, and, where the two were compared, was shown to do better there than what serves now.
//! - Nothing is ever taken off the shelf; every step is written down with who and when.
//!
//! Pure. The caller keeps it as one JSON file, written whole, and says who asks and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::artifact::{Artifact, ArtifactError, Metric};

/// All versions of all kinds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shelf {
    kinds: BTreeMap<String, Kind>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kind {
    /// Version n stands at n - 1.
    versions: Vec<Version>,
    /// Those that served, each after the one before it; the last serves now unless it retired.
    served: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// From 1, in the order of arrival.
    pub number: u32,
    /// Of the model's file.
    pub sha256: String,
    pub state: State,
    pub metrics: Vec<Metric>,
    /// What came of deciding beside the one that serves.
    pub comparison: Option<Comparison>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Candidate,
    Shadow,
    Served,
    Retired,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Candidate => "candidate",
            State::Shadow => "shadow",
            State::Served => "served",
            State::Retired => "retired",
        }
    }
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub to: State,
    /// As the caller writes times.
    pub at: String,
    pub by: String,
}

/// A model in the shadow beside the one that served, on the same decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub decisions: u64,
    /// How many were the same.
    pub agreed: u64,
    /// Estimated mean value a decision of the shadow less that of the served one, with a 95 % interval.
    pub difference: f64,
    pub difference_low: f64,
    pub difference_high: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    #[error("there is no version {number} of {kind:?}")]
    Unknown { kind: String, number: u32 },
    #[error("this file is version {number} of {kind:?} already")]
    Known { kind: String, number: u32 },
    #[error("version {number} of {kind:?} is {}, not {}", is.as_str(), needed.as_str())]
    State { kind: String, number: u32, is: State, needed: State },
    #[error("version {number} of {kind:?} has no metric beside a baseline, so nothing says that it is of use")]
    Unjudged { kind: String, number: u32 },
    #[error("version {number} of {kind:?} does not beat its baseline: {}", told(metrics))]
    BelowBaseline { kind: String, number: u32, metrics: Vec<Metric> },
    #[error(
        "version {number} of {kind:?} was not shown to do better in the shadow than what serves: {difference} a decision, \
         at worst {low}"
    )]
    NotBetterInShadow { kind: String, number: u32, difference: f64, low: f64 },
    #[error("no version of {kind:?} served before")]
    NothingBefore { kind: String },
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

fn told(metrics: &[Metric]) -> String {
    let each = metrics.iter().map(|m| format!("{} is {}, {} has {}", m.name, m.value, m.baseline_name, m.baseline));
    each.collect::<Vec<_>>().join("; ")
}

impl Shelf {
    /// Puts a model on the shelf as a candidate; its number.
    ///
    /// # Errors
    /// `Known` for a file that is there already.
    pub fn add(&mut self, artifact: &Artifact, by: &str, at: &str) -> Result<u32, ShelfError> {
        let sha256 = artifact.sha256()?;
        let kind = self.kinds.entry(artifact.kind.clone()).or_default();
        if let Some(known) = kind.versions.iter().find(|version| version.sha256 == sha256) {
            return Err(ShelfError::Known { kind: artifact.kind.clone(), number: known.number });
        }
        let number = u32::try_from(kind.versions.len()).unwrap_or(u32::MAX).saturating_add(1);
        let metrics = artifact.metrics.iter().filter(|metric| metric.gate).cloned().collect();
        let mut version =
            Version { number, sha256, state: State::Candidate, metrics, comparison: None, steps: Vec::new() };
        version.step(State::Candidate, by, at);
        kind.versions.push(version);
        Ok(number)
    }

    /// Lets a candidate decide in the shadow; one that stood there becomes a candidate again.
    ///
    /// # Errors
    /// `Unknown`; `State` unless it is a candidate.
    pub fn shadow(&mut self, kind: &str, number: u32, by: &str, at: &str) -> Result<(), ShelfError> {
        self.needed(kind, number, State::Candidate)?;
        let kind = self.kinds.entry(kind.to_owned()).or_default();
        kind.in_state(State::Shadow).into_iter().for_each(|other| other.step(State::Candidate, by, at));
        if let Some(version) = kind.version(number) {
            version.comparison = None;
            version.step(State::Shadow, by, at);
        }
        Ok(())
    }

    /// Writes down how the version in the shadow did so far.
    ///
    /// # Errors
    /// `Unknown`; `State` unless it stands in the shadow.
    pub fn compared(&mut self, kind: &str, number: u32, comparison: Comparison) -> Result<(), ShelfError> {
        self.needed(kind, number, State::Shadow)?;
        if let Some(version) = self.kinds.get_mut(kind).and_then(|kind| kind.version(number)) {
            version.comparison = Some(comparison);
        }
        Ok(())
    }

    /// Lets the version in the shadow serve; the one that served retires.
    ///
    /// # Errors
    /// `Unknown`; `State` unless it stands in the shadow; `Unjudged`, `BelowBaseline`, `NotBetterInShadow`. Then nothing
    /// has changed.
    pub fn promote(&mut self, kind: &str, number: u32, by: &str, at: &str) -> Result<(), ShelfError> {
        let version = self.needed(kind, number, State::Shadow)?;
        let named = || kind.to_owned();
        if version.metrics.is_empty() {
            return Err(ShelfError::Unjudged { kind: named(), number });
        }
        let metrics: Vec<Metric> = version.metrics.iter().filter(|metric| !metric.beats()).cloned().collect();
        if !metrics.is_empty() {
            return Err(ShelfError::BelowBaseline { kind: named(), number, metrics });
        }
        if let Some(found) = version.comparison.as_ref().filter(|found| found.difference_low <= 0.0) {
            let (difference, low) = (found.difference, found.difference_low);
            return Err(ShelfError::NotBetterInShadow { kind: named(), number, difference, low });
        }
        let kind = self.kinds.entry(named()).or_default();
        kind.in_state(State::Served).into_iter().for_each(|other| other.step(State::Retired, by, at));
        kind.serve(number, by, at);
        Ok(())
    }

    /// Lets the version serve that served before; the one that serves retires. Its number.
    ///
    /// # Errors
    /// `NothingBefore`.
    pub fn rollback(&mut self, kind: &str, by: &str, at: &str) -> Result<u32, ShelfError> {
        let nothing = || ShelfError::NothingBefore { kind: kind.to_owned() };
        let kind = self.kinds.get_mut(kind).ok_or_else(nothing)?;
        let serving = kind.versions.iter().any(|version| version.state == State::Served);
        let before = kind.served.len().checked_sub(if serving { 2 } else { 1 }).ok_or_else(nothing)?;
        let number = kind.served[before];
        kind.in_state(State::Served).into_iter().for_each(|other| other.step(State::Retired, by, at));
        kind.served.truncate(before);
        kind.serve(number, by, at);
        Ok(number)
    }

    /// Lets no version of a kind serve any more, so that what needs no model takes over. The number of what served.
    ///
    /// # Errors
    /// `NothingBefore` if none served.
    pub fn retire(&mut self, kind: &str, by: &str, at: &str) -> Result<u32, ShelfError> {
        let nothing = || ShelfError::NothingBefore { kind: kind.to_owned() };
        let serving = self.kinds.get_mut(kind).ok_or_else(nothing)?.in_state(State::Served).into_iter().next();
        let version = serving.ok_or_else(nothing)?;
        version.step(State::Retired, by, at);
        Ok(version.number)
    }

    /// The version that serves.
    pub fn served(&self, kind: &str) -> Option<&Version> {
        self.versions(kind).iter().find(|version| version.state == State::Served)
    }

    /// The version in the shadow.
    pub fn shadowing(&self, kind: &str) -> Option<&Version> {
        self.versions(kind).iter().find(|version| version.state == State::Shadow)
    }

    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// In the order of their numbers.
    pub fn versions(&self, kind: &str) -> &[Version] {
        self.kinds.get(kind).map_or(&[], |kind| &kind.versions)
    }

    /// # Errors
    /// `Unknown`.
    pub fn version(&self, kind: &str, number: u32) -> Result<&Version, ShelfError> {
        let found = self.versions(kind).iter().find(|version| version.number == number);
        found.ok_or_else(|| ShelfError::Unknown { kind: kind.to_owned(), number })
    }

    fn needed(&self, kind: &str, number: u32, needed: State) -> Result<&Version, ShelfError> {
        let version = self.version(kind, number)?;
        if version.state == needed {
            return Ok(version);
        }
        Err(ShelfError::State { kind: kind.to_owned(), number, is: version.state, needed })
    }
}

impl Kind {
    fn version(&mut self, number: u32) -> Option<&mut Version> {
        self.versions.iter_mut().find(|version| version.number == number)
    }

    fn in_state(&mut self, state: State) -> Vec<&mut Version> {
        self.versions.iter_mut().filter(|version| version.state == state).collect()
    }

    fn serve(&mut self, number: u32, by: &str, at: &str) {
        if let Some(version) = self.version(number) {
            version.step(State::Served, by, at);
            self.served.push(number);
        }
    }
}

impl Version {
    fn step(&mut self, to: State, by: &str, at: &str) {
        self.state = to;
        self.steps.push(Step { to, at: at.to_owned(), by: by.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::super::artifact::tests::{metric, model};
    use super::super::{Better, Comparison};
    use super::*;
    use proptest::prelude::*;

    fn shelf(versions: usize) -> Shelf {
        let mut shelf = Shelf::default();
        for n in 1..=versions {
            assert_eq!(shelf.add(&model(&[n as f64]), "ann", "t0").unwrap() as usize, n);
        }
        shelf
    }

    fn serve(shelf: &mut Shelf, number: u32) {
        shelf.shadow("churn", number, "ann", "t1").unwrap();
        shelf.promote("churn", number, "bob", "t2").unwrap();
    }

    fn served(shelf: &Shelf) -> Option<u32> {
        shelf.served("churn").map(|version| version.number)
    }

    #[test]
    fn versions_serve_one_after_the_other_and_back() {
        let mut shelf = shelf(3);
        assert_eq!(served(&shelf), None);
        assert!(matches!(shelf.rollback("churn", "ann", "t"), Err(ShelfError::NothingBefore { .. })));
        serve(&mut shelf, 1);
        assert!(matches!(shelf.rollback("churn", "ann", "t"), Err(ShelfError::NothingBefore { .. })));
        serve(&mut shelf, 3);
        serve(&mut shelf, 2);
        assert_eq!(shelf.version("churn", 3).unwrap().state, State::Retired);
        assert_eq!(shelf.rollback("churn", "ann", "t3").unwrap(), 3);
        assert_eq!(shelf.rollback("churn", "ann", "t4").unwrap(), 1);
        assert_eq!(served(&shelf), Some(1));
        assert!(shelf.rollback("churn", "ann", "t5").is_err());
        assert_eq!(shelf.retire("churn", "ann", "t6").unwrap(), 1);
        assert_eq!(served(&shelf), None);
        assert_eq!(shelf.rollback("churn", "ann", "t7").unwrap(), 1, "what retired last comes back");
        let steps: Vec<State> = shelf.version("churn", 1).unwrap().steps.iter().map(|step| step.to).collect();
        let (served, retired) = (State::Served, State::Retired);
        assert_eq!(steps, [State::Candidate, State::Shadow, served, retired, served, retired, served]);
    }

    #[test]
    fn nothing_serves_that_does_not_beat_its_baseline() {
        let mut shelf = Shelf::default();
        let mut weak = model(&[1.0]);
        weak.metrics.push(metric("AUC", 0.6, 0.6, Better::Higher));
        weak.metrics.push(Metric { gate: false, ..metric("bias", 9.0, 1.0, Better::Lower) });
        shelf.add(&weak, "ann", "t").unwrap();
        shelf.shadow("churn", 1, "ann", "t").unwrap();
        let before = shelf.clone();
        let refused = shelf.promote("churn", 1, "ann", "t").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "version 1 of \"churn\" does not beat its baseline: AUC is 0.6, base rate has 0.6"
        );
        assert_eq!(shelf, before);
        let mut unjudged = model(&[2.0]);
        unjudged.metrics.clear();
        shelf.add(&unjudged, "ann", "t").unwrap();
        shelf.shadow("churn", 2, "ann", "t").unwrap();
        assert!(matches!(shelf.promote("churn", 2, "ann", "t"), Err(ShelfError::Unjudged { .. })));
        assert_eq!(shelf.version("churn", 1).unwrap().state, State::Candidate, "one shadow at a time");
    }

    #[test]
    fn the_shadow_is_passed_through_and_what_it_shows_counts() {
        let mut shelf = shelf(1);
        assert!(matches!(shelf.promote("churn", 1, "ann", "t"), Err(ShelfError::State { .. })));
        let found = |difference_low| Comparison {
            decisions: 900,
            agreed: 700,
            difference: 0.1,
            difference_low,
            difference_high: 0.2,
        };
        assert!(matches!(shelf.compared("churn", 1, found(0.1)), Err(ShelfError::State { .. })));
        shelf.shadow("churn", 1, "ann", "t").unwrap();
        shelf.compared("churn", 1, found(-0.05)).unwrap();
        assert!(matches!(shelf.promote("churn", 1, "ann", "t"), Err(ShelfError::NotBetterInShadow { .. })));
        shelf.compared("churn", 1, found(0.05)).unwrap();
        shelf.promote("churn", 1, "ann", "t").unwrap();
    }

    #[test]
    fn a_file_is_taken_once_and_strangers_are_told() {
        let mut shelf = shelf(1);
        assert!(matches!(shelf.add(&model(&[1.0]), "ann", "t"), Err(ShelfError::Known { number: 1, .. })));
        assert!(matches!(shelf.shadow("churn", 2, "ann", "t"), Err(ShelfError::Unknown { .. })));
        assert!(matches!(shelf.shadow("ltv", 1, "ann", "t"), Err(ShelfError::Unknown { .. })));
        assert!(matches!(shelf.retire("ltv", "ann", "t"), Err(ShelfError::NothingBefore { .. })));
        let stored = serde_json::to_vec(&shelf).unwrap();
        assert_eq!(serde_json::from_slice::<Shelf>(&stored).unwrap(), shelf);
    }

    proptest! {
        /// Whatever is asked in whatever order, at most one serves and one shadows, and what serves beats its baseline.
        #[test]
        fn at_most_one_serves(asked in prop::collection::vec((0u8..4, 1u32..5), 0..40)) {
            let mut shelf = shelf(3);
            let mut weak = model(&[4.0]);
            weak.metrics[0].value = 0.6;
            shelf.add(&weak, "ann", "t").unwrap();
            for (what, number) in asked {
                let _ = match what {
                    0 => shelf.shadow("churn", number, "ann", "t"),
                    1 => shelf.promote("churn", number, "ann", "t"),
                    2 => shelf.rollback("churn", "ann", "t").map(|_| ()),
                    _ => shelf.retire("churn", "ann", "t").map(|_| ()),
                };
                let in_state = |state| shelf.versions("churn").iter().filter(|v| v.state == state).count();
                prop_assert!(in_state(State::Served) <= 1 && in_state(State::Shadow) <= 1);
                prop_assert_eq!(shelf.version("churn", 4).unwrap().steps.iter().filter(|s| s.to == State::Served).count(), 0);
            }
        }
    }
}
