//! Which open questions would this person like to take a stand on?
//!
//! What people choose is learned from what they chose: every time somebody forecast a question that was already there,
//! it is set against a few others that were open at that moment, and a ranking model learns what set the chosen one
//! apart. [`Ranker`] does that on a stream; [`recommend`] turns its scores and chances of winning into what is shown.
//!
//! Invariants
//! - R1: a score depends on rows before the question is asked, on the candidates, and on the seed.
//! - R2: a row costs the same however long the stream is; the model is refitted only when asked for scores and after
//!   a fixed share of new choices.

mod choices;
mod features;
mod ranker;
mod recommend;

pub use ranker::{RankError, Ranker};
pub use recommend::{Open, Recommended, Refusal, Settings, recommend};
