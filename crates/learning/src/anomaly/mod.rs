//! What is strange: in a table of things seen once, in a stream of purchases, in a metric that is read every minute.

pub mod metrics;
pub mod streams;
pub mod tables;
