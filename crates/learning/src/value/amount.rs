//! What a customer spends on a purchase day: the Gamma-Gamma model.
//!
//! Spend on a day is gamma distributed with shape p around a customer's own mean, whose rate is Gamma(q, v) over
//! customers, independent of how often they buy. Source: Fader and Hardie (2013), "The Gamma-Gamma model of monetary
//! value".

use rand_distr::{Distribution, Gamma};

use super::history::MeanSpend;
use super::repeat::ValueError;
use crate::numeric::chance::Chance;
use crate::numeric::optimise::by_gradient;
use crate::numeric::special::{digamma, ln_gamma};

/// A fitted model; `v` is in units of spend.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct GammaGamma {
    pub p: f64,
    pub q: f64,
    pub v: f64,
}

impl GammaGamma {
    /// Maximum likelihood over customers with spend; the others are left out.
    ///
    /// # Errors
    /// `NoSpend` if nobody has spent anything, `NoFit`.
    pub fn fit(customers: &[MeanSpend]) -> Result<GammaGamma, ValueError> {
        let usable = |c: &&MeanSpend| c.days > 0.0 && c.mean > 0.0 && c.mean.is_finite();
        let mut spent: Vec<MeanSpend> = customers.iter().filter(usable).copied().collect();
        let many = spent.len() as f64;
        if spent.is_empty() {
            return Err(ValueError::NoSpend);
        }
        // Special functions depend on the days alone, so those with equally many are taken together.
        spent.sort_by(|left, right| left.days.total_cmp(&right.days));
        let blocks: Vec<Block> = spent.chunk_by(|left, right| left.days == right.days).map(Block::of).collect();
        let level = blocks.iter().map(|block| block.ln_mean_sum).sum::<f64>() / many;
        // A weak pull keeps parameters that the data leave open (all spend alike, one customer) from running off.
        let pull = |at: &[f64]| 1e-7 * (at[0] * at[0] + at[1] * at[1] + (at[2] - level) * (at[2] - level));
        let value = |at: &[f64], out: &mut [f64]| {
            let model = GammaGamma { p: bounded(at[0]), q: bounded(at[1]), v: bounded(at[2]) };
            let mut slopes = [0.0; 3];
            let sum: f64 = blocks.iter().map(|block| model.likelihood(block, &mut slopes)).sum();
            for (i, own) in [model.p, model.q, model.v].into_iter().enumerate() {
                out[i] = 2e-7 * (at[i] - if i == 2 { level } else { 0.0 }) - slopes[i] * own / many;
            }
            pull(at) - sum / many
        };
        let found = by_gradient(&[libm::log(2.0), libm::log(3.0), level], value, 300).map_err(ValueError::NoFit)?;
        let [p, q, v] = [0, 1, 2].map(|i| bounded(found.at[i]));
        Ok(GammaGamma { p, q, v })
    }

    /// Sum of the logarithms of the likelihood; adds its slopes by p, q, v.
    fn likelihood(&self, block: &Block, slopes: &mut [f64; 3]) -> f64 {
        let GammaGamma { p, q, v } = *self;
        let (x, many) = (block.days, block.totals.len() as f64);
        let (mut ln_rates, mut inverse_rates) = (0.0, 0.0);
        for total in &block.totals {
            ln_rates += libm::log(total + v);
            inverse_rates += 1.0 / (total + v);
        }
        let (shape, ln_v) = (digamma(p * x + q), libm::log(v));
        let ln_totals = block.ln_mean_sum + many * libm::log(x);
        slopes[0] += x * (many * (shape - digamma(p * x)) + ln_totals - ln_rates);
        slopes[1] += many * (shape - digamma(q) + ln_v) - ln_rates;
        slopes[2] += many * q / v - (p * x + q) * inverse_rates;
        many * (ln_gamma(p * x + q) - ln_gamma(p * x) - ln_gamma(q) + q * ln_v) + p * x * ln_totals
            - block.ln_mean_sum
            - (p * x + q) * ln_rates
    }

    /// Expected spend on a purchase day of a customer with this past; of a new one if `days` is 0.
    ///
    /// Without a past and with q ≤ 1 the model has no mean; the median-like p v / q stands in.
    pub fn expected(&self, customer: &MeanSpend) -> f64 {
        let GammaGamma { p, q, v } = *self;
        let shape = p * customer.days + q - 1.0;
        let rate = v + customer.days * customer.mean;
        p * rate / if shape > 0.1 { shape } else { q }
    }

