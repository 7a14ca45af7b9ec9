//! One file a subject.

pub mod health;
pub mod me;
pub mod ops;
pub mod page;
pub mod pages;
pub mod pos;
pub mod sign_in;
pub mod stream;
