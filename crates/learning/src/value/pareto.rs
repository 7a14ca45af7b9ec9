//! Repeat buying where a customer may leave for good at any time: Pareto/NBD.
//!
//! While alive, a customer buys at random at a gamma distributed rate; the time until they leave is exponential at a
//! rate that is gamma distributed too. Sources: Schmittlein, Morrison and Colombo (1987); the likelihood in the form of
//! Fader and Hardie (2005), "A note on deriving the Pareto/NBD model".
//!
//! The likelihood needs the integral of (α+τ)^-(r+x) (β+τ)^-(s+1) over the time since the last purchase, a difference
//! of two Gauss functions. Both are taken in the form 2F1(1, ·; r+s+x+1; z) with 0 ≤ z < 1, all of whose terms are
//! positive. Their difference loses digits only as it becomes small against the chance to be alive, to which it is
//! added, so the likelihood keeps its digits. If α < β the roles change, and z with them.

use rand_distr::{Distribution, Exp1, Gamma, Open01, Poisson};

use super::history::Summary;
use super::repeat::{RepeatBuying, ValueError, grouped, most_likely};
use crate::numeric::chance::Chance;
use crate::numeric::special::{digamma, gauss_with_one, ln_gamma};

/// A fitted model; rates are per week.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pareto {
    /// Shape and rate of the gamma distribution of purchase rates.
    pub r: f64,
    pub alpha: f64,
    /// Shape and rate of the gamma distribution of leaving rates.
    pub s: f64,
    pub beta: f64,
}

impl Pareto {
    /// Maximum likelihood.
    ///
    /// # Errors
    /// `Empty`, `Summary` for customers that cannot be, `NoFit`.
    pub fn fit(customers: &[Summary]) -> Result<Pareto, ValueError> {
        let groups = grouped(customers)?;
        let age = (customers.iter().map(|c| c.age).sum::<f64>() / customers.len() as f64).clamp(0.5, 20.0);
        let at = |at: &[f64]| match *at {
            [r, alpha, s, beta] => Pareto { r, alpha, s, beta },
            _ => Pareto { r: 1.0, alpha: 1.0, s: 1.0, beta: 1.0 },
        };
        let found =
            most_likely(&[0.7, age, 0.7, age], &groups, |p, customer, slopes| at(p).likelihood(customer, slopes))?;
        Ok(at(&found))
    }

    /// ln of the integral from `from` to infinity, and its slopes by r, alpha, s, beta.
    fn ln_left(&self, x: f64, from: f64) -> (f64, [f64; 4]) {
        let Pareto { r, alpha, s, beta } = *self;
        let (buys, total) = (r + x, r + s + x);
        let (a, b) = (alpha + from, beta + from);
        let (ln_a, ln_b) = (libm::log(a), libm::log(b));
        if alpha >= beta {
            let z = (alpha - beta) / a;
            let gauss = gauss_with_one(buys, total + 1.0, z);
            let by = |slope: f64| slope / gauss.value;
            let shared = by(gauss.by_c) - 1.0 / total;
            let value = -buys * ln_a - s * ln_b - libm::log(total) + libm::log(gauss.value);
            let by_alpha = -buys / a + by(gauss.by_z) * b / (a * a);
            (value, [-ln_a + by(gauss.by_b) + shared, by_alpha, -ln_b + shared, -s / b - by(gauss.by_z) / a])
        } else {
            let z = (beta - alpha) / b;
            let gauss = gauss_with_one(s + 1.0, total + 1.0, z);
            let by = |slope: f64| slope / gauss.value;
            let shared = by(gauss.by_c) - 1.0 / total;
            let value = -(s + 1.0) * ln_b + (1.0 - buys) * ln_a - libm::log(total) + libm::log(gauss.value);
            let by_beta = -(s + 1.0) / b + by(gauss.by_z) * a / (b * b);
            let by_alpha = (1.0 - buys) / a - by(gauss.by_z) / b;
            (value, [-ln_a + shared, by_alpha, -ln_b + by(gauss.by_b) + shared, by_beta])
        }
    }

