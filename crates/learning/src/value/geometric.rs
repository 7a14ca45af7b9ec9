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
//! all terms positive. The closed form in 2F1 is quicker, and is used where it holds: for k = 1, away from a = 1.

use rand_distr::{Beta, Distribution, Exp1, Gamma, Open01};

use super::history::Summary;
use super::repeat::{Groups, Memo, RepeatBuying, ValueError, most_likely};
use crate::numeric::chance::Chance;
use crate::numeric::special::{digamma, ln_gamma};

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
        Geometric::fit_groups(&Groups::of(customers)?, leaving, regularity).map(|(model, _)| model)
    }

    /// The fit and its likelihood.
    fn fit_groups(groups: &Groups, leaving: Leaving, regularity: u32) -> Result<(Geometric, f64), ValueError> {
        let shell = Geometric { leaving, regularity: regularity.max(1), r: 1.0, alpha: 1.0, a: 1.0, b: 1.0 };
        let start = [0.7, (groups.age_mean / f64::from(shell.regularity)).clamp(0.1, 20.0), 0.7, 2.0];
        let found = most_likely(start, groups, |at, slopes| shell.with(at).ln_likelihood_sum(groups, slopes))?;
        let model = shell.with(found);
        Ok((model, model.ln_likelihood_sum(groups, &mut [0.0; 4])))
    }

    /// Maximum likelihood with k chosen by likelihood too, from 1 to `REGULARITY_MAX`; the search stops at the first
    /// k that is less likely than the one before.
    ///
    /// # Errors
    /// As `fit`.
    pub fn fit_regularity(customers: &[Summary], leaving: Leaving) -> Result<Geometric, ValueError> {
        let groups = Groups::of(customers)?;
        let (mut best, mut likelihood) = Geometric::fit_groups(&groups, leaving, 1)?;
        for regularity in 2..=REGULARITY_MAX {
            let (next, now) = Geometric::fit_groups(&groups, leaving, regularity)?;
            if now <= likelihood {
                break;
            }
            (best, likelihood) = (next, now);
        }
        Ok(best)
    }

    fn with(self, [r, alpha, a, b]: [f64; 4]) -> Geometric {
        Geometric { r, alpha, a, b, ..self }
    }

    fn bought(&self, repeats: u32) -> Bought {
        let x = f64::from(repeats);
        let survived = x + if self.leaving == Leaving::AfterAny { 1.0 } else { 0.0 };
        let left = if survived > 0.0 { self.a / (self.b + survived - 1.0) } else { 0.0 };
        Bought { x, survived, shape: self.r + f64::from(self.regularity) * x, left }
    }

    fn reach(&self, time: f64) -> Reach {
        Reach { ln: libm::log(self.alpha + time), inverse: 1.0 / (self.alpha + time) }
    }

    /// The ways in which a customer can be as seen: alive with 0, 1, … k-1 stages of the current gap done, or gone
    /// since the last purchase. Their probabilities are the terms of the likelihood.
    #[inline(always)]
    fn ways(&self, bought: Bought, idle: f64, last: Reach, end: Reach) -> Ways {
        let share = idle * end.inverse;
        let (mut sum, mut by_shape, mut by_share) = (1.0, 0.0, 0.0);
        let (mut term, mut rising) = (1.0, 0.0);
        for done in 1..self.regularity {
            let (done, shape) = (f64::from(done), bought.shape + f64::from(done) - 1.0);
            term *= shape / done * share;
            rising += 1.0 / shape;
            sum += term;
            by_shape += term * rising;
            by_share += term * done;
        }
        let (by_shape, by_share) = (by_shape / sum, by_share / sum);
        if bought.left <= 0.0 {
            return Ways {
                share,
                stage: 1.0 / sum,
                alive: 1.0,
                gone: 0.0,
                total: sum,
                from: end.ln,
                by_shape,
                by_share,
            };
        }
        // Against having been gone since the last purchase, silence is unlikely: a number between 0 and 1.
        let silence = libm::exp(bought.shape * (last.ln - end.ln));
        let total = sum * silence + bought.left;
        let stage = silence / total;
        let gone = bought.left / total;
        Ways { share, stage, alive: sum * stage, gone, total, from: last.ln, by_shape, by_share }
    }

    fn ways_of(&self, customer: &Summary) -> (Bought, Ways) {
        let bought = self.bought(customer.repeats);
        let idle = customer.age - customer.recency;
        (bought, self.ways(bought, idle, self.reach(customer.recency), self.reach(customer.age)))
    }

    /// The part of the logarithm of a likelihood that times have no say in; adds `many` times its slopes.
    fn timeless(&self, bought: Bought, slopes: &mut [f64; 4], many: f64) -> f64 {
        let Geometric { r, alpha, a, b, regularity, .. } = *self;
        let n = bought.survived;
        let both = digamma(a + b) - digamma(a + b + n);
        slopes[0] += many * (digamma(bought.shape) - digamma(r) + libm::log(alpha));
        slopes[1] += many * r / alpha;
        slopes[2] += many * both;
        slopes[3] += many * (both + digamma(b + n) - digamma(b));
        let stays = ln_gamma(b + n) - ln_gamma(b) + ln_gamma(a + b) - ln_gamma(a + b + n);
        let buys = ln_gamma(bought.shape) - ln_gamma(r) + r * libm::log(alpha);
        stays + buys - bought.x * ln_gamma(f64::from(regularity))
    }

    /// The other part.
    #[inline(always)]
    fn timed(&self, bought: Bought, idle: f64, [last, end]: [Reach; 2], slopes: &mut [f64; 4], many: f64) -> f64 {
        let ways = self.ways(bought, idle, last, end);
        slopes[0] += many * (ways.alive * (ways.by_shape - end.ln) - ways.gone * last.ln);
        slopes[1] -= many
            * (ways.alive * (bought.shape + ways.by_share) * end.inverse + ways.gone * bought.shape * last.inverse);
        if ways.gone > 0.0 {
            slopes[2] += many * ways.gone / self.a;
            slopes[3] -= many * ways.gone / (self.b + bought.survived - 1.0);
        }
        libm::log(ways.total) - bought.shape * ways.from
    }

    /// Sum of the logarithms of the likelihood; adds its slopes by r, alpha, a, b.
    fn ln_likelihood_sum(&self, groups: &Groups, slopes: &mut [f64; 4]) -> f64 {
        let reach: Vec<Reach> = groups.times.iter().map(|time| self.reach(*time)).collect();
        let mut sum = 0.0;
        for block in &groups.blocks {
            let bought = self.bought(block.repeats);
            sum += block.many * self.timeless(bought, slopes, block.many);
            sum += f64::from(self.regularity - 1) * block.ln_gaps;
            for row in &block.rows {
                let idle = groups.times[row.end] - groups.times[row.last];
                sum += row.many * self.timed(bought, idle, [reach[row.last], reach[row.end]], slopes, row.many);
            }
        }
        sum
    }

    fn ln_likelihood_with(&self, customer: &Summary, slopes: &mut [f64; 4]) -> f64 {
        let (bought, idle) = (self.bought(customer.repeats), customer.age - customer.recency);
        let reach = [self.reach(customer.recency), self.reach(customer.age)];
        let gaps = f64::from(self.regularity - 1) * customer.ln_gaps;
        self.timeless(bought, slopes, 1.0) + gaps + self.timed(bought, idle, reach, slopes, 1.0)
    }

    /// Probabilities of being alive with j stages of the current gap done, for each j.
    fn stages(&self, bought: Bought, ways: Ways) -> impl Iterator<Item = (u32, f64)> {
        let mut share = ways.stage;
        (0..self.regularity).map(move |done| {
            if done > 0 {
                share *= (bought.shape + f64::from(done) - 1.0) / f64::from(done) * ways.share;
            }
            (done, share)
        })
    }

    /// Expected purchases of a customer who is alive with `done` stages of the current gap done.
    fn expected_if_alive(&self, bought: Bought, done: u32, age: f64, horizon: f64) -> f64 {
        self.closed_form(bought, age, horizon).unwrap_or_else(|| self.sum_of_tails(bought, done, age, horizon))
    }

    fn sum_of_tails(&self, bought: Bought, done: u32, age: f64, horizon: f64) -> f64 {
        let (k, b) = (self.regularity as usize, self.b + bought.survived);
        let mut passed = StageTail::new(bought.shape + f64::from(done), self.alpha + age, horizon);
        passed.advance(k - done as usize);
        let (mut expected, mut stays) = (0.0, 1.0);
        for n in 0..PURCHASES_MAX {
            let term = stays * passed.tail();
            expected += term;
            if term < 1e-10 * expected && passed.is_falling() || passed.tail() <= 0.0 {
                break;
            }
            stays *= (b + f64::from(n)) / (self.a + b + f64::from(n));
            passed.advance(k);
        }
        expected
    }

    /// Fader, Hardie and Lee (2005), eq. 10, after Euler's transformation of its 2F1 (Abramowitz and Stegun 15.3.3):
    /// the terms of the series fall the faster the more somebody bought, and its power depends on the age alone.
    ///
    /// None where it does not hold or would lose more digits than the sum of tails, as near a = 1, where it is 0 / 0.
    fn closed_form(&self, bought: Bought, age: f64, horizon: f64) -> Option<f64> {
        let (second, third) = (self.a - 1.0, self.a + self.b + bought.survived - 1.0);
        let first = third - bought.shape;
        if self.regularity != 1 {
            return None;
        }
        let z = horizon / (self.alpha + age + horizon);
        let (mut sum, mut term, mut largest) = (1.0_f64, 1.0_f64, 1.0_f64);
        for n in 0..SERIES_MAX {
            let n = f64::from(n);
            term *= (first + n) * (second + n) / ((third + n) * (n + 1.0)) * z;
            sum += term;
            largest = largest.max(term.abs());
            if term.abs() < 1e-15 * largest {
                break;
            }
        }
        let power = libm::exp(second * libm::log1p(-z));
        let inside = 1.0 - power * sum;
        // What is lost between the largest of what is summed up and the rest; a NaN is no answer either.
        let kept = inside.abs() > 1e-5 * largest.max(1.0) * power.max(1.0) && term.abs() < 1e-15 * largest;
        kept.then(|| third / second * inside)
    }
}

