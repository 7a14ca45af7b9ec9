//! Our books against the exchange's: fills, settlements, cash, net positions. It posts what only the exchange knows
//! (what it paid) and records every comparison for the audit. It never moves points.
//!
//! Reads lag behind what happened, so a difference counts only beyond what orders and settlements on their way can
//! explain. What stays is an alarm.

use hunch_exchange::{ExchangeShard, FillReport};
use hunch_kernel::{Count, Dollars, MarketTicker, Price, WallTime, lock};
use hunch_treasury::{CashSeen, fund, revenue};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

use crate::{Trading, TradingError, store};

/// How far back each round reads fills and settlements again (the exchange's time): its reads lag.
const OVERLAP: SignedDuration = SignedDuration::from_mins(15);
const SETTLEMENTS_OVERLAP: SignedDuration = SignedDuration::from_hours(48);
/// An order that ended so shortly before a round began (wall time) may not be in the exchange's reads yet.
const READS_LAG: SignedDuration = SignedDuration::from_secs(5);
const PAGES_MAX: usize = 200;

/// One row of the hedge book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HedgeRow {
    pub market: MarketTicker,
    pub exchange_shard: ExchangeShard,
    pub yes: Count,
    pub no: Count,
    pub house_yes: Count,
    pub house_no: Count,
    pub settled: bool,
    pub revenue: Option<Dollars>,
}

impl HedgeRow {
    fn net(&self) -> Count {
        self.yes - self.no
    }
}

/// What orders on their way could still change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InFlight {
    pub cash: BTreeMap<ExchangeShard, Dollars>,
    pub counts: BTreeMap<MarketTicker, Count>,
}

/// What a round found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    pub fills: usize,
    /// Markets whose revenue was booked.
    pub revenues: usize,
    pub cash: Vec<CashSeen>,
    pub positions: usize,
    /// Sentences about what does not fit.
    pub differences: Vec<String>,
}

impl Trading {
    /// Books the money that lies at the exchange when the books are begun. Later money is booked by the operator.
    ///
    /// # Errors
    /// When the exchange or the database fails.
    pub async fn open_books(&self) -> Result<(), TradingError> {
        let mut conn = self.pool.acquire().await?;
        if hunch_treasury::begun(&mut conn).await? {
            return Ok(());
        }
        let opening: Vec<_> = self
            .exchange
            .cash()
            .await?
            .into_iter()
            .map(|c| fund(&format!("opening balance of shard {}", c.shard.0), c.shard, c.available))
            .collect();
        hunch_treasury::post(&mut conn, &opening, self.clocks.business.now()).await?;
        Ok(())
    }

