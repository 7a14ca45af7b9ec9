//! A stream of orders in markets that pay 1 for YES.
//!
//! An order's own price says little: buyers bid low and sellers ask high. What says much is the mean of prices at which
//! people traded, less extreme than the truth (Baron et al. 2014), and whether there are more buyers than sellers.

use std::collections::{HashMap, HashSet};

use super::logistic::{Logistic, Rows};
use super::{ChanceError, Estimate, Latest, WEIGHT_POWER, log_odds};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Buy,
    Sell,
}

/// Somebody wants to buy or sell YES of a contract.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub at_days: f64,
    /// Where it is traded; venues of one contract have prices of their own.
    pub venue: u64,
    pub person: u64,
    /// Contracts of one market exclude each other.
    pub market: u64,
    pub contract: u64,
    pub side: Side,
    /// Limit, from 0 to 1.
    pub price: f64,
    /// How many were wanted, and how many were had at once.
    pub quantity: f64,
    pub filled: f64,
}

/// Learns from a stream of orders and resolutions, row by row.
#[derive(Clone, Debug)]
pub struct Orders {
    contracts: HashMap<u64, Contract>,
    markets: HashMap<u64, HashSet<u64>>,
    rows: Rows,
    model: Logistic,
    fitted_rows: usize,
    resolved_contracts: u64,
    latest: Latest,
}

const WIDTH: usize = 6;
/// Prior means of the coefficients: see `columns`. They come from a year of one exchange, 58 contracts: trades are
/// stretched by a fifth, twice as many buyers as sellers are worth half a logit, and the constant makes up for buyers
/// being the majority.
const PRIOR: [f64; WIDTH + 1] = [1.2, 0.75, 0.0, 0.0, -0.6, 0.0, -0.5];
/// A hundred contracts move the coefficients about half way to where they point themselves.
const STRENGTH: f64 = 100.0;
/// The constant hardly moves: contracts that are resolved early are those in which something happened, so their share
/// of YES is above that of all contracts.
const CONSTANT_STRENGTH: f64 = 1_000.0;
/// Beliefs end here, in probability.
const LEAST: f64 = 0.01;

#[derive(Clone, Debug, Default)]
struct Contract {
    trades: f64,
    trade_logits: f64,
    /// Running mean of traded log-odds, the latest trade counting an eighth.
    drift: f64,
    /// Latest trade of each venue: their sum and their number.
    venue_last: HashMap<u64, f64>,
    venue_sum: f64,
    bids: f64,
    bid_logits: f64,
    asks: f64,
    ask_logits: f64,
    waiting: Vec<[f64; WIDTH]>,
}

impl Default for Orders {
    fn default() -> Orders {
        Orders {
            contracts: HashMap::new(),
            markets: HashMap::new(),
            rows: Rows::new(WIDTH),
            model: Logistic::new(PRIOR.to_vec(), STRENGTH, CONSTANT_STRENGTH),
            fitted_rows: 0,
            resolved_contracts: 0,
            latest: Latest::default(),
        }
    }
}

impl Orders {
    /// The chance that the order's contract pays, this order included.
    ///
    /// # Errors
    /// `Probability` for a price outside 0 to 1, `Amount`, `Time`, `Order`; then nothing is learned.
    pub fn order(&mut self, order: &Order) -> Result<Estimate, ChanceError> {
        if !(0.0..=1.0).contains(&order.price) {
            return Err(ChanceError::Probability(order.price));
        }
        if let Some(bad) = [order.quantity, order.filled].into_iter().find(|x| !(x.is_finite() && *x >= 0.0)) {
            return Err(ChanceError::Amount(bad));
        }
        self.latest.go_to(order.at_days)?;
        let rows = self.rows.len();
        if rows > self.fitted_rows + self.fitted_rows / 20 {
            self.model.refit(&self.rows, 4);
            self.fitted_rows = rows;
        }
        let market = self.markets.entry(order.market).or_default();
        market.insert(order.contract);
        let rivals = market.len();
        let contract = self.contracts.entry(order.contract).or_default();
        contract.take(order);
        let columns = contract.columns(order, rivals);
        contract.waiting.push(columns);
        let (logit, variance) = (self.model.logit(&columns), self.model.variance(&columns));
        Ok(Estimate::from_logit(logit, variance.sqrt(), self.resolved_contracts))
    }

    /// The contract was decided. One that nobody traded, or that was decided before, teaches nothing.
    ///
    /// # Errors
    /// `Time`, `Order`; then nothing is learned.
    pub fn resolve(&mut self, at_days: f64, contract: u64, yes: bool) -> Result<(), ChanceError> {
        self.latest.go_to(at_days)?;
        let Some(contract) = self.contracts.get_mut(&contract) else {
            return Ok(());
        };
        let waiting = std::mem::take(&mut contract.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        self.resolved_contracts += 1;
        let weight = (waiting.len() as f64).powf(WEIGHT_POWER);
        for columns in waiting {
            self.rows.push(&columns, yes, weight);
        }
        Ok(())
    }
}

impl Contract {
    fn take(&mut self, order: &Order) {
        let logit = log_odds(order.price, LEAST);
        match order.side {
            Side::Buy => {
                self.bids += 1.0;
                self.bid_logits += logit;
            }
            Side::Sell => {
                self.asks += 1.0;
                self.ask_logits += logit;
            }
        }
        if order.filled > 0.0 {
            self.drift = if self.trades == 0.0 { logit } else { self.drift + (logit - self.drift) / 8.0 };
            self.trades += 1.0;
            self.trade_logits += logit;
            self.venue_sum += logit - self.venue_last.insert(order.venue, logit).unwrap_or(0.0);
        }
    }

