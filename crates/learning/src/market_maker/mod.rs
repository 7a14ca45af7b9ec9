//! A market maker that always answers: Hanson's logarithmic market scoring rule.
//!
//! What was sold of each outcome fixes all prices. Prices are probabilities: above 0, together 1. Whoever moves them
//! pays the difference of a cost function, so the maker can lose at most `b ln n` over n outcomes, and only what is
//! bought can move a price.
//! Source: Hanson (2003), Combinatorial information market design.
//!
//! Nothing here overflows: exponentials are taken of differences from the largest quantity, and small purchases keep
//! their digits through `expm1` and `log1p`.

/// Prices of outcomes that exclude each other, one of which will pay 1 a share.
#[derive(Clone, Debug, PartialEq)]
pub struct MarketMaker {
    liquidity: f64,
    sold: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum MarketMakerError {
    #[error("liquidity must be finite and above 0, not {0}")]
    Liquidity(f64),
    #[error("a market has at least two outcomes, not {0}")]
    Outcomes(usize),
    #[error("there is no outcome {0}")]
    Outcome(usize),
    #[error("{0} is not a number of shares, or of points, that can be traded")]
    Amount(f64),
    #[error("no number of shares costs {0} here")]
    OutOfReach(f64),
}

impl MarketMaker {
    /// `outcomes` of equal price. The larger `liquidity` (b), the less a share moves the price.
    ///
    /// # Errors
    /// `Liquidity`, `Outcomes`.
    pub fn new(outcomes: usize, liquidity: f64) -> Result<MarketMaker, MarketMakerError> {
        if !(liquidity.is_finite() && liquidity > 0.0) {
            return Err(MarketMakerError::Liquidity(liquidity));
        }
        if outcomes < 2 {
            return Err(MarketMakerError::Outcomes(outcomes));
        }
        Ok(MarketMaker { liquidity, sold: vec![0.0; outcomes] })
    }

    /// Price of one more (infinitely small) share of `outcome`: its probability.
    ///
    /// # Errors
    /// `Outcome`.
    pub fn price(&self, outcome: usize) -> Result<f64, MarketMakerError> {
        // A ratio of infinity gives 0.
        Ok(1.0 / (1.0 + self.others(outcome)?))
    }

    /// The other outcomes' prices together: 1 less the price of `outcome`, with all its digits.
    fn rest(&self, outcome: usize) -> Result<f64, MarketMakerError> {
        Ok(1.0 / (1.0 + 1.0 / self.others(outcome)?))
    }

    /// The other outcomes' prices over the price of `outcome`.
    fn others(&self, outcome: usize) -> Result<f64, MarketMakerError> {
        let own = *self.sold.get(outcome).ok_or(MarketMakerError::Outcome(outcome))?;
        let others = self.sold.iter().enumerate().filter(|(i, _)| *i != outcome);
        Ok(others.map(|(_, sold)| libm::exp((sold - own) / self.liquidity)).sum())
    }

    /// What `shares` of `outcome` cost; below 0 is what selling `-shares` brings. Changes nothing.
    ///
    /// # Errors
    /// `Outcome`, `Amount`.
    pub fn cost(&self, outcome: usize, shares: f64) -> Result<f64, MarketMakerError> {
        if !shares.is_finite() {
            return Err(MarketMakerError::Amount(shares));
        }
        let price = self.price(outcome)?;
        let x = shares / self.liquidity;
        // ln(1 - p + p e^x) keeps the digits of small purchases; it would lose those of large sales near a price of 1.
        if x.abs() <= 1.0 {
            return Ok(self.liquidity * libm::log1p(price * libm::expm1(x)));
        }
        Ok(self.level(outcome, shares) - self.level(outcome, 0.0))
    }

    /// Hanson's cost function, with `shares` more of `outcome` sold.
    fn level(&self, outcome: usize, shares: f64) -> f64 {
        let sold = |i: usize| if i == outcome { self.sold[i] + shares } else { self.sold[i] };
        let top = (0..self.sold.len()).map(sold).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = (0..self.sold.len()).map(|i| libm::exp((sold(i) - top) / self.liquidity)).sum();
        top + self.liquidity * libm::log(sum)
    }

    /// How many shares of `outcome` cost exactly `cost`; the inverse of [`MarketMaker::cost`].
    ///
    /// # Errors
    /// `Outcome`, `Amount`; `OutOfReach` when `-cost` is more than selling could bring, or the price too near 0 or 1 to tell.
    pub fn shares_for(&self, outcome: usize, cost: f64) -> Result<f64, MarketMakerError> {
        if !cost.is_finite() {
            return Err(MarketMakerError::Amount(cost));
        }
        let (price, rest) = (self.price(outcome)?, self.rest(outcome)?);
        let b = self.liquidity;
        // e^c = 1 - p + p e^x, solved for x; above 0 with e^c taken out, so that it cannot overflow.
        let c = cost / b;
        let x = if c <= 0.0 {
            libm::log1p(libm::expm1(c) / price)
        } else {
            c + libm::log1p(-libm::expm1(-c) * rest / price)
        };
        if x.is_finite() { Ok(b * x) } else { Err(MarketMakerError::OutOfReach(cost)) }
    }

