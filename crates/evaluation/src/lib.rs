//! `hunch evaluate`: predictions for a directory of data, in the file formats in which models are judged.

pub mod cli;
mod demand;
mod error;
mod files;
mod fraud;
mod lmsr;
mod metric_anomaly;
mod nba;
mod obd;
mod ope;
mod opinions;
mod recs;
mod table_anomaly;
mod tasks;
mod winprob;

pub use error::EvaluateError;
