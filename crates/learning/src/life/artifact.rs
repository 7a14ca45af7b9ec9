//! One file that is a model: what was learned, from which data, how well, and a hash over all of it.
//!
//! The first line is `hunch-model`, the format and the SHA-256 of what follows; what follows is one line of JSON. So
//! `tail -n +2 FILE | sha256sum` checks a file without us, and `tail -n +2 FILE | jq` shows it.

use ring::digest::{Context, SHA256, digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::drift::Reference;

/// Raised when a file of before can no longer be read.
const FORMAT: u32 = 1;
const FIRST_WORD: &str = "hunch-model";

/// A model with everything that must be known before it is trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// What it is for, such as `churn`; versions of one kind replace each other.
    pub kind: String,
    /// Version of the code that made it.
    pub code_version: String,
    pub seed: u64,
    /// What it learned from.
    pub window: Window,
    /// What it was judged on: later than what it had learned from when it was judged.
    pub judged: Judged,
    pub metrics: Vec<Metric>,
    pub purpose: Purpose,
    /// How its inputs and scores were distributed: against these, drift is measured.
    pub reference: Vec<Reference>,
    parameters: serde_json::Value,
}

/// Data that a model learned from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First and last time, or step, in the data's own words.
    pub from: String,
    pub to: String,
    pub rows: u64,
    /// Over the bytes of the files read, in the order of their names.
    pub sha256: String,
}

/// The time split that the metrics come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The judged model learned from nothing later than this.
    pub learned_until: String,
    pub to: String,
    pub rows: u64,
    /// How the split was made, in a sentence.
    pub how: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Lower,
    Higher,
}

/// How well the model did, beside a baseline that anybody could have had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    pub name: String,
    pub value: f64,
    pub baseline: f64,
    pub baseline_name: String,
    pub better: Better,
    /// Whether the model may serve only if it beats the baseline here.
    pub gate: bool,
}

impl Metric {
    /// Strictly better than the baseline; never so for what is not a number.
    pub fn beats(&self) -> bool {
        match self.better {
            Better::Lower => self.value < self.baseline,
            Better::Higher => self.value > self.baseline,
        }
    }
}

/// What the model is for, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purpose {
    pub title: String,
    /// The role that answers for it.
    pub owner_role: String,
    pub intended_use: String,
    /// What it must not be used for, one sentence each.
    pub must_not: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("this is no model file: it does not begin with {FIRST_WORD:?}")]
    Foreign,
    #[error("this model file has format {0}; this version of the code reads {FORMAT}")]
    Format(String),
    #[error("this model file was changed after it was made: its hash is {found}, it says {said}")]
    Changed { said: String, found: String },
    #[error("this is a model of kind {found:?}; {wanted:?} is needed here")]
    Kind { found: String, wanted: String },
    #[error("this {kind} model, made by version {made_by}, does not hold the parameters that this code reads")]
    Parameters {
        kind: String,
        made_by: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the {0} of a model must be finite numbers")]
    NotFinite(&'static str),
    #[error("the model cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

impl Artifact {
    /// A model without metrics, purpose and reference, which the caller adds.
    ///
    /// # Errors
    /// `NotFinite` if `parameters` cannot be read back as they are: JSON has no infinity.
    pub fn new<P: Serialize + DeserializeOwned>(
        kind: &str,
        seed: u64,
        window: Window,
        parameters: &P,
    ) -> Result<Artifact, ArtifactError> {
        let parameters = serde_json::to_value(parameters).map_err(ArtifactError::Unreadable)?;
        if P::deserialize(&parameters).is_err() {
            return Err(ArtifactError::NotFinite("parameters"));
        }
        Ok(Artifact {
            kind: kind.to_owned(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            seed,
            window,
            judged: Judged::default(),
            metrics: Vec::new(),
            purpose: Purpose::default(),
            reference: Vec::new(),
            parameters,
        })
    }

    /// What was learned, as a model of this kind.
    ///
    /// # Errors
    /// `Kind` for a model of another kind; `Parameters` for those of another shape, as another version of the code has.
    pub fn parameters<P: DeserializeOwned>(&self, kind: &str) -> Result<P, ArtifactError> {
        if self.kind != kind {
            return Err(ArtifactError::Kind { found: self.kind.clone(), wanted: kind.to_owned() });
        }
        P::deserialize(&self.parameters).map_err(|source| ArtifactError::Parameters {
            kind: self.kind.clone(),
            made_by: self.code_version.clone(),
            source,
        })
    }

    /// The gate metrics in which it does not beat its baseline.
    pub fn beaten_by_baseline(&self) -> Vec<&Metric> {
        self.metrics.iter().filter(|metric| metric.gate && !metric.beats()).collect()
    }

    /// The file. The same model gives the same bytes.
    ///
    /// # Errors
    /// `NotFinite` for a metric or a reference that JSON has no word for.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArtifactError> {
        if self.metrics.iter().any(|m| !m.value.is_finite() || !m.baseline.is_finite()) {
            return Err(ArtifactError::NotFinite("metrics"));
        }
        if !self.reference.iter().all(Reference::is_finite) {
            return Err(ArtifactError::NotFinite("references"));
        }
        let mut body = serde_json::to_vec(self).map_err(ArtifactError::Unreadable)?;
        body.push(b'\n');
        let mut bytes = format!("{FIRST_WORD} {FORMAT} {}\n", sha256_hex([body.as_slice()])).into_bytes();
        bytes.append(&mut body);
        Ok(bytes)
    }

    /// Hash of the file's content, by which the shelf knows it.
    ///
    /// # Errors
    /// As [`Artifact::to_bytes`].
    pub fn sha256(&self) -> Result<String, ArtifactError> {
        let bytes = self.to_bytes()?;
        Ok(split(&bytes)?.0.to_owned())
    }

    /// # Errors
    /// `Foreign`, `Format`, `Changed` for a file of which one byte is not as it was written; `Unreadable`.
    pub fn read(bytes: &[u8]) -> Result<Artifact, ArtifactError> {
        let (said, body) = split(bytes)?;
        let found = sha256_hex([body]);
        if said != found {
            return Err(ArtifactError::Changed { said: said.to_owned(), found });
        }
        serde_json::from_slice(body).map_err(ArtifactError::Unreadable)
    }
}

/// The hash that the first line tells, and what it is told of.
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), ArtifactError> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(ArtifactError::Foreign)?;
    let first = str::from_utf8(&bytes[..end]).map_err(|_| ArtifactError::Foreign)?;
    let mut words = first.split(' ');
    if words.next() != Some(FIRST_WORD) {
        return Err(ArtifactError::Foreign);
    }
    let format = words.next().unwrap_or_default();
    if format != FORMAT.to_string() {
        return Err(ArtifactError::Format(format.to_owned()));
    }
    match (words.next(), words.next()) {
        (Some(hash), None) => Ok((hash, &bytes[end + 1..])),
        _ => Err(ArtifactError::Foreign),
    }
}

