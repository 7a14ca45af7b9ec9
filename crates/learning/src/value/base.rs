//! The repeat-buying models fitted together at one cut-off, and their joint answer.

use super::amount::GammaGamma;
use super::geometric::{Geometric, Leaving};
use super::history::{MeanSpend, Summary};
use super::pareto::Pareto;
use super::repeat::{RepeatBuying, ValueError};
use crate::numeric::chance::Chance;

/// BG/NBD, MBG/CNBD-k, Pareto/NBD and Gamma-Gamma of one set of customers at one cut-off.
///
/// None of the three is best everywhere, so several have a say.
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

    /// The say of the model that knows regular purchases. Where they are regular it is half; where they come at random,
    /// most goes to the model that lets customers leave at any time. BG/NBD, which lets nobody leave before a second
    /// purchase, has none.
    fn regular_say(&self) -> f64 {
        if self.any_time.is_none() {
            1.0
        } else if self.regular.regularity > 1 {
            0.5
        } else {
            0.25
        }
    }

    /// The models that answer, each with its say.
    fn models(&self) -> impl Iterator<Item = (&dyn RepeatBuying, f64)> {
        let regular = self.regular_say();
        let first: (&dyn RepeatBuying, f64) = (&self.regular, regular);
        let second = self.any_time.iter().map(move |model| (model as &dyn RepeatBuying, 1.0 - regular));
        std::iter::once(first).chain(second)
    }

    fn mean(&self, answer: impl Fn(&dyn RepeatBuying) -> f64) -> f64 {
        self.models().map(|(model, say)| say * answer(model)).sum()
    }

    /// Expected purchase days in the `horizon`, in weeks, after the cut-off.
    pub fn expected(&self, customer: &Summary, horizon: f64) -> f64 {
        self.mean(|model| model.expected(customer, horizon))
    }

    /// `expected` of many customers, and what each model says by itself.
    pub(super) fn expected_all(&self, customers: &[Summary], horizon: f64) -> ExpectedAll {
        let regular = self.regular.expected_all(customers, horizon);
        let any_time = self.any_time.as_ref().map(|model| model.expected_all(customers, horizon));
        let joint = match &any_time {
            None => regular.clone(),
            Some(any_time) => {
                let say = self.regular_say();
                regular.iter().zip(any_time).map(|(regular, any_time)| say * regular + (1.0 - say) * any_time).collect()
            }
        };
        ExpectedAll { joint, at_random: self.at_random.expected_all(customers, horizon), regular, any_time }
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

    /// A draw of purchase days and spend together; `place`, in [0, 1), picks the model.
    pub fn draw(
        &self,
        customer: &Summary,
        spend: &MeanSpend,
        horizon: f64,
        mut place: f64,
        chance: &mut Chance,
    ) -> (u32, f64) {
        let mut days = None;
        for (model, say) in self.models() {
            if days.is_none() && place < say {
                days = Some(model.draw(customer, horizon, chance));
            }
            place -= say;
        }
        let days = days.unwrap_or(0);
        (days, self.amount.as_ref().map_or(0.0, |model| model.draw(spend, days, chance)))
    }
}

/// Expected purchase days, one entry for each customer.
pub(super) struct ExpectedAll {
    pub joint: Vec<f64>,
    pub at_random: Vec<f64>,
    pub regular: Vec<f64>,
    pub any_time: Option<Vec<f64>>,
}
