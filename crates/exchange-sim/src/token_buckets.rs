//! Token buckets as the exchange keeps them: one for reads, one for writes, one more for the writes of
//! every shard above 0, and a slow one for the balance. In thousandths of a token, on the wall clock.

use std::collections::HashMap;

/// A usage level: (tokens a second, bucket size).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    pub name: &'static str,
    pub read: (i64, i64),
    pub write: (i64, i64),
    pub balance_per_second: i64,
}

impl Tier {
    pub const BASIC: Tier = Tier { name: "basic", read: (200, 400), write: (100, 100), balance_per_second: 1 };
    pub const ADVANCED: Tier = Tier { name: "advanced", read: (300, 600), write: (300, 300), balance_per_second: 1 };
    pub const PREMIER: Tier = Tier { name: "premier", read: (1000, 2000), write: (1000, 1000), balance_per_second: 5 };
    /// For tests whose clock stands still.
    pub const UNLIMITED: Tier = Tier {
        name: "unlimited",
        read: (1_000_000, 1_000_000_000),
        write: (1_000_000, 1_000_000_000),
        balance_per_second: 1_000_000_000,
    };

    pub fn by_name(name: &str) -> Option<Tier> {
        [Tier::BASIC, Tier::ADVANCED, Tier::PREMIER, Tier::UNLIMITED].into_iter().find(|t| t.name == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    Read,
    Write(usize),
    Balance,
}

pub struct TokenBuckets {
    pub tier: Tier,
    /// Thousandths of a token and the wall microsecond at which they were counted.
    buckets: HashMap<(usize, Bucket), (i64, i64)>,
}

impl TokenBuckets {
    pub fn new(tier: Tier) -> TokenBuckets {
        TokenBuckets { tier, buckets: HashMap::new() }
    }

    /// Takes `cost` tokens, or says that there are not so many.
    pub fn take(&mut self, account: usize, bucket: Bucket, cost: i64, wall: i64) -> bool {
        let (rate, size) = match bucket {
            Bucket::Read => self.tier.read,
            Bucket::Write(_) => self.tier.write,
            Bucket::Balance => (self.tier.balance_per_second, self.tier.balance_per_second),
        };
        let full = size * 1000;
        let (level, since) = self.buckets.entry((account, bucket)).or_insert((full, wall));
        let earned = i128::from(wall.saturating_sub(*since).max(0)) * i128::from(rate) / 1000;
        *level = (i128::from(*level) + earned).min(i128::from(full)) as i64;
        *since = wall.max(*since);
        if *level < cost * 1000 {
            return false;
        }
        *level -= cost * 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_orders_a_second_at_the_basic_tier() {
        let mut buckets = TokenBuckets::new(Tier::BASIC);
        let taken =
            |buckets: &mut TokenBuckets, wall| (0..20).filter(|_| buckets.take(1, Bucket::Write(0), 10, wall)).count();
        assert_eq!(taken(&mut buckets, 0), 10);
        assert_eq!(taken(&mut buckets, 500_000), 5);
        assert!(buckets.take(1, Bucket::Write(3), 10, 500_000), "each shard has its own bucket");
        assert!(buckets.take(2, Bucket::Write(0), 10, 500_000), "and each account");
    }
}
