//! Choosing one of several things to say, in whole numbers: thousandths in, millionths out.
//!
//! A [`Bandit`] behind a face of integers, for callers that keep no floating point: what is stored of a decision is then
//! all that it was made from, and the chance written down is the chance there was, to the last digit.
//!
//! Options come in kinds. *Nothing*, kind 0, is always there, has no features and earns what the caller says. A share
//! is first divided between the kinds, each standing for its best option, then within each kind; so fifty options of one
//! kind do not drown *nothing*. Both times the bandit explores by inverse gaps, over a floor.

use serde::{Deserialize, Serialize};

use crate::bandit::{Bandit, BanditError, Candidate, Exploration, Family, Settings, Taken};
use crate::numeric::chance::chance;

/// What all shares together are.
pub const MILLION: u32 = 1_000_000;
const THOUSAND: f64 = 1_000.0;
/// Share that is spread evenly over all kinds, and over all options of one kind.
const KIND_FLOOR: f64 = 0.06;
const OPTION_FLOOR: f64 = 0.2;
/// Lessons after which half of what was learned has faded: a season of a small town.
const HALF_LIFE: f64 = 20_000.0;
/// The kind of model under which a chooser stands on the shelf.
pub const KIND: &str = "next-action";

/// A chooser with the names of its features, as a model's file holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// What each number of an option means, in order.
    pub features: Vec<String>,
    pub chooser: Chooser,
}

/// Weights shared by all options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chooser {
    bandit: Bandit,
}

impl Chooser {
    /// Knows nothing yet. `width` is the number of features of an option, `quiet` what *nothing* earns, in thousandths:
    /// at least 1 and less than 1000. Everything is thought to earn as much until something is learned.
    ///
    /// # Errors
    /// `Settings` for a `quiet` out of range.
    pub fn new(width: usize, quiet: i32) -> Result<Chooser, BanditError> {
        let quiet = f64::from(quiet) / THOUSAND;
        let mut prior = vec![0.0; width + 1];
        prior[0] = libm::log(quiet / (1.0 - quiet));
        // What nothing earns is known: it is not learned.
        let mut deviation = vec![1.0; width + 1];
        deviation[0] = 0.0;
        let settings = Settings {
            own: Vec::new(),
            family: Family::Binary,
            prior,
            deviation,
            exploration: Exploration::InverseGap { gamma: 10.0, growth: 0.5 },
            floor: 1e-4,
            half_life: Some(HALF_LIFE),
            ..Settings::new(0, width)
        };
        Ok(Chooser { bandit: Bandit::new(settings)? })
    }

    /// Features of an option.
    pub fn width(&self) -> usize {
        self.bandit.settings().action
    }

