pub mod decide;
pub mod features;