/// What a customer's number of purchases makes of the parameters.
#[derive(Clone, Copy)]
struct Bought {
    x: f64,
    /// Chances to leave that a customer has survived if alive now.
    survived: f64,
    shape: f64,
    /// Odds of having left at the last purchase against having stayed, 0 if nobody could leave at it.
    left: f64,
}

/// ln(α + t) and 1 / (α + t) for a time t.
#[derive(Clone, Copy)]
struct Reach {
    ln: f64,
    inverse: f64,
}

#[derive(Clone, Copy)]
struct Ways {
    /// Of the time since α before the first purchase, the share since the last one.
    share: f64,
    /// Probabilities of being alive with no stage done, of being alive at all, and of being gone.
    stage: f64,
    alive: f64,
    gone: f64,
    /// Sum of all ways, as multiples of exp(-shape * `from`).
    total: f64,
    from: f64,
    /// Slopes of the logarithm of the stages' sum by the shape, and by the logarithm of `share`.
    by_shape: f64,
    by_share: f64,
}

/// Terms after which the series of the closed form is given up.
const SERIES_MAX: u32 = 400;

impl RepeatBuying for Geometric {
    fn ln_likelihood(&self, customer: &Summary) -> f64 {
        self.ln_likelihood_with(customer, &mut [0.0; 4])
    }

