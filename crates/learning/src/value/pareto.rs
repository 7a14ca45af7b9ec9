//! Repeat buying where a customer may leave for good at any time: Pareto/NBD.
//!
//! While alive, a customer buys at random at a gamma distributed rate; the time until they leave is exponential at a
//! rate that is gamma distributed too. Sources: Schmittlein, Morrison and Colombo (1987); the likelihood in the form of
//! Fader and Hardie (2005), "A note on deriving the Pareto/NBD model".
//!
//! The likelihood needs the integral of (α+τ)^-(r+x) (β+τ)^-(s+1) from the last purchase to the cut-off, a difference of
//! two that go on to infinity. Each of those is its first value times a Gauss function, taken in the form
//! 2F1(1, ·; r+s+x+1; z) with 0 ≤ z < 1, all of whose terms are positive. With their scales taken out, what is summed up
//! is positive too, so nothing overflows and no digits are lost. If α < β the roles change, and z with them.

use rand_distr::{Distribution, Exp1, Gamma, Open01, Poisson};

use super::history::Summary;
use super::repeat::{Groups, Memo, RepeatBuying, ValueError, most_likely};
use crate::numeric::chance::Chance;
use crate::numeric::special::{digamma, gauss_with_one, gauss_with_one_and_slopes, ln_gamma};

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
        let groups = Groups::of(customers)?;
        let age = groups.age_mean.clamp(0.5, 20.0);
        let found = most_likely([0.7, age, 0.7, age], &groups, |at, slopes| {
            Pareto::from(at).ln_likelihood_sum(&groups, slopes)
        })?;
        Ok(Pareto::from(found))
    }

    fn from([r, alpha, s, beta]: [f64; 4]) -> Pareto {
        Pareto { r, alpha, s, beta }
    }

    fn reach(&self, time: f64) -> Reach {
        let (alpha, beta) = (self.alpha + time, self.beta + time);
        Reach { alpha, beta, ln_alpha: libm::log(alpha), ln_beta: libm::log(beta) }
    }

    /// ln of (α+t)^-(r+x) (β+t)^-s.
    fn ln_alive(&self, repeats: f64, at: Reach) -> f64 {
        -(self.r + repeats) * at.ln_alpha - self.s * at.ln_beta
    }

    /// s times the integral from a time to infinity, as a multiple of exp(`ln_alive`) there.
    fn leaves(&self, repeats: f64, at: Reach) -> f64 {
        let (buys, total) = (self.r + repeats, self.r + self.s + repeats);
        if self.alpha >= self.beta {
            self.s / total * gauss_with_one(buys, total + 1.0, (self.alpha - self.beta) / at.alpha)
        } else {
            let gauss = gauss_with_one(self.s + 1.0, total + 1.0, (self.beta - self.alpha) / at.beta);
            self.s / total * gauss * at.alpha / at.beta
        }
    }

    /// `leaves`, and the slopes of its logarithm by r, alpha, s, beta.
    fn leaves_and_slopes(&self, repeats: f64, at: Reach) -> (f64, [f64; 4]) {
        let Pareto { r, alpha, s, beta } = *self;
        let (buys, total) = (r + repeats, r + s + repeats);
        let Reach { alpha: a, beta: b, .. } = at;
        if alpha >= beta {
            let gauss = gauss_with_one_and_slopes(buys, total + 1.0, (alpha - beta) / a);
            let inverse = 1.0 / gauss.value;
            let shared = gauss.by_c * inverse - 1.0 / total;
            let by_z = gauss.by_z * inverse / a;
            (s / total * gauss.value, [shared + gauss.by_b * inverse, by_z * b / a, shared + 1.0 / s, -by_z])
        } else {
            let gauss = gauss_with_one_and_slopes(s + 1.0, total + 1.0, (beta - alpha) / b);
            let inverse = 1.0 / gauss.value;
            let shared = gauss.by_c * inverse - 1.0 / total;
            let by_z = gauss.by_z * inverse / b;
            let by_s = shared + gauss.by_b * inverse + 1.0 / s;
            (s / total * gauss.value * a / b, [shared, 1.0 / a - by_z, by_s, by_z * a / b - 1.0 / b])
        }
    }

    /// The part of the logarithm of a likelihood that times have no say in; adds `many` times its slopes.
    fn timeless(&self, repeats: f64, slopes: &mut [f64; 4], many: f64) -> f64 {
        let Pareto { r, alpha, s, beta } = *self;
        let (ln_alpha, ln_beta) = (libm::log(alpha), libm::log(beta));
        let shared = [digamma(r + repeats) - digamma(r) + ln_alpha, r / alpha, ln_beta, s / beta];
        slopes.iter_mut().zip(shared).for_each(|(slope, shared)| *slope += many * shared);
        ln_gamma(r + repeats) - ln_gamma(r) + r * ln_alpha + s * ln_beta
    }

    /// The other part.
    fn timed(&self, repeats: f64, last: &Left, end: &Left, slopes: &mut [f64; 4], many: f64) -> f64 {
        // What is known until the last purchase is shared; then somebody left, or stayed silent until now.
        let silence = libm::exp(end.ln_alive - last.ln_alive);
        let total = last.leaves + silence * (1.0 - end.leaves);
        let (left, stayed) = (last.leaves / total, silence / total);
        let (alive, later) = (stayed * (1.0 - end.leaves), stayed * end.leaves);
        let by = |at: Reach| [-at.ln_alpha, -(self.r + repeats) / at.alpha, -at.ln_beta, -self.s / at.beta];
        let (by_last, by_end) = (by(last.reach), by(end.reach));
        for i in 0..4 {
            let through_last = left * (by_last[i] + last.by[i]);
            slopes[i] += many * (through_last + alive * by_end[i] - later * end.by[i]);
        }
        last.ln_alive + libm::log(total)
    }

    fn left(&self, repeats: f64, reach: Reach) -> Left {
        let (leaves, by) = self.leaves_and_slopes(repeats, reach);
        Left { reach, ln_alive: self.ln_alive(repeats, reach), leaves, by }
    }

    /// Sum of the logarithms of the likelihood; adds its slopes by r, alpha, s, beta.
    fn ln_likelihood_sum(&self, groups: &Groups, slopes: &mut [f64; 4]) -> f64 {
        let reach: Vec<Reach> = groups.times.iter().map(|time| self.reach(*time)).collect();
        let mut sum = 0.0;
        // For each time what it means for those of the block at hand, once somebody needs it.
        let mut known: Vec<Option<(u32, Left)>> = vec![None; reach.len()];
        for block in &groups.blocks {
            let repeats = f64::from(block.repeats);
            sum += block.many * self.timeless(repeats, slopes, block.many);
            for row in &block.rows {
                let [last, end] = [row.last, row.end].map(|time| match known[time] {
                    Some((repeats, left)) if repeats == block.repeats => left,
                    _ => known[time].insert((block.repeats, self.left(repeats, reach[time]))).1,
                });
                sum += row.many * self.timed(repeats, &last, &end, slopes, row.many);
            }
        }
        sum
    }

    fn ln_likelihood_with(&self, customer: &Summary, slopes: &mut [f64; 4]) -> f64 {
        let repeats = f64::from(customer.repeats);
        let [last, end] = [customer.recency, customer.age].map(|time| self.left(repeats, self.reach(time)));
        self.timeless(repeats, slopes, 1.0) + self.timed(repeats, &last, &end, slopes, 1.0)
    }

    /// Expected purchases of one who is alive.
    fn expected_if_alive(&self, customer: &Summary, horizon: f64) -> f64 {
        let (a, b) = (self.alpha + customer.age, self.beta + customer.age);
        let rate = (self.r + f64::from(customer.repeats)) / a;
        // ∫ (b/(b+τ))^s dτ over the horizon; s = 1 is the limit, which expm1 reaches without losing digits.
        let (grows, stretch) = (1.0 - self.s, libm::log1p(horizon / b));
        let time = if grows.abs() < 1e-9 { stretch } else { libm::expm1(grows * stretch) / grows };
        rate * b * time
    }
}

