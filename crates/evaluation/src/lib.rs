//! `hunch evaluate`: predictions for a directory of data, in the file formats in which models are judged.

mod churn;
pub mod cli;
mod demand;
mod error;
mod files;
mod lmsr;
mod ltv;
mod nba;
mod obd;
mod offer;
mod ope;
mod opinions;
mod purchases;
mod recs;
mod tasks;
mod winprob;

#[cfg(test)]
mod customers_tests;

pub use error::EvaluateError;