    /// Books money that the operator put in or took out at the exchange. `cause` names it for ever.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn book_funding(&self, cause: &str, shard: ExchangeShard, amount: Dollars) -> Result<(), TradingError> {
        let mut conn = self.pool.acquire().await?;
        hunch_treasury::post(&mut conn, &[fund(cause, shard, amount)], self.clocks.business.now()).await?;
        Ok(())
    }

    /// One round.
    ///
    /// # Errors
    /// When the exchange or the database fails; the next round begins anew.
    pub async fn reconcile_step(&self) -> Result<Reconciled, TradingError> {
        let mut found = Reconciled::default();
        self.copy_fills(&mut found).await?;
        let unread = self.copy_settlements().await?;
        found.differences.extend(not_understood("settlements", &unread));
        self.book_revenues(&mut found).await?;
        let since = self.reads_since();
        self.compare_cash(since, &mut found).await?;
        self.compare_positions(since, &mut found).await?;
        for difference in &found.differences {
            tracing::error!(difference, "our books and the exchange's do not agree");
        }
        metrics::gauge!("hunch_reconcile_differences").set(found.differences.len() as f64);
        Ok(found)
    }

    /// Keeps fills that the socket or a read brought.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_fills(&self, fills: &[FillReport]) -> Result<(), TradingError> {
        store::insert_fills(&self.pool, fills).await?;
        self.open.notify_one();
        Ok(())
    }

    async fn copy_fills(&self, found: &mut Reconciled) -> Result<(), TradingError> {
        let since = match store::last_fill(&self.pool).await? {
            Some(last) => last,
            None => self.first_order().await?,
        };
        let since = since.saturating_sub(OVERLAP).unwrap_or(since);
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.exchange.fills(since, cursor.as_deref()).await?;
            found.fills += page.items.len();
            found.differences.extend(not_understood("fills", &page.left_out));
            store::insert_fills(&self.pool, &page.items).await?;
            match page.next.filter(|next| Some(next) != cursor.as_ref()) {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        Ok(())
    }

    /// Nothing of ours at the exchange is older, whichever of our clocks it goes by.
    async fn first_order(&self) -> Result<Timestamp, TradingError> {
        Ok(store::first_order(&self.pool)
            .await?
            .unwrap_or(self.clocks.business.now().min(self.clocks.wall.now().to_timestamp())))
    }

    /// The exchange's settlement rows; gives the names of those that are not understood. A market that it has paid and of whose end we have not read is read soon.
    async fn copy_settlements(&self) -> Result<Vec<String>, TradingError> {
        // From the last one we know, however long we were away; markets are not always paid in the order of our reading.
        let since = match store::last_settlement(&self.pool).await? {
            Some(last) => last.saturating_sub(SETTLEMENTS_OVERLAP).unwrap_or(last),
            None => self.first_order().await?,
        };
        let mut unread = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.exchange.settlements(since, cursor.as_deref()).await?;
            unread.extend(page.left_out);
            store::insert_settlements(&self.pool, &page.items).await?;
            match page.next.filter(|next| Some(next) != cursor.as_ref()) {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        for market in store::paid_unread(&self.pool).await? {
            self.markets.hint(&market);
        }
        Ok(unread)
    }

    /// The revenue of every market that is paid on our side.
    async fn book_revenues(&self, found: &mut Reconciled) -> Result<(), TradingError> {
        for row in store::unbooked(&self.pool).await? {
            let mut conn = self.pool.acquire().await?;
            let Some(result) = hunch_markets::final_of(&mut conn, &row.market).await? else { continue };
            drop(conn);
            let paid = store::settlement_revenue(&self.pool, &row.market).await?;
            // Without a net position there may be no row, and nothing to be paid.
            let Some(paid) = paid.or((row.net() == Count::ZERO).then_some(Dollars::ZERO)) else { continue };
            let worth = |yes: Count, no: Count| result.value.times_down(yes) + result.value.complement().times_down(no);
            let net = row.net();
            let exact = if net.0 >= 0 { worth(net, Count::ZERO) } else { worth(Count::ZERO, -net) };
            if (exact - paid).0 < 0 || (exact - paid).0 >= 10_000 {
                found.differences.push(format!(
                    "{}: the exchange paid ${paid} on {net} contracts that are worth ${exact}",
                    row.market
                ));
            }
            let house = worth(row.house_yes, row.house_no);
            let booked = revenue(&row.market, row.exchange_shard, paid, exact, house);
            store::book_revenue(&self.pool, &row.market, paid, &booked, self.clocks.business.now()).await?;
            found.revenues += 1;
        }
        Ok(())
    }

    /// From when on an order's end may be missing in what this round reads: before it began, however long it takes.
    /// The earlier of this round's clock and the last one's counts, so that a clock that jumps ahead hides no order.
    fn reads_since(&self) -> WallTime {
        let begun = self.clocks.wall.now();
        let mut last = lock(&self.round_begun);
        let since = last.map_or(begun, |last| last.min(begun));
        *last = Some(begun);
        since
    }

    async fn compare_cash(&self, since: WallTime, found: &mut Reconciled) -> Result<(), TradingError> {
        let before = self.in_flight(since).await?;
        let mut conn = self.pool.acquire().await?;
        let books_before = hunch_treasury::cash(&mut conn).await?;
        let seen = self.exchange.cash().await?;
        let books = hunch_treasury::cash(&mut conn).await?;
        let after = self.in_flight(since).await?;
        // Asked after the cash: what was paid before is in these rows.
        self.copy_settlements().await?;
        let unbooked = store::unbooked_revenue_at_most(&self.pool).await?;
        let mut compared = Vec::new();
        for cash in seen {
            let of = |map: &BTreeMap<ExchangeShard, Dollars>| map.get(&cash.shard).copied().unwrap_or_default();
            // What was booked while the exchange was asked may be on either side of its answer.
            let moved = (of(&books) - of(&books_before)).0.abs();
            let in_flight = of(&before.cash) + of(&after.cash) + of(&unbooked) + Dollars(moved);
            let row = CashSeen { exchange_shard: cash.shard, exchange: cash.available, ledger: of(&books), in_flight };
            if !row.agrees() {
                found.differences.push(format!(
                    "shard {}: the exchange holds ${}, our books say ${}, ${} is on its way",
                    cash.shard.0, row.exchange, row.ledger, row.in_flight
                ));
            }
            compared.push(row);
        }
        hunch_treasury::record_cash(&mut conn, &compared, self.clocks.wall.now()).await?;
        found.cash = compared;
        Ok(())
    }

    async fn compare_positions(&self, since: WallTime, found: &mut Reconciled) -> Result<(), TradingError> {
        let before = self.in_flight(since).await?;
        let mut shown: BTreeMap<MarketTicker, Count> = BTreeMap::new();
        let mut unread: BTreeSet<MarketTicker> = BTreeSet::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.exchange.positions(cursor.as_deref()).await?;
            shown.extend(page.items.into_iter().map(|p| (p.ticker, p.net)));
            unread.extend(page.left_out.into_iter().map(MarketTicker));
            match page.next.filter(|next| Some(next) != cursor.as_ref()) {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        self.copy_settlements().await?;
        let mut books: BTreeMap<MarketTicker, Count> = BTreeMap::new();
        let mut over: BTreeSet<MarketTicker> = BTreeSet::new();
        for row in store::hedges(&self.pool).await? {
            if row.revenue.is_some() || store::may_be_paid(&self.pool, &row.market).await? {
                over.insert(row.market);
            } else {
                books.insert(row.market.clone(), row.net());
            }
        }
        // Asked after the books: whatever they hold beyond the exchange's answer is among these orders.
        let after = self.in_flight(since).await?;
        // A position that is not understood is none of which we know; it is not zero.
        found.differences.extend(not_understood("positions", &unread.iter().map(|m| m.0.clone()).collect::<Vec<_>>()));
        let known = |m: &MarketTicker| (unread.is_empty() || shown.contains_key(m)) && !over.contains(m);
        let all: BTreeSet<&MarketTicker> = books.keys().chain(shown.keys()).filter(|m| known(m)).collect();
        let mut rows = Vec::new();
        for market in all {
            let of = |map: &BTreeMap<MarketTicker, Count>| map.get(market).copied().unwrap_or_default();
            let (ours, theirs) = (of(&books), of(&shown));
            let in_flight = of(&before.counts) + of(&after.counts);
            if (ours - theirs).0.abs() > in_flight.0 {
                found.differences.push(format!(
                    "{market}: the exchange shows {theirs} contracts, our books {ours}, {in_flight} are on their way"
                ));
            }
            rows.push((market.clone(), theirs, ours, in_flight));
        }
        found.positions = rows.len();
        store::record_nets(&self.pool, &rows, self.clocks.wall.now()).await?;
        Ok(())
    }

    async fn in_flight(&self, since: WallTime) -> Result<InFlight, TradingError> {
        let since = since.min(self.clocks.wall.now());
        Ok(store::in_flight(&self.pool, since - READS_LAG).await?)
    }
}

/// What the exchange shows and we do not understand wants a person: nothing may be concluded from its absence.
fn not_understood(list: &str, names: &[String]) -> Option<String> {
    let named: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    let more = if names.len() > named.len() { " and others" } else { "" };
    (!names.is_empty())
        .then(|| format!("{} {list} of the exchange are not understood: {}{more}", names.len(), named.join(", ")))
}

/// The most that a market without a booked revenue can bring.
pub(crate) fn revenue_at_most(net: Count) -> Dollars {
    Price::ONE.times_up(Count(net.0.abs()))
}