    /// Logarithms of being alive at the cut-off, of having left after the last purchase, and of having left after the
    /// cut-off (to be taken off the second), less what they share; with slopes.
    fn parts(&self, customer: &Summary) -> [(f64, [f64; 4]); 3] {
        let Pareto { r, alpha, s, beta } = *self;
        let x = f64::from(customer.repeats);
        let (a, b) = (alpha + customer.age, beta + customer.age);
        let (ln_a, ln_b) = (libm::log(a), libm::log(b));
        let alive = (-(r + x) * ln_a - s * ln_b, [-ln_a, -(r + x) / a, -ln_b, -s / b]);
        let times_s = |(value, mut by): (f64, [f64; 4])| {
            by[2] += 1.0 / s;
            (value + libm::log(s), by)
        };
        [alive, times_s(self.ln_left(x, customer.recency)), times_s(self.ln_left(x, customer.age))]
    }

    /// Logarithm of the likelihood; adds weight times its slopes by r, alpha, s, beta to what is given.
    fn likelihood(&self, customer: &Summary, slopes: Option<(&mut [f64], f64)>) -> f64 {
        let Pareto { r, alpha, s, beta } = *self;
        let x = f64::from(customer.repeats);
        let parts = self.parts(customer);
        let largest = parts.iter().map(|part| part.0).fold(f64::NEG_INFINITY, f64::max);
        let shares = [1.0, 1.0, -1.0].map(|sign: f64| sign);
        let terms: Vec<f64> = parts.iter().zip(shares).map(|(part, sign)| sign * libm::exp(part.0 - largest)).collect();
        let sum = terms.iter().sum::<f64>().max(terms[0]).max(f64::MIN_POSITIVE);
        if let Some((slopes, weight)) = slopes {
            let shared = [digamma(r + x) - digamma(r) + libm::log(alpha), r / alpha, libm::log(beta), s / beta];
            for (i, slope) in slopes.iter_mut().enumerate() {
                let own: f64 = parts.iter().zip(&terms).map(|(part, term)| term * part.1[i]).sum();
                *slope += weight * (shared[i] + own / sum);
            }
        }
        ln_gamma(r + x) - ln_gamma(r) + r * libm::log(alpha) + s * libm::log(beta) + largest + libm::log(sum)
    }
}

impl RepeatBuying for Pareto {
    fn ln_likelihood(&self, customer: &Summary) -> f64 {
        self.likelihood(customer, None)
    }

    fn alive(&self, customer: &Summary) -> f64 {
        let [alive, left, later] = self.parts(customer).map(|part| part.0);
        1.0 / (1.0 + (libm::exp(left - alive) - libm::exp(later - alive)).max(0.0))
    }

    fn expected(&self, customer: &Summary, horizon: f64) -> f64 {
        let (a, b) = (self.alpha + customer.age, self.beta + customer.age);
        let rate = (self.r + f64::from(customer.repeats)) / a;
        // ∫ (b/(b+τ))^s dτ over the horizon; s = 1 is the limit, which expm1 reaches without losing digits.
        let (grows, stretch) = (1.0 - self.s, libm::log1p(horizon / b));
        let time = if grows.abs() < 1e-9 { stretch } else { libm::expm1(grows * stretch) / grows };
        self.alive(customer) * rate * b * time
    }

    fn none(&self, customer: &Summary, horizon: f64) -> f64 {
        let later = Summary { age: customer.age + horizon, ..*customer };
        libm::exp(self.likelihood(&later, None) - self.likelihood(customer, None)).clamp(0.0, 1.0)
    }