    /// Sells `shares` of `outcome` to somebody (takes them back if below 0), and says what that costs.
    ///
    /// # Errors
    /// `Outcome`, `Amount`; then nothing changed.
    pub fn trade(&mut self, outcome: usize, shares: f64) -> Result<f64, MarketMakerError> {
        let cost = self.cost(outcome, shares)?;
        let after = self.sold[outcome] + shares;
        if !after.is_finite() {
            return Err(MarketMakerError::Amount(shares));
        }
        self.sold[outcome] = after;
        Ok(cost)
    }

    /// The most that the maker can lose.
    pub fn loss_max(&self) -> f64 {
        self.liquidity * libm::log(self.sold.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hanson's rule for two outcomes, b = 100: 10 shares at evens cost 100 ln((e^0.1 + 1) / 2).
    #[test]
    fn the_published_formula_is_followed() {
        let mut maker = MarketMaker::new(2, 100.0).unwrap();
        assert_eq!(maker.price(0).unwrap(), 0.5);
        let cost = maker.trade(0, 10.0).unwrap();
        assert!((cost - 100.0 * ((0.1f64.exp() + 1.0) / 2.0).ln()).abs() < 1e-12);
        assert!((maker.price(0).unwrap() - 1.0 / (1.0 + (-0.1f64).exp())).abs() < 1e-15);
        assert!((maker.loss_max() - 100.0 * 2f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(MarketMaker::new(2, 0.0), Err(MarketMakerError::Liquidity(0.0)));
        assert_eq!(MarketMaker::new(1, 1.0), Err(MarketMakerError::Outcomes(1)));
        let mut maker = MarketMaker::new(2, 10.0).unwrap();
        assert_eq!(maker.price(2), Err(MarketMakerError::Outcome(2)));
        assert!(maker.trade(0, f64::NAN).is_err());
        // Selling for ever brings less than b ln 2.
        assert_eq!(maker.shares_for(0, -7.0), Err(MarketMakerError::OutOfReach(-7.0)));
        assert!(maker.shares_for(0, -6.9).unwrap() < 0.0);
    }

    #[test]
    fn far_ends_stay_finite() {
        let mut maker = MarketMaker::new(2, 1.0).unwrap();
        let cost = maker.trade(0, 5_000.0).unwrap();
        assert!((cost - (5_000.0 - 2f64.ln())).abs() < 1e-9);
        assert_eq!((maker.price(0).unwrap(), maker.price(1).unwrap()), (1.0, 0.0));
        assert!(maker.cost(1, 10.0).unwrap().abs() < 1e-9);
        assert!((maker.cost(0, -5_000.0).unwrap() + cost).abs() < 1e-9);
    }

    proptest! {
        /// Prices sum to 1, the way there does not matter, shares and costs are each other's inverse, and the maker
        /// never loses more than its bound.
        #[test]
        fn the_rule_holds(trades in proptest::collection::vec((0usize..3, -80.0..80.0f64), 0..30), b in 5.0..200.0f64) {
            let mut maker = MarketMaker::new(3, b).unwrap();
            let mut paid = 0.0;
            for (outcome, shares) in trades {
                let before = maker.clone();
                let cost = maker.trade(outcome, shares).unwrap();
                paid += cost;
                let inside = |p: f64| p > 1e-4 && p < 1.0 - 1e-4;
                if inside(before.price(outcome).unwrap()) && inside(maker.price(outcome).unwrap()) {
                    let again = before.shares_for(outcome, cost).unwrap();
                    prop_assert!((again - shares).abs() < 1e-6 * (1.0 + shares.abs()), "{} {}", again, shares);
                }
                let sum: f64 = (0..3).map(|i| maker.price(i).unwrap()).sum();
                prop_assert!((sum - 1.0).abs() < 1e-12);
            }
            for outcome in 0..3 {
                prop_assert!(maker.sold[outcome] - paid <= maker.loss_max() + 1e-6);
            }
            let level = maker.sold.clone();
            let mut direct = MarketMaker::new(3, b).unwrap();
            let at_once: f64 = level.iter().enumerate().map(|(i, sold)| direct.trade(i, *sold).unwrap()).sum();
            prop_assert!((at_once - paid).abs() < 1e-6);
        }
    }
}