    fn alive(&self, customer: &Summary) -> f64 {
        self.ways_of(customer).1.alive.min(1.0)
    }

    fn expected(&self, customer: &Summary, horizon: f64) -> f64 {
        let (bought, ways) = self.ways_of(customer);
        let stages = self.stages(bought, ways).filter(|(_, share)| *share > NEGLIGIBLE);
        stages.map(|(done, share)| share * self.expected_if_alive(bought, done, customer.age, horizon)).sum()
    }

    fn none(&self, customer: &Summary, horizon: f64) -> f64 {
        let (bought, ways) = self.ways_of(customer);
        let buys = self.stages(bought, ways).map(|(done, share)| {
            let mut passed = StageTail::new(bought.shape + f64::from(done), self.alpha + customer.age, horizon);
            passed.advance((self.regularity - done) as usize);
            share * passed.tail()
        });
        (1.0 - buys.sum::<f64>()).clamp(0.0, 1.0)
    }

    fn expected_all(&self, customers: &[Summary], horizon: f64) -> Vec<f64> {
        let mut reach = Memo::new(customers.len());
        let mut futures = Memo::new(customers.len());
        let one = |customer: &Summary| {
            let bought = self.bought(customer.repeats);
            let [last, end] = [customer.recency, customer.age].map(|time| reach.get(0, time, || self.reach(time)));
            let ways = self.ways(bought, customer.age - customer.recency, last, end);
            let stages = self.stages(bought, ways).filter(|(_, share)| *share > NEGLIGIBLE);
            let times = |(done, share): (u32, f64)| {
                let stage = customer.repeats.wrapping_mul(self.regularity).wrapping_add(done);
                share * futures.get(stage, customer.age, || self.expected_if_alive(bought, done, customer.age, horizon))
            };
            stages.map(times).sum()
        };
        customers.iter().map(one).collect()
    }

