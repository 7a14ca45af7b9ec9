//! A model's life: one file for what was learned, a card that says what it is, alarms when the world moves away from
//! it, and a shelf on which versions wait, stand in the shadow, serve and retire.
//!
//! Invariants
//! - A model's file is read whole or not at all: one changed byte is found ([`Artifact::read`]).
//! - The same data, seed and code give the same file: no time of making stands in it.
//! - Nothing serves that does not beat its stated baseline on data later than what it learned from ([`Shelf::promote`]).
//!
//! Pure: files, folders and clocks are the caller's.

mod artifact;
mod card;
mod drift;
mod shelf;

pub use artifact::{Artifact, ArtifactError, Better, Judged, Metric, Purpose, Window, sha256_hex};
pub use card::card;
pub use drift::{
    CALIBRATION_GAP_ALARM, Calibration, DriftError, PSI_ALARM, PSI_WATCH, Reference, Shift, Verdict, calibration,
    stability,
};
pub use shelf::{Comparison, Shelf, ShelfError, State, Step, Version};
