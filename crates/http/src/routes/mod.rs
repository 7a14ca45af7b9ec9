//! One file a subject.

pub mod health;
pub mod inbox;
pub mod left_out;
pub mod likeness;
pub mod markets;
pub mod me;
pub mod members;
pub mod merchants;
pub mod offers;
pub(crate) mod opening;
pub mod ops;
pub mod page;
pub mod pages;
pub mod pos;
pub mod protect;
pub mod reviews;
pub mod sign_in;
pub mod stakes;
pub mod standing;
pub mod statement;
pub mod stream;
pub mod trading_ops;
pub mod unclear;
pub mod webhook;
