//! Repeat buying where a customer may leave for good at each purchase: BG/NBD, MBG/NBD and their regular kin,
//! BG/CNBD-k and MBG/CNBD-k.
//!
//! While alive, a customer buys with gaps that are Erlang-k (k = 1: at random; larger k: more like a clock) at a rate
//! that is gamma distributed over customers, and leaves after a purchase with a probability that is beta distributed.
//! BG lets nobody leave before the first repeat purchase; MBG lets them leave at the first purchase already.
//!
//! Sources: Fader, Hardie and Lee (2005), BG/NBD; Batislam, Denizel and Filiztekin (2007), MBG/NBD; Platzer and
//! Reutterer (2016) and Reutterer, Platzer and Schröder (2021), CNBD-k.
//!
//! Given that a customer is alive, rate and leaving probability are independent, so all that is asked about the future
//! is a sum of products: of the beta moments E(1-p)^n and of negative binomial tails. These sums are exact for every k,
//! all terms positive; they replace the closed form in 2F1, which holds for k = 1 only and breaks down at a = 1.

use rand_distr::{Beta, Distribution, Exp1, Gamma, Open01};

use super::history::Summary;
use super::repeat::{RepeatBuying, ValueError, grouped, most_likely};
use crate::numeric::chance::Chance;
use crate::numeric::special::{digamma, ln_gamma, ln_sum_exp};

/// Regularities that are tried when k is chosen.
pub const REGULARITY_MAX: u32 = 4;

/// When a customer can leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Leaving {
    /// After a repeat purchase (BG).
    AfterRepeat,
    /// After any purchase, the first among them (MBG).
    AfterAny,
}

/// A fitted model; rates are per week.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Geometric {
    pub leaving: Leaving,
    /// k: how many stages a gap between purchases has, at least 1.
    pub regularity: u32,
    /// Shape and rate of the gamma distribution of a customer's stage rate.
    pub r: f64,
    pub alpha: f64,
    /// Parameters of the beta distribution of the probability to leave.
    pub a: f64,
    pub b: f64,
}

impl Geometric {
    /// Maximum likelihood for a given k.
    ///
    /// # Errors
    /// `Empty`, `Summary` for customers that cannot be, `NoFit`.
    pub fn fit(customers: &[Summary], leaving: Leaving, regularity: u32) -> Result<Geometric, ValueError> {
        let groups = grouped(customers)?;
        let shell = Geometric { leaving, regularity: regularity.max(1), r: 1.0, alpha: 1.0, a: 1.0, b: 1.0 };
        let age = customers.iter().map(|c| c.age).sum::<f64>() / customers.len() as f64;
        let start = [0.7, (age / f64::from(regularity.max(1))).clamp(0.1, 20.0), 0.7, 2.0];
        let found = most_likely(&start, &groups, |at, customer, slopes| shell.with(at).likelihood(customer, slopes))?;
        Ok(shell.with(&found))
    }

    /// Maximum likelihood with k chosen by likelihood too, from 1 to `REGULARITY_MAX`; the search stops at the first
    /// k that is less likely than the one before.
    ///
    /// # Errors
    /// As `fit`.
    pub fn fit_regularity(customers: &[Summary], leaving: Leaving) -> Result<Geometric, ValueError> {
        let sum = |model: &Geometric| customers.iter().map(|c| model.ln_likelihood(c)).sum::<f64>();
        let mut best = Geometric::fit(customers, leaving, 1)?;
        let mut likelihood = sum(&best);
        for regularity in 2..=REGULARITY_MAX {
            let next = Geometric::fit(customers, leaving, regularity)?;
            let now = sum(&next);
            if now <= likelihood {
                break;
            }
            (best, likelihood) = (next, now);
        }
        Ok(best)
    }

    fn with(self, at: &[f64]) -> Geometric {
        match *at {
            [r, alpha, a, b] => Geometric { r, alpha, a, b, ..self },
            _ => self,
        }
    }

    /// Chances to leave that a customer has survived if alive now.
    fn survived(&self, customer: &Summary) -> f64 {
        f64::from(customer.repeats) + if self.leaving == Leaving::AfterAny { 1.0 } else { 0.0 }
    }

