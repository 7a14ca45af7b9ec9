//! What a customer will buy and spend.
//!
//! `forecast` is what callers want: expected purchase days and spend of every customer in a horizon, with intervals;
//! `ValueModel` is the same in two steps, learning and answering, with a model between them that can be kept.
//! Beneath it stand repeat-buying models fitted by maximum likelihood (`Geometric`, `Pareto`) and a model of spend
//! (`GammaGamma`), which can be used by themselves, and a regression that corrects them by the outcomes of cut-offs in
//! the past of the same log.
//!
//! Invariants
//! - V1: nothing after the cut-off is looked at.
//! - V2: the only input is `PurchaseHistory`, purchase days and net spend. What was staked or lost on a market has no
//!   place in it, so it can never count towards a customer's value.
//! - V3: every answer is finite, and not negative.

mod amount;
mod base;
mod correction;
pub(crate) mod features;
mod forecast;
mod geometric;
mod history;
mod pareto;
pub(crate) mod past;
mod ranges;
mod repeat;
pub(crate) mod stack;

pub use amount::GammaGamma;
pub use base::Base;
pub use features::Moment;
pub use forecast::{Forecast, ValueModel, forecast};
pub use geometric::{Geometric, Leaving, REGULARITY_MAX};
pub use history::{BadSpend, MeanSpend, PurchaseHistory, Seen, Summary};
pub use pareto::Pareto;
pub use repeat::{RepeatBuying, ValueError};
