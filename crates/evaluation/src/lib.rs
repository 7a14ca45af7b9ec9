//! `hunch evaluate`: predictions for a directory of data, in the file formats in which models are judged.

pub mod cli;
mod error;
mod files;
mod nba;
mod obd;
mod ope;
mod policy;
mod tasks;

pub use error::EvaluateError;