    /// Logarithms of the two ways in which a customer can be as seen, less what they share: alive with j stages of the
    /// current gap done, for each j, and gone since the last purchase.
    fn ways(&self, customer: &Summary) -> (Vec<f64>, f64) {
        let Geometric { r, alpha, a, b, .. } = *self;
        let n = self.survived(customer);
        let shape = r + f64::from(self.regularity) * f64::from(customer.repeats);
        let idle = libm::log(customer.age - customer.recency);
        let stays = ln_gamma(b + n) - ln_gamma(b) + ln_gamma(a + b) - ln_gamma(a + b + n);
        let (ln_end, mut rising) = (libm::log(alpha + customer.age), ln_gamma(shape));
        let alive = (0..self.regularity)
            .map(f64::from)
            .map(|j| {
                if j > 0.0 {
                    rising += libm::log((shape + j - 1.0) / j);
                }
                let waits = if j > 0.0 { j * idle } else { 0.0 };
                stays + rising + waits - (shape + j) * ln_end
            })
            .collect();
        let leaves = libm::log(a / (b + n - 1.0)) + stays + ln_gamma(shape);
        let gone = if n > 0.0 { leaves - shape * libm::log(alpha + customer.recency) } else { f64::NEG_INFINITY };
        (alive, gone)
    }

    /// Logarithm of the likelihood; adds weight times its slopes by r, alpha, a, b to what is given.
    fn likelihood(&self, customer: &Summary, slopes: Option<(&mut [f64], f64)>) -> f64 {
        let Geometric { r, alpha, a, b, regularity, .. } = *self;
        let (mut ways, gone) = self.ways(customer);
        ways.push(gone);
        let sum = ln_sum_exp(&ways);
        let (x, k) = (f64::from(customer.repeats), f64::from(regularity));
        if let Some((slopes, weight)) = slopes {
            let (n, shape) = (self.survived(customer), r + k * x);
            let (ln_end, end) = (libm::log(alpha + customer.age), alpha + customer.age);
            let (ln_last, last) = (libm::log(alpha + customer.recency), alpha + customer.recency);
            let mut by = [libm::log(alpha) - digamma(r), r / alpha, 0.0, 0.0];
            let both = digamma(a + b) - digamma(a + b + n);
            by[2] += both;
            by[3] += both + digamma(b + n) - digamma(b);
            let mut rising = digamma(shape);
            for (j, way) in ways.iter().take(regularity as usize).enumerate() {
                let (j, share) = (j as f64, libm::exp(way - sum));
                if j > 0.0 {
                    rising += 1.0 / (shape + j - 1.0);
                }
                by[0] += share * (rising - ln_end);
                by[1] -= share * (shape + j) / end;
            }
            let share = libm::exp(gone - sum);
            if share > 0.0 {
                by[0] += share * (digamma(shape) - ln_last);
                by[1] -= share * shape / last;
                by[2] += share / a;
                by[3] -= share / (b + n - 1.0);
            }
            slopes.iter_mut().zip(by).for_each(|(slope, by)| *slope += weight * by);
        }
        let gaps = (k - 1.0) * customer.ln_gaps - x * ln_gamma(k);
        sum + r * libm::log(alpha) - ln_gamma(r) + gaps
    }

    /// Probabilities of being alive with j stages of the current gap done, for each j.
    fn stages(&self, customer: &Summary) -> Vec<f64> {
        let (mut ways, gone) = self.ways(customer);
        ways.push(gone);
        let sum = ln_sum_exp(&ways);
        ways.pop();
        ways.iter().map(|way| libm::exp(way - sum)).collect()
    }
}

impl RepeatBuying for Geometric {
    fn ln_likelihood(&self, customer: &Summary) -> f64 {
        self.likelihood(customer, None)
    }

    fn alive(&self, customer: &Summary) -> f64 {
        self.stages(customer).iter().sum::<f64>().min(1.0)
    }

    fn expected(&self, customer: &Summary, horizon: f64) -> f64 {
        let (k, b) = (self.regularity as usize, self.b + self.survived(customer));
        let shape = self.r + k as f64 * f64::from(customer.repeats);
        let mut expected = 0.0;
        for (j, share) in self.stages(customer).into_iter().enumerate() {
            if share < 1e-14 {
                continue;
            }
            let mut passed = StageTail::new(shape + j as f64, self.alpha + customer.age, horizon);
            passed.advance(k - j);
            let mut stays = 1.0;
            for n in 0..PURCHASES_MAX {
                let term = stays * passed.tail();
                expected += share * term;
                if term < 1e-10 * expected && passed.is_falling() || passed.tail() <= 0.0 {
                    break;
                }
                stays *= (b + f64::from(n)) / (self.a + b + f64::from(n));
                passed.advance(k);
            }
        }
        expected
    }

    fn none(&self, customer: &Summary, horizon: f64) -> f64 {
        let k = self.regularity as usize;
        let shape = self.r + k as f64 * f64::from(customer.repeats);
        let buys = self.stages(customer).into_iter().enumerate().map(|(j, share)| {
            let mut passed = StageTail::new(shape + j as f64, self.alpha + customer.age, horizon);
            passed.advance(k - j);
            share * passed.tail()
        });
        (1.0 - buys.sum::<f64>()).clamp(0.0, 1.0)
    }

