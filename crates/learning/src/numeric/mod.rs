//! What the estimators share.

pub mod chance;
pub mod cholesky;
pub mod optimise;
pub mod parallel;
pub mod regression;
pub mod special;
