//! What the estimators share.

pub mod chance;
pub mod optimise;
