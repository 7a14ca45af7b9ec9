//! `hunch evaluate`: predictions for a directory of data, in the file formats in which models are judged.
//! `hunch train`: model files from the same directories.

mod churn;
pub mod cli;
mod clock;
mod demand;
mod error;
mod files;
mod fraud;
mod holidays;
mod lmsr;
mod ltv;
mod metric_anomaly;
mod nba;
mod obd;
mod offer;
mod ope;
mod opinions;
mod policy;
mod purchases;
mod recs;
mod table_anomaly;
mod tasks;
pub mod train;
mod winprob;

#[cfg(test)]
mod customers_tests;

pub use error::EvaluateError;