    fn draw(&self, customer: &Summary, horizon: f64, chance: &mut Chance) -> u32 {
        let mut place: f64 = Open01.sample(chance);
        for (j, share) in self.stages(customer).into_iter().enumerate() {
            if place < share {
                let shape = self.r + f64::from(self.regularity) * f64::from(customer.repeats) + j as f64;
                return self.draw_alive(customer, (shape, j as u32), horizon, chance);
            }
            place -= share;
        }
        0
    }
}

/// More purchases than any horizon holds.
const PURCHASES_MAX: u32 = 20_000;

impl Geometric {
    fn draw_alive(&self, customer: &Summary, stage: (f64, u32), horizon: f64, chance: &mut Chance) -> u32 {
        let (rate, leaves) = (
            Gamma::new(stage.0, 1.0 / (self.alpha + customer.age)),
            Beta::new(self.a.max(1e-6), self.b + self.survived(customer)),
        );
        // Parameters are positive and finite by construction; a draw of nothing is the safe answer if not.
        let (Ok(rate), Ok(leaves)) = (rate, leaves) else { return 0 };
        let (rate, leaves): (f64, f64) = (rate.sample(chance), leaves.sample(chance));
        let (mut time, mut stages, mut bought) = (0.0, stage.1, 0);
        while bought < PURCHASES_MAX {
            let wait: f64 = Exp1.sample(chance);
            time += wait / rate;
            if time.is_nan() || time > horizon {
                break;
            }
            stages += 1;
            if stages == self.regularity {
                (stages, bought) = (0, bought + 1);
                if Distribution::<f64>::sample(&Open01, chance) < leaves {
                    break;
                }
            }
        }
        bought
    }
}

/// Tail of the number of stages passed in a time t at a rate that is Gamma(shape, rate): a negative binomial.
struct StageTail {
    shape: f64,
    /// t / (rate + t).
    share: f64,
    /// ln P(exactly `passed`).
    ln_mass: f64,
    mass: f64,
    /// P(fewer than `passed`).
    below: f64,
    passed: f64,
}

impl StageTail {
    fn new(shape: f64, rate: f64, time: f64) -> StageTail {
        let ln_mass = -shape * libm::log1p(time / rate);
        StageTail { shape, share: time / (rate + time), ln_mass, mass: libm::exp(ln_mass), below: 0.0, passed: 0.0 }
    }

    fn advance(&mut self, stages: usize) {
        for _ in 0..stages {
            self.below += self.mass;
            let ratio = (self.shape + self.passed) / (self.passed + 1.0) * self.share;
            self.passed += 1.0;
            // While masses are too small for a number of the machine, only their logarithm is kept.
            if self.ln_mass < -600.0 {
                self.ln_mass += libm::log(ratio);
                self.mass = libm::exp(self.ln_mass);
            } else {
                self.mass *= ratio;
            }
        }
    }

    /// P(at least `passed` stages).
    fn tail(&self) -> f64 {
        (1.0 - self.below).max(0.0)
    }