    fn draw(&self, customer: &Summary, horizon: f64, chance: &mut Chance) -> u32 {
        let place: f64 = Open01.sample(chance);
        if place > self.alive(customer) {
            return 0;
        }
        let buys = Gamma::new(self.r + f64::from(customer.repeats), 1.0 / (self.alpha + customer.age));
        let leaves = Gamma::new(self.s, 1.0 / (self.beta + customer.age));
        // Parameters are positive and finite by construction; a draw of nothing is the safe answer if not.
        let (Ok(buys), Ok(leaves)) = (buys, leaves) else { return 0 };
        let (buys, leaves): (f64, f64) = (buys.sample(chance), leaves.sample(chance));
        let lives: f64 = Distribution::<f64>::sample(&Exp1, chance) / leaves.max(f64::MIN_POSITIVE);
        let mean = buys * lives.min(horizon);
        Poisson::new(mean).map_or(0, |count| count.sample(chance) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::chance::chance;
    use proptest::prelude::*;

    fn customer(repeats: u32, recency: f64, age: f64) -> Summary {
        Summary { repeats, recency, age, ln_gaps: 0.0 }
    }

    /// Fader and Hardie (2005), estimates for the CDNOW sample.
    const CDNOW: Pareto = Pareto { r: 0.5533, alpha: 10.5776, s: 0.6063, beta: 11.6721 };

    /// The integral by brute force (Simpson's rule), for the likelihood itself.
    fn by_quadrature(model: &Pareto, c: &Summary) -> f64 {
        let Pareto { r, alpha, s, beta } = *model;
        let (x, steps) = (f64::from(c.repeats), 20_000);
        let width = (c.age - c.recency) / f64::from(steps);
        let inside = |t: f64| (alpha + t).powf(-(r + x)) * (beta + t).powf(-(s + 1.0));
        let step = |i: i32| {
            let from = c.recency + f64::from(i) * width;
            (inside(from) + 4.0 * inside(from + width / 2.0) + inside(from + width)) * width / 6.0
        };
        let integral: f64 = (0..steps).map(step).sum();
        let alive = (alpha + c.age).powf(-(r + x)) * (beta + c.age).powf(-s);
        ln_gamma(r + x) - ln_gamma(r) + r * alpha.ln() + s * beta.ln() + (alive + s * integral).ln()
    }

    #[test]
    fn the_likelihood_is_the_integral_it_stands_for() {
        for model in
            [CDNOW, Pareto { alpha: 30.0, beta: 2.0, ..CDNOW }, Pareto { r: 3.0, s: 0.1, alpha: 0.5, beta: 9.0 }]
        {
            for seen in [customer(0, 0.0, 38.0), customer(2, 30.43, 38.86), customer(26, 30.0, 30.001)] {
                let (series, sum) = (model.ln_likelihood(&seen), by_quadrature(&model, &seen));
                assert!((series - sum).abs() < 1e-6, "{model:?} {seen:?}: {series} is not {sum}");
            }
        }
    }

    #[test]
    fn silence_and_draws_agree_with_the_formulas() {
        let (seen, mut chance) = (customer(5, 25.0, 30.0), chance(1, 2));
        let draws: Vec<u32> = (0..20_000).map(|_| CDNOW.draw(&seen, 20.0, &mut chance)).collect();
        let mean = f64::from(draws.iter().sum::<u32>()) / draws.len() as f64;
        let none = draws.iter().filter(|n| **n == 0).count() as f64 / draws.len() as f64;
        assert!((mean - CDNOW.expected(&seen, 20.0)).abs() < 0.05, "{mean}");
        assert!((none - CDNOW.none(&seen, 20.0)).abs() < 0.015, "{none}");
    }

    #[test]
    fn a_leaving_shape_of_one_is_a_limit_like_any_other() {
        let at = |s: f64| Pareto { s, ..CDNOW }.expected(&customer(3, 20.0, 30.0), 39.0);
        assert!((at(1.0) - at(1.0 + 1e-7)).abs() < 1e-6 && (at(1.0) - at(1.0 - 1e-7)).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn slopes_are_those_of_the_likelihood(
            at in proptest::array::uniform4(0.2..20.0_f64), x in 0_u32..40, last in 0.2..30.0_f64, idle in 0.0..30.0_f64,
        ) {
            let seen = customer(x, if x > 0 { last } else { 0.0 }, last + idle);
            let model = |at: [f64; 4]| Pareto { r: at[0], alpha: at[1], s: at[2], beta: at[3] };
            let mut slopes = [0.0; 4];
            model(at).likelihood(&seen, Some((&mut slopes, 1.0)));
            for i in 0..4 {
                let h = 1e-5 * at[i];
                let (mut up, mut down) = (at, at);
                (up[i], down[i]) = (at[i] + h, at[i] - h);
                // The two branches meet where alpha is beta; a difference across the seam is as good.
                let difference = (model(up).ln_likelihood(&seen) - model(down).ln_likelihood(&seen)) / (2.0 * h);
                prop_assert!((slopes[i] - difference).abs() < 1e-4 * (1.0 + difference.abs()), "{i}: {slopes:?} {difference}");
            }
        }

        #[test]
        fn answers_are_sound(at in proptest::array::uniform4(0.05..50.0_f64), x in 0_u32..200, t in 0.0..60.0_f64) {
            let model = Pareto { r: at[0], alpha: at[1], s: at[2], beta: at[3] };
            let seen = customer(x, f64::from(x) / 5.0, f64::from(x) / 5.0 + 3.0);
            let (few, more) = (model.expected(&seen, t), model.expected(&seen, t + 5.0));
            prop_assert!(few >= 0.0 && more >= few - 1e-9 && more.is_finite(), "{few} {more}");
            for p in [model.alive(&seen), model.none(&seen, t)] {
                prop_assert!((0.0..=1.0).contains(&p));
            }
        }
    }
}