/// α + t and β + t for a time t, and their logarithms.
#[derive(Clone, Copy)]
struct Reach {
    alpha: f64,
    beta: f64,
    ln_alpha: f64,
    ln_beta: f64,
}

/// What the likelihood needs at a time.
#[derive(Clone, Copy)]
struct Left {
    reach: Reach,
    ln_alive: f64,
    /// Of those alive then, how many will have left before they buy again, as a multiple of exp(`ln_alive`); and the
    /// slopes of its logarithm.
    leaves: f64,
    by: [f64; 4],
}

impl RepeatBuying for Pareto {
    fn ln_likelihood(&self, customer: &Summary) -> f64 {
        self.ln_likelihood_with(customer, &mut [0.0; 4])
    }

    fn alive(&self, customer: &Summary) -> f64 {
        let repeats = f64::from(customer.repeats);
        let [last, end] = [customer.recency, customer.age].map(|time| self.reach(time));
        alive(
            (self.ln_alive(repeats, last), self.leaves(repeats, last)),
            (self.ln_alive(repeats, end), self.leaves(repeats, end)),
        )
    }

    fn expected(&self, customer: &Summary, horizon: f64) -> f64 {
        self.alive(customer) * self.expected_if_alive(customer, horizon)
    }

    fn none(&self, customer: &Summary, horizon: f64) -> f64 {
        let later = Summary { age: customer.age + horizon, ..*customer };
        libm::exp(self.ln_likelihood(&later) - self.ln_likelihood(customer)).clamp(0.0, 1.0)
    }

    fn expected_all(&self, customers: &[Summary], horizon: f64) -> Vec<f64> {
        let mut reach = Memo::new(customers.len());
        let mut leaves = Memo::new(customers.len());
        let mut futures = Memo::new(customers.len());
        let one = |customer: &Summary| {
            let repeats = f64::from(customer.repeats);
            let [last, end] = [customer.recency, customer.age].map(|time| {
                let reach = reach.get(0, time, || self.reach(time));
                let leaves = leaves.get(customer.repeats, time, || self.leaves(repeats, reach));
                (self.ln_alive(repeats, reach), leaves)
            });
            let future = futures.get(customer.repeats, customer.age, || self.expected_if_alive(customer, horizon));
            alive(last, end) * future
        };
        customers.iter().map(one).collect()
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

/// Probability of being alive, from `ln_alive` and `leaves` at the last purchase and at the cut-off.
fn alive(last: (f64, f64), end: (f64, f64)) -> f64 {
    let silence = libm::exp(end.0 - last.0);
    let total = last.1 + silence * (1.0 - end.1);
    // Nothing is left of the sum only where silence is so long that it underflows.
    if total > 0.0 { (silence / total).min(1.0) } else { 0.0 }
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
            model(at).ln_likelihood_with(&seen, &mut slopes);
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
            let others = [seen, Summary { recency: 0.5 * seen.recency, ..seen }, seen];
            let each: Vec<f64> = others.iter().map(|customer| model.expected(customer, t)).collect();
            prop_assert_eq!(model.expected_all(&others, t), each);
            for p in [model.alive(&seen), model.none(&seen, t)] {
                prop_assert!((0.0..=1.0).contains(&p));
            }
        }
    }
}