    /// One draw of the spend on `days` purchase days together, from the posterior predictive.
    pub fn draw(&self, customer: &MeanSpend, days: u32, chance: &mut Chance) -> f64 {
        let rate = Gamma::new(self.p * customer.days + self.q, 1.0 / (self.v + customer.days * customer.mean));
        let Ok(rate) = rate else { return 0.0 };
        let rate: f64 = rate.sample(chance).max(f64::MIN_POSITIVE);
        if days == 0 {
            return 0.0;
        }
        Gamma::new(self.p * f64::from(days), 1.0 / rate).map_or(0.0, |spend| spend.sample(chance))
    }
}

/// Customers with equally many days of spend.
struct Block {
    days: f64,
    /// Spend on all days together, one entry for each customer.
    totals: Vec<f64>,
    ln_mean_sum: f64,
}

impl Block {
    fn of(customers: &[MeanSpend]) -> Block {
        Block {
            days: customers[0].days,
            totals: customers.iter().map(|c| c.days * c.mean).collect(),
            ln_mean_sum: customers.iter().map(|c| libm::log(c.mean)).sum(),
        }
    }
}

fn bounded(ln: f64) -> f64 {
    libm::exp(ln.clamp(-30.0, 30.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::chance::chance;
    use proptest::prelude::*;

    /// Fader and Hardie (2013), estimates for the CDNOW sample.
    const CDNOW: GammaGamma = GammaGamma { p: 6.2496, q: 3.7442, v: 15.4435 };

    /// The population mean p v / (q - 1) of the CDNOW sample is 35.17 (Fader and Hardie 2013); a customer's own mean
    /// pulls the expectation the more, the more days it stands on.
    #[test]
    fn expectation_lies_between_own_and_population_mean() {
        let none = CDNOW.expected(&MeanSpend { days: 0.0, mean: 0.0 });
        assert!((none - 35.17).abs() < 0.02, "{none}");
        let (once, often) = (MeanSpend { days: 1.0, mean: 100.0 }, MeanSpend { days: 9.0, mean: 100.0 });
        assert!(none < CDNOW.expected(&once) && CDNOW.expected(&once) < CDNOW.expected(&often));
        assert!(CDNOW.expected(&often) < 100.0);
        let (seen, mut chance) = (MeanSpend { days: 2.0, mean: 50.0 }, chance(5, 5));
        let mean = (0..20_000).map(|_| CDNOW.draw(&seen, 3, &mut chance)).sum::<f64>() / 20_000.0;
        assert!((mean - 3.0 * CDNOW.expected(&seen)).abs() < 2.0, "{mean}");
    }

    #[test]
    fn one_customer_equal_spend_and_none_are_survived() {
        assert_eq!(GammaGamma::fit(&[]), Err(ValueError::NoSpend));
        assert_eq!(GammaGamma::fit(&[MeanSpend { days: 3.0, mean: 0.0 }]), Err(ValueError::NoSpend));
        for alike in [vec![MeanSpend { days: 1.0, mean: 20.0 }], vec![MeanSpend { days: 4.0, mean: 20.0 }; 50]] {
            let expected = GammaGamma::fit(&alike).unwrap().expected(&alike[0]);
            assert!((expected - 20.0).abs() < 5.0, "{expected}");
        }
    }

    proptest! {
        #[test]
        fn slopes_are_those_of_the_likelihood(
            p in 0.2..20.0_f64, q in 0.2..20.0_f64, v in 0.5..50.0_f64, days in 1_u32..40, mean in 0.5..300.0_f64,
        ) {
            let others = [1.0, 0.3, 4.0].map(|times| MeanSpend { days: f64::from(days), mean: times * mean });
            let (seen, at) = (Block::of(&others), [p, q, v]);
            let model = |at: [f64; 3]| GammaGamma { p: at[0], q: at[1], v: at[2] };
            let mut slopes = [0.0; 3];
            model(at).likelihood(&seen, &mut slopes);
            for i in 0..3 {
                let h = 1e-5 * at[i];
                let (mut up, mut down) = (at, at);
                (up[i], down[i]) = (at[i] + h, at[i] - h);
                let value = |at| model(at).likelihood(&seen, &mut [0.0; 3]);
                let difference = (value(up) - value(down)) / (2.0 * h);
                prop_assert!((slopes[i] - difference).abs() < 1e-4 * (1.0 + difference.abs()), "{i}: {slopes:?} {difference}");
            }
        }
    }
}