    /// 0 belief from trades, drawn towards the middle of bids and asks while there are few; 1 log of buyers to sellers;
    /// 2 latest drift against the mean; 3 what this order says against the belief; 4 whether the market has rivals;
    /// 5 belief where there are rivals.
    fn columns(&self, order: &Order, rivals: usize) -> [f64; WIDTH] {
        let (bid, ask) = (self.bid_logits / self.bids, self.ask_logits / self.asks);
        let middle = match (self.bids > 0.0, self.asks > 0.0) {
            (true, true) => 0.5 * (bid + ask),
            (true, false) => bid,
            (false, true) => ask,
            (false, false) => 0.0,
        };
        let trust = self.trades / (self.trades + 2.0);
        let (mean, venues) = if self.trades > 0.0 {
            (self.trade_logits / self.trades, self.venue_sum / self.venue_last.len() as f64)
        } else {
            (0.0, 0.0)
        };
        let traded = 0.5 * (mean + venues);
        let belief = trust * traded + (1.0 - trust) * middle;
        let pressure = libm::log((self.bids + 1.0) / (self.asks + 1.0));
        let many = f64::from(u8::from(rivals > 1));
        let drift = if self.trades > 0.0 { trust * (self.drift - mean) } else { 0.0 };
        // A buyer below the belief and a seller above it say nothing; the others say something.
        let says = log_odds(order.price, LEAST) - belief;
        let says = match order.side {
            Side::Buy => says.max(0.0),
            Side::Sell => says.min(0.0),
        };
        [belief, pressure, drift, says, many, many * belief]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(at_days: f64, contract: u64, side: Side, price: f64, filled: f64) -> Order {
        Order {
            at_days,
            venue: contract % 3,
            person: 1,
            market: contract,
            contract,
            side,
            price,
            quantity: 10.0,
            filled,
        }
    }

    #[test]
    fn trades_say_more_than_a_low_bid_and_buyers_raise_the_chance() {
        let mut model = Orders::default();
        for i in 0..20 {
            model.order(&order(f64::from(i), 1, Side::Buy, 0.8, 10.0)).unwrap();
            model.order(&order(f64::from(i), 1, Side::Sell, 0.8, 10.0)).unwrap();
        }
        let told = model.order(&order(20.0, 1, Side::Buy, 0.05, 0.0)).unwrap();
        assert!(told.p > 0.6 && told.lo < told.p && told.p < told.hi, "{told:?}");
        let before = told.p;
        let after = (0..30).map(|i| model.order(&order(21.0 + f64::from(i), 1, Side::Buy, 0.6, 0.0)).unwrap().p).last();
        assert!(after.unwrap() > before + 0.05);
    }

    #[test]
    fn rivals_lower_the_chance() {
        let mut alone = Orders::default();
        let mut many = Orders::default();
        for contract in 0..4 {
            many.order(&Order { market: 9, ..order(0.0, contract, Side::Buy, 0.5, 10.0) }).unwrap();
        }
        alone.order(&Order { market: 9, ..order(0.0, 2, Side::Buy, 0.5, 10.0) }).unwrap();
        let row = Order { market: 9, ..order(1.0, 2, Side::Sell, 0.5, 10.0) };
        assert!(many.order(&row).unwrap().p < alone.order(&row).unwrap().p - 0.05);
    }

    #[test]
    fn a_site_where_trades_mislead_is_learned() {
        let mut model = Orders::default();
        let mut at = 0.0;
        let mut run = |contract: u64, price: f64| {
            let mut p = 0.0;
            for side in [Side::Buy, Side::Sell, Side::Buy, Side::Sell] {
                at += 0.01;
                p = model.order(&order(at, contract, side, price, 5.0)).unwrap().p;
            }
            model.resolve(at, contract, price < 0.5).unwrap();
            p
        };
        let first = run(0, 0.9);
        for contract in 1..600 {
            run(contract, if contract % 2 == 0 { 0.9 } else { 0.1 });
        }
        assert!(first > 0.7 && run(600, 0.9) < 0.4);
    }

    #[test]
    fn a_bad_order_is_refused() {
        let mut model = Orders::default();
        assert_eq!(model.order(&order(0.0, 1, Side::Buy, 1.2, 0.0)), Err(ChanceError::Probability(1.2)));
        assert_eq!(model.order(&order(0.0, 1, Side::Buy, 0.2, -1.0)), Err(ChanceError::Amount(-1.0)));
        model.order(&order(5.0, 1, Side::Buy, 0.2, 0.0)).unwrap();
        assert_eq!(model.order(&order(4.0, 1, Side::Buy, 0.2, 0.0)), Err(ChanceError::Order(1.0)));
    }
}