/// SHA-256 over all parts, each preceded by nothing: of one part it is what `sha256sum` says.
pub fn sha256_hex<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut parts = parts.into_iter();
    let hash = match (parts.next(), parts.next()) {
        (Some(only), None) => digest(&SHA256, only),
        (first, second) => {
            let mut context = Context::new(&SHA256);
            first.into_iter().chain(second).chain(parts).for_each(|part| context.update(part));
            context.finish()
        }
    };
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Weights {
        at: Vec<f64>,
    }

    pub fn metric(name: &str, value: f64, baseline: f64, better: Better) -> Metric {
        Metric { name: name.to_owned(), value, baseline, baseline_name: "base rate".to_owned(), better, gate: true }
    }

    pub fn model(at: &[f64]) -> Artifact {
        let window =
            Window { from: "2026-01-01".to_owned(), to: "2026-06-30".to_owned(), rows: 3, sha256: "0".repeat(64) };
        let mut artifact = Artifact::new("churn", 7, window, &Weights { at: at.to_vec() }).unwrap();
        artifact.metrics = vec![metric("log loss", 0.4, 0.5, Better::Lower)];
        artifact
    }

    #[test]
    fn numbers_come_back_to_the_last_bit() {
        let at = [0.1 + 0.2, 1.0 / 3.0, f64::MIN_POSITIVE, f64::from_bits(1), -0.0, 1.797_693_134_862_315_7e308];
        let read = Artifact::read(&model(&at).to_bytes().unwrap()).unwrap();
        let weights: Weights = read.parameters("churn").unwrap();
        let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&weights.at), bits(&at));
        assert_eq!(read, model(&at));
    }

    #[test]
    fn what_is_not_a_model_of_this_kind_is_told() {
        assert!(matches!(Artifact::read(b""), Err(ArtifactError::Foreign)));
        assert!(matches!(Artifact::read(b"{}\n"), Err(ArtifactError::Foreign)));
        assert!(matches!(Artifact::read(b"hunch-model 2 00\n{}"), Err(ArtifactError::Format(f)) if f == "2"));
        let told = model(&[]).parameters::<Weights>("ltv").unwrap_err().to_string();
        assert_eq!(told, "this is a model of kind \"churn\"; \"ltv\" is needed here");
        let other = model(&[]).parameters::<Metric>("churn").unwrap_err();
        assert!(matches!(other, ArtifactError::Parameters { .. }) && other.to_string().contains("this churn model"));
    }

    #[test]
    fn what_json_cannot_hold_is_refused_when_it_is_made() {
        let infinite = Artifact::new("churn", 1, Window::default(), &Weights { at: vec![f64::INFINITY] });
        assert!(matches!(infinite, Err(ArtifactError::NotFinite("parameters"))));
        let mut nan = model(&[1.0]);
        nan.metrics[0].value = f64::NAN;
        assert!(matches!(nan.to_bytes(), Err(ArtifactError::NotFinite("metrics"))));
        assert!(!nan.metrics[0].beats());
    }

    /// FIPS 180-2, appendix B.1; parts are one text.
    #[test]
    fn the_hash_is_what_others_compute() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex([b"abc".as_slice()]), abc);
        assert_eq!(sha256_hex([b"a".as_slice(), b"b", b"c"]), abc);
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = model(&[0.25, -3.5]).to_bytes().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Artifact::read(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Artifact::read(&bytes);
        }
    }
}
