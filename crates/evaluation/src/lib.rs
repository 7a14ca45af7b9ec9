//! `hunch evaluate`: predictions for a directory of data, in the file formats in which models are judged.
//! `hunch train`: model files from the same directories.

mod churn;
pub mod cli;
mod error;
mod files;
mod ltv;
mod purchases;
mod nba;
mod obd;
mod ope;
mod tasks;
pub mod train;

pub use error::EvaluateError;
