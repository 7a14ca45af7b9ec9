//! What was seen, from whatever source, becomes the stored state: one routine, repeatable.

use hunch_exchange::{MarketReport, MarketResult, MarketStatus};
use hunch_kernel::{EventTicker, MarketTicker, MemberId, Price, Shard, derived_uuid, shard_of};
use hunch_log::ShardTx;
use hunch_messages::{MarketChanged, Message};
use jiff::Timestamp;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap};

use crate::market::{result_word, status_word};
use crate::state::{Known, Step, step, value_of};
use crate::{Kind, Markets, MarketsError, store};

/// The most sightings of a shard that are applied in one transaction.
const APPLIED_AT_ONCE: usize = 50;

/// One sighting of one market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A whole report, as reads give it.
    Report(Box<MarketReport>),
    /// Only the result, as the socket gives it. Nothing is paid on it.
    Determined { ticker: MarketTicker, result: MarketResult, value: Option<Price> },
}

/// What a round of sightings changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub added: usize,
    pub changed: usize,
    pub finalized: usize,
    pub conflicts: usize,
}

impl Seen {
    fn ticker(&self) -> &MarketTicker {
        match self {
            Seen::Report(report) => &report.ticker,
            Seen::Determined { ticker, .. } => ticker,
        }
    }

    fn known(&self) -> Known {
        match self {
            Seen::Report(r) => {
                let outcome = r.result.and_then(|result| Some((result, value_of(result, r.settlement_value)?)));
                // Before the determination a result is a leftover of nothing we know.
                let early = matches!(
                    r.status,
                    MarketStatus::Initialized | MarketStatus::Inactive | MarketStatus::Active | MarketStatus::Closed
                );
                Known { status: r.status, outcome: outcome.filter(|_| !early) }
            }
            Seen::Determined { result, value, .. } => Known {
                status: MarketStatus::Determined,
                outcome: value_of(*result, *value).map(|value| (*result, value)),
            },
        }
    }

    fn settled_at(&self) -> Option<Timestamp> {
        match self {
            Seen::Report(report) => report.settled_at,
            Seen::Determined { .. } => None,
        }
    }
}

impl Markets {
    /// Applies sightings. Those that say nothing new cost one read for all of them together.
    ///
    /// # Errors
    /// When the database fails; nothing of the failed shard was applied then.
    pub async fn observe(&self, seen: &[Seen]) -> Result<Observed, MarketsError> {
        let mut observed = Observed::default();
        let tickers: Vec<String> = seen.iter().map(|s| s.ticker().0.clone()).collect();
        let mut conn = self.pool.acquire().await?;
        let known = store::states(&mut conn, &tickers).await?;
        let reports: Vec<&MarketReport> = seen
            .iter()
            .filter_map(|s| match s {
                Seen::Report(report) if known.contains_key(&report.ticker.0) => Some(report.as_ref()),
                _ => None,
            })
            .collect();
        if !reports.is_empty() {
            store::refresh(&mut conn, &reports, self.clocks.business.now()).await?;
        }
        drop(conn);
        let mut by_shard: BTreeMap<Shard, Vec<&Seen>> = BTreeMap::new();
        for sighting in seen {
            let news = match known.get(&sighting.ticker().0) {
                Some(stored) => matches!(step(*stored, sighting.known()), Step::Become { .. } | Step::Conflict),
                None => matches!(sighting, Seen::Report(_)),
            };
            if news {
                by_shard.entry(self.shard(sighting.ticker())).or_default().push(sighting);
            }
        }
        // A few at a time: members of the shard wait meanwhile.
        for (shard, sightings) in by_shard {
            for some in sightings.chunks(APPLIED_AT_ONCE) {
                let part = self.apply(shard, some).await?;
                observed.added += part.added;
                observed.changed += part.changed;
                observed.finalized += part.finalized;
                observed.conflicts += part.conflicts;
            }
        }
        if observed.changed > 0 {
            self.cache.forget();
        }
        Ok(observed)
    }

    /// A market's messages appear in one shard, as a member's do.
    fn shard(&self, ticker: &MarketTicker) -> Shard {
        shard_of(MemberId(derived_uuid(&[b"market", ticker.as_str().as_bytes()])), self.tail.shard_count())
    }

    async fn apply(&self, shard: Shard, sightings: &[&Seen]) -> Result<Observed, MarketsError> {
        let (now, wall) = (self.clocks.business.now(), self.clocks.wall.now());
        let mut observed = Observed::default();
        let mut tx = ShardTx::begin(&self.pool, shard, now).await?;
        let kinds = kinds(tx.conn(), sightings).await?;
        for sighting in sightings {
            let ticker = sighting.ticker();
            if let Seen::Report(report) = sighting {
                if !kinds.contains_key(&report.event) {
                    continue; // its event is not known yet: the next sync brings both
                }
                if store::insert(tx.conn(), report, now).await? {
                    observed.added += 1;
                }
            }
            // Read again under the shard's lock: another process may have been quicker.
            let stored = store::states(tx.conn(), std::slice::from_ref(&ticker.0)).await?;
            let Some(before) = stored.get(&ticker.0) else { continue };
            match step(*before, sighting.known()) {
                Step::Same | Step::Stale => continue,
                Step::Conflict => {
                    tracing::error!(%ticker, stored = ?before, seen = ?sighting.known(), "the exchange contradicts a final result");
                    metrics::counter!("hunch_market_conflicts_total").increment(1);
                    observed.conflicts += 1;
                    continue;
                }
                Step::Become { now: after, determined } => {
                    store::set_state(tx.conn(), &ticker.0, &after).await?;
                    if let Some(outcome) = after.outcome.filter(|_| determined) {
                        store::add_determination(tx.conn(), &ticker.0, outcome, now, wall).await?;
                    }
                    if after.status == MarketStatus::Finalized {
                        let settled_at = sighting.settled_at().unwrap_or(now);
                        store::add_final(tx.conn(), &ticker.0, settled_at, now, wall).await?;
                        observed.finalized += 1;
                    }
                    observed.changed += 1;
                    let (event, kind) = store::event_and_kind(tx.conn(), ticker).await?;
                    tx.announce(message(ticker, &event, kind, &after, now));
                }
            }
        }
        let committed = tx.commit().await?;
        self.tail.publish(&committed);
        Ok(observed)
    }
}

/// The events among these that are stored, with their kinds.
async fn kinds(conn: &mut PgConnection, sightings: &[&Seen]) -> Result<HashMap<EventTicker, Kind>, MarketsError> {
    let events: Vec<String> = sightings
        .iter()
        .filter_map(|s| match s {
            Seen::Report(report) => Some(report.event.0.clone()),
            Seen::Determined { .. } => None,
        })
        .collect();
    Ok(store::event_kinds(conn, &events).await?)
}

fn message(ticker: &MarketTicker, event: &str, kind: Kind, state: &Known, at: Timestamp) -> Message {
    Message::MarketChanged(MarketChanged {
        v: 1,
        market: ticker.0.clone(),
        event: event.to_owned(),
        category: kind.as_str().to_owned(),
        status: status_word(state.status).to_owned(),
        result: state.outcome.map(|o| result_word(o.0).to_owned()),
        settlement_value_micros: state.outcome.map(|o| o.1.micros()),
        at,
    })
}