    /// The share of *nothing*, then of each option, in millionths: each at least 1, together a million.
    ///
    /// `options` has one entry for each option: its kind, above 0, and its features in thousandths.
    ///
    /// # Errors
    /// `Width` for an option with more or fewer features than [`Chooser::width`].
    pub fn shares(&self, options: &[(u8, &[i32])]) -> Result<Vec<u32>, BanditError> {
        let features: Vec<Vec<f64>> = options.iter().map(|(_, numbers)| units(numbers)).collect();
        let mut kinds: Vec<u8> = options.iter().map(|(kind, _)| *kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let nothing = vec![0.0; self.width()];
        let mut standing: Vec<&[f64]> = vec![&nothing];
        let mut within = Vec::new();
        for kind in &kinds {
            let of: Vec<usize> = (0..options.len()).filter(|at| options[*at].0 == *kind).collect();
            let offered: Vec<&[f64]> = of.iter().map(|at| features[*at].as_slice()).collect();
            let (parts, best) = self.explored(&offered, OPTION_FLOOR)?;
            standing.push(offered[best]);
            within.push((of, parts));
        }
        let (of_kind, _) = self.explored(&standing, KIND_FLOOR)?;
        let mut shares = vec![of_kind[0]; options.len() + 1];
        for ((of, parts), share) in within.iter().zip(&of_kind[1..]) {
            of.iter().zip(parts).for_each(|(at, part)| shares[at + 1] = share * part);
        }
        Ok(millionths(&shares))
    }

    /// Learns what a chosen option earned, in thousandths from 0 to 1000.
    ///
    /// All options share their weights, so an answer teaches of all of them. The share it was chosen with is for judging,
    /// and does not weigh here: a rare choice is no noisier than a frequent one.
    ///
    /// # Errors
    /// `Width`, and `Reward` for one out of range. Then nothing was learned.
    pub fn learn(&mut self, option: &[i32], reward: i32) -> Result<(), BanditError> {
        let features = std::iter::once(1.0).chain(units(option)).collect();
        self.bandit.learn(&Taken { action: 0, features }, f64::from(reward) / THOUSAND)
    }

    /// Expected reward of an option.
    ///
    /// # Errors
    /// `Width`.
    pub fn expected(&self, option: &[i32]) -> Result<f64, BanditError> {
        let features = units(option);
        let only = [Candidate { action: 0, features: &features }];
        Ok(self.bandit.decide(&[], &only, &mut chance(0, 0))?.expected[0])
    }

    /// The bandit's probabilities over a floor, and the place of the best.
    fn explored(&self, options: &[&[f64]], floor: f64) -> Result<(Vec<f64>, usize), BanditError> {
        let candidates: Vec<Candidate<'_>> =
            (0..).zip(options).map(|(action, features)| Candidate { action, features }).collect();
        // The draw is the caller's, from whole numbers; what the bandit draws here is not looked at.
        let decision = self.bandit.decide(&[], &candidates, &mut chance(0, 0))?;
        let even = floor / options.len() as f64;
        let parts = decision.probabilities.iter().map(|p| even + (1.0 - floor) * p).collect();
        let mut best = 0;
        for (at, expected) in decision.expected.iter().enumerate() {
            if *expected > decision.expected[best] {
                best = at;
            }
        }
        Ok((parts, best))
    }
}

fn units(thousandths: &[i32]) -> Vec<f64> {
    thousandths.iter().map(|n| f64::from(*n) / THOUSAND).collect()
}

/// Whole millionths that sum to a million, each at least 1: rounded down, and what is left to the largest.
fn millionths(shares: &[f64]) -> Vec<u32> {
    let mut whole: Vec<u32> = shares.iter().map(|share| ((share * f64::from(MILLION)) as u32).max(1)).collect();
    let largest = (0..whole.len()).max_by_key(|at| (whole[*at], usize::MAX - at)).unwrap_or(0);
    let others: u32 = whole.iter().enumerate().filter(|(at, _)| *at != largest).map(|(_, share)| share).sum();
    whole[largest] = MILLION.saturating_sub(others);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::chance::chance;
    use proptest::prelude::*;

    const MARKET: [i32; 2] = [1_000, 0];
    const OFFER: [i32; 2] = [0, 1_000];

    #[test]
    fn without_options_nothing_is_certain() {
        assert_eq!(Chooser::new(2, 50).unwrap().shares(&[]).unwrap(), [MILLION]);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_teaches_nothing() {
        let mut chooser = Chooser::new(2, 50).unwrap();
        let before = chooser.clone();
        assert!(chooser.learn(&[1], 0).is_err() && chooser.learn(&MARKET, 1_001).is_err());
        assert!(chooser.shares(&[(1, &[1])]).is_err());
        assert_eq!(chooser, before);
        assert!(Chooser::new(2, 0).is_err() && Chooser::new(2, 1_000).is_err());
    }

    #[test]
    fn many_options_of_a_kind_do_not_drown_nothing() {
        let options: Vec<(u8, &[i32])> = (0..50).map(|_| (1, MARKET.as_slice())).collect();
        let shares = Chooser::new(2, 50).unwrap().shares(&options).unwrap();
        assert!((400_000..=600_000).contains(&shares[0]), "{shares:?}");
    }

    /// Offers earn 0.3 on average and markets lose: after some hundred answers offers are said mostly, and what loses
    /// keeps its floor.
    #[test]
    fn it_comes_to_say_what_earns() {
        let mut chooser = Chooser::new(2, 50).unwrap();
        let mut chance = chance(3, 0);
        for _ in 0..600 {
            chooser.learn(&OFFER, if chance.random::<f64>() < 0.35 { 1_000 } else { 0 }).unwrap();
            chooser.learn(&MARKET, if chance.random::<f64>() < 0.01 { 1_000 } else { 0 }).unwrap();
        }
        let expected = chooser.expected(&OFFER).unwrap();
        assert!((expected - 0.35).abs() < 0.06, "{expected}");
        let shares = chooser.shares(&[(1, &MARKET), (2, &OFFER)]).unwrap();
        assert!(shares[2] > 750_000 && shares[2] > shares[0] && shares[0] > shares[1], "{shares:?}");
        assert!(shares[1] >= 20_000, "{shares:?}");
    }

    /// What is stored and read back chooses with the same bits.
    #[test]
    fn a_stored_chooser_goes_on_as_it_was() {
        let mut chooser = Chooser::new(2, 50).unwrap();
        for n in 0..500 {
            chooser.learn(&[n % 7 * 100, n % 3 * 333], n % 11 * 100).unwrap();
        }
        let mut read: Chooser = serde_json::from_slice(&serde_json::to_vec(&chooser).unwrap()).unwrap();
        assert_eq!(read, chooser);
        chooser.learn(&MARKET, 1_000).unwrap();
        read.learn(&MARKET, 1_000).unwrap();
        assert_eq!(read.expected(&OFFER).unwrap().to_bits(), chooser.expected(&OFFER).unwrap().to_bits());
    }

    proptest! {
        #[test]
        fn shares_sum_to_a_million_whatever_was_learned(
            taught in prop::collection::vec((prop::collection::vec(-5_000i32..=5_000, 3), 0i32..=1_000), 0..60),
            options in prop::collection::vec((1u8..4, prop::collection::vec(-5_000i32..=5_000, 3)), 0..60),
        ) {
            let mut chooser = Chooser::new(3, 50).unwrap();
            taught.iter().for_each(|(option, reward)| chooser.learn(option, *reward).unwrap());
            let options: Vec<(u8, &[i32])> = options.iter().map(|(kind, features)| (*kind, features.as_slice())).collect();
            let shares = chooser.shares(&options).unwrap();
            prop_assert_eq!(shares.len(), options.len() + 1);
            prop_assert_eq!(shares.iter().sum::<u32>(), MILLION);
            prop_assert!(shares.iter().all(|share| *share >= 1));
        }
    }
}
