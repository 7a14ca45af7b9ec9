//! The repeat-buying models fitted together at one cut-off, and their joint answer.

use super::amount::GammaGamma;
use super::geometric::{Geometric, Leaving};
use super::history::{MeanSpend, Summary};
use super::pareto::Pareto;
use super::repeat::{RepeatBuying, ValueError};
use crate::numeric::chance::Chance;

/// BG/NBD, MBG/CNBD-k, Pareto/NBD and Gamma-Gamma of one set of customers at one cut-off.
///
/// None of the three is best everywhere, and none can be told to be best before the future is known; their mean is
/// seldom worse than the second of them.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Base {
    pub at_random: Geometric,
    pub regular: Geometric,
    /// None if its likelihood has no maximum that could be found, as where nobody ever leaves.
    pub any_time: Option<Pareto>,
    /// None if nobody has spent anything.
    pub amount: Option<GammaGamma>,
}

impl Base {
    /// # Errors
    /// `Empty`, `Summary` for customers that cannot be, `NoFit` if the geometric models have none.
    pub fn fit(customers: &[Summary], spend: &[MeanSpend]) -> Result<Base, ValueError> {
        let at_random = Geometric::fit(customers, Leaving::AfterRepeat, 1)?;
        let regular = Geometric::fit_regularity(customers, Leaving::AfterAny)?;
        Ok(Base { at_random, regular, any_time: Pareto::fit(customers).ok(), amount: GammaGamma::fit(spend).ok() })
    }

    fn models(&self) -> impl Iterator<Item = &dyn RepeatBuying> {
        let geometric: [&dyn RepeatBuying; 2] = [&self.at_random, &self.regular];
        geometric.into_iter().chain(self.any_time.iter().map(|model| model as &dyn RepeatBuying))
    }

    fn mean(&self, answer: impl Fn(&dyn RepeatBuying) -> f64) -> f64 {
        let (sum, many) = self.models().map(answer).fold((0.0, 0.0), |(sum, many), x| (sum + x, many + 1.0));
        sum / many
    }

    /// Expected purchase days in the `horizon`, in weeks, after the cut-off.
    pub fn expected(&self, customer: &Summary, horizon: f64) -> f64 {
        self.mean(|model| model.expected(customer, horizon))
    }

    pub(super) fn regular_expected(&self, customer: &Summary, horizon: f64) -> f64 {
        self.regular.expected(customer, horizon)
    }

    pub(super) fn any_time_expected(&self, customer: &Summary, horizon: f64) -> Option<f64> {
        self.any_time.as_ref().map(|model| model.expected(customer, horizon))
    }

    /// Probability of no purchase in the `horizon`.
    pub fn none(&self, customer: &Summary, horizon: f64) -> f64 {
        self.mean(|model| model.none(customer, horizon))
    }

    /// Probability that the customer has not gone for good.
    pub fn alive(&self, customer: &Summary) -> f64 {
        self.mean(|model| model.alive(customer))
    }

    /// Expected spend on a purchase day.
    pub fn amount(&self, spend: &MeanSpend) -> f64 {
        self.amount.as_ref().map_or(0.0, |model| model.expected(spend))
    }

    /// A draw of purchase days and spend together, each model having its turn with the same probability.
    pub fn draw(
        &self,
        customer: &Summary,
        spend: &MeanSpend,
        horizon: f64,
        turn: usize,
        chance: &mut Chance,
    ) -> (u32, f64) {
        let many = if self.any_time.is_some() { 3 } else { 2 };
        let days = self.models().nth(turn % many).map_or(0, |model| model.draw(customer, horizon, chance));
        (days, self.amount.as_ref().map_or(0.0, |model| model.draw(spend, days, chance)))
    }
}
