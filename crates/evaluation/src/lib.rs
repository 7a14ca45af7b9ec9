//! `hunch evaluate`: predictions for a directory of data, in the file formats in which models are judged.

mod churn;
pub mod cli;
mod error;
mod files;
mod ltv;
mod offer;
mod purchases;
mod tasks;

pub use error::EvaluateError;
