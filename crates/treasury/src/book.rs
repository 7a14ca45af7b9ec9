//! A transfer: entries that are booked together or not at all.

use hunch_exchange::ExchangeShard;
use hunch_kernel::{Dollars, MarketTicker};
use uuid::Uuid;

use crate::{Account, EntryKind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub debit: Account,
    pub credit: Account,
    pub amount: Dollars,
    pub kind: EntryKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Derived from the cause: booked once, however often it is posted.
    pub id: Uuid,
    pub exchange_shard: ExchangeShard,
    pub market: Option<MarketTicker>,
    /// The order or chunk whose points these dollars stand for.
    pub conversion: Option<Uuid>,
    pub entries: Vec<Entry>,
}

impl Transfer {
    pub(crate) fn new(id: Uuid, exchange_shard: ExchangeShard, market: Option<&MarketTicker>) -> Transfer {
        Transfer { id, exchange_shard, market: market.cloned(), conversion: None, entries: Vec::new() }
    }

    /// Adds an entry; nothing for nothing, and the other way round for less than nothing.
    pub(crate) fn add(&mut self, debit: Account, credit: Account, amount: Dollars, kind: EntryKind) {
        let (debit, credit, amount) = if amount.0 < 0 { (credit, debit, -amount) } else { (debit, credit, amount) };
        if amount > Dollars::ZERO {
            self.entries.push(Entry { debit, credit, amount, kind });
        }
    }

    /// What the account has more after this transfer.
    pub fn change(&self, account: Account) -> Dollars {
        self.entries
            .iter()
            .map(|e| match account {
                a if a == e.debit => e.amount,
                a if a == e.credit => -e.amount,
                _ => Dollars::ZERO,
            })
            .sum()
    }
}
