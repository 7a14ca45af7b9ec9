//! One file a subject.

pub mod health;
pub mod ops;
pub mod pos;