    /// Whether the mass is past its mode, so that tails only fall faster from here.
    fn is_falling(&self) -> bool {
        (self.shape + self.passed) * self.share < self.passed + 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::chance::chance;
    use crate::numeric::special::ln_gauss;
    use proptest::prelude::*;

    fn customer(repeats: u32, recency: f64, age: f64) -> Summary {
        let ln_gaps = if repeats > 0 { f64::from(repeats) * (recency / f64::from(repeats)).ln() } else { 0.0 };
        Summary { repeats, recency, age, ln_gaps }
    }

    /// Fader, Hardie and Lee (2005), table of estimates for the CDNOW sample.
    const CDNOW: Geometric =
        Geometric { leaving: Leaving::AfterRepeat, regularity: 1, r: 0.243, alpha: 4.414, a: 0.793, b: 2.426 };

    /// Fader, Hardie and Lee (2005), eq. 10, as their spreadsheet note evaluates it: a customer with x = 2, t_x = 30.43,
    /// T = 38.86 is expected to make 1.226 purchases in the next 39 weeks.
    #[test]
    fn published_expectation_of_a_customer_is_reproduced() {
        assert!((CDNOW.expected(&customer(2, 30.43, 38.86), 39.0) - 1.226).abs() < 1e-3);
    }

    /// The closed form of eq. 10 in 2F1, where it holds.
    #[test]
    fn the_sum_is_the_closed_form_where_there_is_one() {
        for (x, recency, age) in [(1, 5.0, 30.0), (2, 30.43, 38.86), (7, 20.0, 21.0), (29, 37.0, 38.0)] {
            let (seen, t) = (customer(x, recency, age), 39.0);
            let (n, Geometric { r, alpha, a, b, .. }) = (f64::from(x), CDNOW);
            let z = t / (alpha + age + t);
            let gauss = ln_gauss(r + n, b + n, a + b + n - 1.0, z).exp();
            let inside = 1.0 - ((alpha + age) / (alpha + age + t)).powf(r + n) * gauss;
            let closed = (a + b + n - 1.0) / (a - 1.0) * inside * CDNOW.alive(&seen);
            let sum = CDNOW.expected(&seen, t);
            assert!((sum - closed).abs() < 1e-6 * closed, "{sum} is not {closed}");
        }
    }

    /// No purchase until T + t is what the likelihood of a longer silence says.
    #[test]
    fn silence_is_the_ratio_of_likelihoods() {
        for leaving in [Leaving::AfterRepeat, Leaving::AfterAny] {
            for regularity in 1..4 {
                let model = Geometric { leaving, regularity, ..CDNOW };
                for (x, recency, age) in [(0, 0.0, 20.0), (3, 11.0, 12.5), (40, 30.0, 30.0)] {
                    let (now, later) = (customer(x, recency, age), customer(x, recency, age + 6.0));
                    let ratio = (model.ln_likelihood(&later) - model.ln_likelihood(&now)).exp();
                    assert!((model.none(&now, 6.0) - ratio).abs() < 1e-10, "{model:?} {x}");
                }
            }
        }
    }

    #[test]
    fn draws_have_the_expectation() {
        let model = Geometric { regularity: 2, leaving: Leaving::AfterAny, r: 2.0, ..CDNOW };
        let (seen, mut chance) = (customer(4, 18.0, 20.0), chance(3, 1));
        let draws: Vec<u32> = (0..20_000).map(|_| model.draw(&seen, 13.0, &mut chance)).collect();
        let mean = f64::from(draws.iter().sum::<u32>()) / draws.len() as f64;
        let none = draws.iter().filter(|n| **n == 0).count() as f64 / draws.len() as f64;
        assert!((mean - model.expected(&seen, 13.0)).abs() < 0.05, "{mean}");
        assert!((none - model.none(&seen, 13.0)).abs() < 0.015, "{none}");
    }

    /// A shape and a ratio at which P(0 stages) is too small for a number of the machine.
    #[test]
    fn tails_survive_underflow() {
        let mut passed = StageTail::new(900.0, 1.0, 2.0);
        passed.advance(1_800);
        assert!((passed.tail() - 0.5).abs() < 0.02, "{}", passed.tail());
    }

    proptest! {
        #[test]
        fn slopes_are_those_of_the_likelihood(
            at in proptest::array::uniform4(0.05..8.0_f64), x in 0_u32..40, last in 0.2..30.0_f64, idle in 0.0..30.0_f64,
            regularity in 1_u32..5, any in proptest::bool::ANY,
        ) {
            let leaving = if any { Leaving::AfterAny } else { Leaving::AfterRepeat };
            let seen = customer(x, if x > 0 { last } else { 0.0 }, last + idle);
            let shell = Geometric { leaving, regularity, ..CDNOW };
            let mut slopes = [0.0; 4];
            shell.with(&at).likelihood(&seen, Some((&mut slopes, 1.0)));
            for i in 0..4 {
                let shifted = |h: f64| {
                    let mut at = at;
                    at[i] += h;
                    shell.with(&at).ln_likelihood(&seen)
                };
                let h = 1e-5 * at[i];
                let difference = (shifted(h) - shifted(-h)) / (2.0 * h);
                prop_assert!((slopes[i] - difference).abs() < 1e-4 * (1.0 + difference.abs()), "{i}: {slopes:?} {difference}");
            }
        }

        /// Whatever the parameters: probabilities are probabilities, and more time brings more purchases.
        #[test]
        fn answers_are_sound(at in proptest::array::uniform4(0.01..50.0_f64), x in 0_u32..200, t in 0.0..60.0_f64, k in 1_u32..4) {
            let model = Geometric { leaving: Leaving::AfterAny, regularity: k, ..CDNOW }.with(&at);
            let seen = customer(x, f64::from(x) / 5.0, f64::from(x) / 5.0 + 3.0);
            let (few, more) = (model.expected(&seen, t), model.expected(&seen, t + 5.0));
            prop_assert!(few >= 0.0 && more >= few - 1e-9 && more.is_finite(), "{few} {more}");
            for p in [model.alive(&seen), model.none(&seen, t)] {
                prop_assert!((0.0..=1.0).contains(&p));
            }
        }
    }
}
