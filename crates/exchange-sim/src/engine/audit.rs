//! Are the invariants E1 to E3 true now?

use super::Engine;
use crate::model::{Lagged, SHARDS, Status};
use crate::units::{Cash, Px, Qty};

impl Engine {
    /// Sentences about every broken invariant; empty when all hold.
    pub fn audit(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let cash: Cash = self.accounts.iter().flat_map(|a| a.balance.now().cash).sum();
        let pots: Cash = self.markets.values().map(|m| m.pot).sum();
        let there = cash + pots + self.fees + self.rounding;
        if there != self.funded {
            broken.push(format!("E1: {there} dollars are there, {} were funded", self.funded));
        }
        for market in self.markets.values().filter(|m| m.status() != Status::Finalized) {
            let nets =
                || self.accounts.iter().filter_map(|a| a.positions.get(&market.spec.ticker)).map(|p| p.now().net);
            let yes: Qty = nets().filter(|n| *n > Qty::ZERO).sum();
            let no: Qty = nets().filter(|n| *n < Qty::ZERO).map(|n| -n).sum();
            if yes != no || market.pot != Px::ONE.times(yes) {
                broken.push(format!("E2: {}: {yes} YES, {no} NO, pot {}", market.spec.ticker, market.pot));
            }
        }
        for (owner, account) in self.accounts.iter().enumerate() {
            let balance = account.balance.now();
            for shard in 0..SHARDS {
                if balance.available(shard) < Cash::ZERO || balance.reserved[shard] < Cash::ZERO {
                    broken.push(format!("E3: account {owner} shard {shard}: {balance:?}"));
                }
            }
            let reserved: Cash =
                self.orders.values().map(Lagged::now).filter(|o| o.owner == owner).map(|o| o.reserved).sum();
            if reserved != balance.reserved.iter().copied().sum() {
                broken.push(format!("E3: account {owner}: orders reserve {reserved}, balance says {balance:?}"));
            }
        }
        broken
    }
}
