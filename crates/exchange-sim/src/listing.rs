//! What is listed at once: an event with its series and its markets.

use crate::engine::{Engine, Now, Refusal};
use crate::fees::FeeSchedule;
use crate::model::{EventSpec, Grid, MarketSpec, SeriesSpec};
use crate::units::Px;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One event with its series and all its markets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listing {
    pub series: SeriesSpec,
    pub event: EventSpec,
    pub markets: Vec<MarketSpec>,
    /// When readers are told it came to be; now when left out.
    #[serde(default)]
    pub created: Option<Timestamp>,
}

impl Listing {
    pub(crate) fn list(&self, engine: &mut Engine, now: Now) -> Result<(), Refusal> {
        if !engine.series.contains_key(&self.series.ticker) {
            engine.list_series(self.series.clone())?;
        }
        if !engine.events.contains_key(&self.event.ticker) {
            engine.list_event(now, self.event.clone())?;
        }
        for market in &self.markets {
            engine.list_market(now, self.created.unwrap_or(now.time), market.clone())?;
        }
        Ok(())
    }

    /// A single market of its own, open from now to `close`, that ends by hand: for tests.
    pub fn single(ticker: &str, category: &str, now: Timestamp, close: Timestamp) -> Listing {
        let event = ticker.rsplit_once('-').map_or(ticker, |(e, _)| e).to_owned();
        let series = event.split('-').next().unwrap_or(&event).to_owned();
        Listing {
            series: series_spec(&series, &format!("{series} series"), category, &[], 0),
            event: EventSpec {
                ticker: event.clone(),
                series_ticker: series,
                title: format!("{event}?"),
                sub_title: String::new(),
                mutually_exclusive: false,
                strike_date: None,
            },
            markets: vec![MarketSpec {
                house_depth: 0,
                ..plain_market(ticker, &event, &format!("Will {ticker} happen?"), "Yes, it happens", now, close)
            }],
            created: None,
        }
    }

    pub fn shard(mut self, shard: usize) -> Listing {
        self.series.shard = shard;
        self
    }

    /// Seconds between determination and payment.
    pub fn settlement_timer(mut self, seconds: i64) -> Listing {
        for market in &mut self.markets {
            market.settlement_timer_seconds = seconds;
        }
        self
    }
}

pub(crate) fn series_spec(ticker: &str, title: &str, category: &str, tags: &[&str], shard: usize) -> SeriesSpec {
    SeriesSpec {
        ticker: ticker.to_owned(),
        title: title.to_owned(),
        category: category.to_owned(),
        tags: tags.iter().map(|t| (*t).to_owned()).collect(),
        frequency: "daily".to_owned(),
        fees: FeeSchedule::STANDARD,
        shard,
        source: "Town records".to_owned(),
    }
}

/// Open from `open` to `close`, with nothing that only some kinds of market have.
pub(crate) fn plain_market(
    ticker: &str,
    event: &str,
    title: &str,
    yes: &str,
    open: Timestamp,
    close: Timestamp,
) -> MarketSpec {
    MarketSpec {
        ticker: ticker.to_owned(),
        event_ticker: event.to_owned(),
        title: title.to_owned(),
        yes_sub_title: yes.to_owned(),
        no_sub_title: yes.to_owned(),
        rules_primary: format!("If the answer to \"{title}\" is yes, then the market resolves to Yes."),
        open_time: open,
        close_time: close,
        expected_expiration_time: Some(close),
        occurrence_time: None,
        settlement_timer_seconds: 60,
        grid: Grid::LinearCent,
        strike_type: None,
        floor_strike: None,
        cap_strike: None,
        fair: Px(500_000),
        house_depth: 200,
        script: None,
    }
}