    fn draw(&self, customer: &Summary, horizon: f64, chance: &mut Chance) -> u32 {
        let mut place: f64 = Open01.sample(chance);
        let (bought, ways) = self.ways_of(customer);
        for (done, share) in self.stages(bought, ways) {
            if place < share {
                return self.draw_alive(customer, (bought.shape + f64::from(done), done), horizon, chance);
            }
            place -= share;
        }
        0
    }
}

/// A probability that makes no difference.
const NEGLIGIBLE: f64 = 1e-14;

/// More purchases than any horizon holds.
const PURCHASES_MAX: u32 = 20_000;

impl Geometric {
    fn draw_alive(&self, customer: &Summary, stage: (f64, u32), horizon: f64, chance: &mut Chance) -> u32 {
        let (rate, leaves) = (
            Gamma::new(stage.0, 1.0 / (self.alpha + customer.age)),
            Beta::new(self.a.max(1e-6), self.b + self.bought(customer.repeats).survived),
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
            shell.with(at).ln_likelihood_with(&seen, &mut slopes);
            for i in 0..4 {
                let shifted = |h: f64| {
                    let mut at = at;
                    at[i] += h;
                    shell.with(at).ln_likelihood(&seen)
                };
                let h = 1e-5 * at[i];
                let difference = (shifted(h) - shifted(-h)) / (2.0 * h);
                prop_assert!((slopes[i] - difference).abs() < 1e-4 * (1.0 + difference.abs()), "{i}: {slopes:?} {difference}");
            }
        }

        /// The two roads to the same expectation, and that of many customers at once.
        #[test]
        fn the_closed_form_is_the_sum(
            at in proptest::array::uniform4(0.01..12.0_f64), x in 0_u32..60, age in 0.5..60.0_f64, t in 0.1..60.0_f64,
            any in proptest::bool::ANY, regularity in 1_u32..4,
        ) {
            let leaving = if any { Leaving::AfterAny } else { Leaving::AfterRepeat };
            let model = Geometric { leaving, regularity: 1, ..CDNOW }.with(at);
            let (bought, sum) = (model.bought(x), model.sum_of_tails(model.bought(x), 0, age, t));
            if let Some(closed) = model.closed_form(bought, age, t) {
                prop_assert!((closed - sum).abs() < 1e-7 * sum, "{closed} is not {sum}");
            }
            let model = Geometric { regularity, ..model };
            let seen = [customer(x, if x > 0 { 0.4 * age } else { 0.0 }, age), customer(0, 0.0, age), customer(x + 1, age, age)];
            let each: Vec<f64> = seen.iter().map(|customer| model.expected(customer, t)).collect();
            prop_assert_eq!(model.expected_all(&seen, t), each);
        }

        /// Whatever the parameters: probabilities are probabilities, and more time brings more purchases.
        #[test]
        fn answers_are_sound(at in proptest::array::uniform4(0.01..50.0_f64), x in 0_u32..200, t in 0.0..60.0_f64, k in 1_u32..4) {
            let model = Geometric { leaving: Leaving::AfterAny, regularity: k, ..CDNOW }.with(at);
            let seen = customer(x, f64::from(x) / 5.0, f64::from(x) / 5.0 + 3.0);
            let (few, more) = (model.expected(&seen, t), model.expected(&seen, t + 5.0));
            prop_assert!(few >= 0.0 && more >= few - 1e-9 && more.is_finite(), "{few} {more}");
            for p in [model.alive(&seen), model.none(&seen, t)] {
                prop_assert!((0.0..=1.0).contains(&p));
            }
        }
    }
}
