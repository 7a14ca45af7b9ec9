//! `hunch evaluate`: predictions for a directory of data, in the file formats in which models are judged.

pub mod cli;
mod error;
mod files;
mod fraud;
mod metric_anomaly;
mod table_anomaly;
mod tasks;

pub use error::EvaluateError;
