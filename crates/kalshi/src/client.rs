//! The port's operations, each as the exchange publishes them.

use async_trait::async_trait;
use hunch_exchange::{
    BookTop, CashReport, EventReport, Exchange, ExchangeError, ExchangePosition, ExchangeShard, ExchangeStatus,
    ExchangeStream, FillReport, MarketQuery, MarketReport, NewOrder, OrderReport, Page, SentAt, SeriesReport,
    SettlementReport, SubmitOutcome, TradingSchedule, Turn,
};
use hunch_kernel::{EventTicker, MarketTicker, SeriesTicker, SharedWallClock, Side};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use crate::errors::{ApiError, classify_submission};
use crate::hours;
use crate::limits::Bucket;
use crate::signing::SigningKey;
use crate::socket::KalshiStream;
use crate::transport::Transport;
use crate::wire::{self, WireError};

const DEFAULT_COST: i64 = 10;
const CANCEL_COST: i64 = 2;
const PAGE: &str = "1000";

/// Where the exchange is and who we are there.
#[derive(Clone, Debug)]
pub struct KalshiConfig {
    /// Up to and including `/trade-api/v2`.
    pub rest_url: String,
    /// Ending in `/trade-api/ws/v2`.
    pub ws_url: String,
    pub key_id: String,
    pub private_key_pem: SecretString,
}

/// One account at the exchange.
pub struct Kalshi {
    transport: Transport,
    ws_url: Url,
    wall: SharedWallClock,
    reads: Bucket,
    writes: Bucket,
    balance: Bucket,
}

impl Kalshi {
    /// # Errors
    /// One sentence about the address or the key.
    pub fn new(config: &KalshiConfig, wall: SharedWallClock) -> Result<Kalshi, ExchangeError> {
        let address = |name: &str, text: &str| {
            Url::parse(text).map_err(|e| ExchangeError::Refused(format!("{name} {text:?} is not an address: {e}")))
        };
        let key = SigningKey::from_pem(config.private_key_pem.expose_secret())
            .map_err(|e| ExchangeError::Auth(e.to_string()))?;
        let rest = address("exchange.rest_url", &config.rest_url)?;
        let transport = Transport::new(rest, config.key_id.clone(), key, wall.clone())
            .map_err(|e| ExchangeError::Unreachable(e.to_string()))?;
        Ok(Kalshi {
            transport,
            ws_url: address("exchange.ws_url", &config.ws_url)?,
            // The basic tier until the exchange says more: 200 read and 100 write tokens a second, one balance read a
            // second.
            reads: Bucket::new(wall.clone(), 200, 400),
            writes: Bucket::new(wall.clone(), 100, 100),
            balance: Bucket::new(wall.clone(), 10, 10),
            wall,
        })
    }

    async fn read<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, ApiError> {
        if !self.reads.take(DEFAULT_COST).await {
            return Err(ApiError::HeldBack);
        }
        self.transport.get(path, query).await
    }

    /// `None` for a 404.
    async fn read_one<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ApiError> {
        match self.read(path, &[]).await {
            Ok(found) => Ok(Some(found)),
            Err(ApiError::Status { status: 404, .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn malformed(e: WireError) -> ExchangeError {
    ExchangeError::Malformed(e.to_string())
}

fn page<T>(items: Result<Vec<T>, WireError>, cursor: String) -> Result<Page<T>, ExchangeError> {
    // The last page has an empty cursor, not a missing one.
    Ok(Page { items: items.map_err(malformed)?, next: Some(cursor).filter(|c| !c.is_empty()) })
}

fn with_cursor(mut query: Vec<(&'static str, String)>, cursor: Option<&str>) -> Vec<(&'static str, String)> {
    if let Some(cursor) = cursor {
        query.push(("cursor", cursor.to_owned()));
    }
    query
}

#[async_trait]
impl Exchange for Kalshi {
    async fn learn_limits(&self) -> Result<(), ExchangeError> {
        let limits: wire::AccountLimits = self.read("/account/limits", &[]).await?;
        let (read, write) = (limits.read.usable(DEFAULT_COST), limits.write.usable(DEFAULT_COST));
        let ((per_second, most), write) = (read.map_err(malformed)?, write.map_err(malformed)?);
        self.reads.resize(per_second, most);
        self.writes.resize(write.0, write.1);
        Ok(())
    }

    async fn turn(&self) -> Option<Turn> {
        self.writes.take(DEFAULT_COST).await.then(Turn::granted)
    }

    async fn submit(&self, order: &NewOrder, _: Turn) -> SubmitOutcome {
        let (book_side, yes_price) = match order.side {
            Side::Yes => ("bid", order.worst_price),
            Side::No => ("ask", order.worst_price.complement()),
        };
        let body = json!({
            "ticker": order.ticker.as_str(),
            "client_order_id": order.client_order_id.to_string(),
            "side": book_side,
            "count": order.count.to_string(),
            "price": yes_price.to_string(),
            "time_in_force": "immediate_or_cancel",
            "self_trade_prevention_type": "taker_at_cross",
        });
        match self.transport.post::<wire::Created>("/portfolio/events/orders", &body).await {
            Ok(created) => match created.report(order.client_order_id, order.side) {
                Ok(report) => SubmitOutcome::Accepted(report),
                Err(e) => SubmitOutcome::Unknown { cause: format!("an answer that is none: {e}") },
            },
            Err(error) => classify_submission(&error),
        }
    }

    async fn cancel(&self, exchange_order_id: &str, ticker: &MarketTicker) -> Result<(), ExchangeError> {
        if !self.writes.take(CANCEL_COST).await {
            return Err(ExchangeError::RateLimited);
        }
        // Without its market an order is looked for on the first shard only.
        let query = [("market_ticker", ticker.0.clone())];
        let path = format!("/portfolio/events/orders/{exchange_order_id}");
        match self.transport.delete::<serde_json::Value>(&path, &query).await {
            Ok(_) | Err(ApiError::Status { status: 404, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn find_order(
        &self,
        client_order_id: Uuid,
        ticker: &MarketTicker,
        sent: SentAt,
    ) -> Result<Option<OrderReport>, ExchangeError> {
        // There is no filter by client order id; clocks differ, so look a minute further back.
        let from = sent.earlier().saturating_sub(SignedDuration::from_secs(60)).unwrap_or(Timestamp::MIN);
        let mut cursor: Option<String> = None;
        for _ in 0..wire::PAGES_MAX {
            let query = vec![
                ("ticker", ticker.0.clone()),
                ("min_ts", from.as_second().to_string()),
                ("limit", PAGE.to_owned()),
            ];
            let found: wire::Orders = self.read("/portfolio/orders", &with_cursor(query, cursor.as_deref())).await?;
            let ours = |o: &&wire::Order| o.client_order_id.parse() == Ok(client_order_id);
            if let Some(order) = found.orders.iter().find(ours) {
                return order.report(client_order_id).map(Some).map_err(malformed);
            }
            if found.cursor.is_empty() || Some(&found.cursor) == cursor.as_ref() {
                return Ok(None);
            }
            cursor = Some(found.cursor);
        }
        Err(ExchangeError::Malformed("the list of orders does not end".to_owned()))
    }

    async fn data_as_of(&self) -> Result<Timestamp, ExchangeError> {
        let answer: wire::DataTimestamp = self.read("/exchange/user_data_timestamp", &[]).await?;
        Ok(answer.as_of_time)
    }

    async fn market(&self, ticker: &MarketTicker) -> Result<Option<MarketReport>, ExchangeError> {
        let found: Option<wire::OneMarket> = self.read_one(&format!("/markets/{ticker}")).await?;
        found.map(|f| f.market.report().map_err(malformed)).transpose()
    }

    async fn markets(&self, query: &MarketQuery, cursor: Option<&str>) -> Result<Page<MarketReport>, ExchangeError> {
        let mut asked = vec![("limit", PAGE.to_owned())];
        match query {
            MarketQuery::Open => asked.extend([("status", "open".to_owned()), ("mve_filter", "exclude".to_owned())]),
            MarketQuery::SettledSince(since) => asked.extend([
                ("status", "settled".to_owned()),
                ("min_settled_ts", since.as_second().to_string()),
                ("mve_filter", "exclude".to_owned()),
            ]),
            MarketQuery::Tickers(tickers) => {
                let list: Vec<&str> = tickers.iter().map(MarketTicker::as_str).collect();
                asked.push(("tickers", list.join(",")));
            }
        }
        let found: wire::Markets = self.read("/markets", &with_cursor(asked, cursor)).await?;
        // One market that we do not understand must not hide the others.
        let understood = found.markets.into_iter().filter_map(|market| {
            let ticker = market.ticker.clone();
            let report = market.report();
            if let Err(error) = &report {
                tracing::warn!(ticker, %error, "a market is not understood");
            }
            report.ok()
        });
        page(Ok(understood.collect()), found.cursor)
    }

    async fn event(&self, ticker: &EventTicker) -> Result<Option<EventReport>, ExchangeError> {
        let Some(found) = self.read_one::<wire::OneEvent>(&format!("/events/{ticker}")).await? else { return Ok(None) };
        let event = found.event;
        let fee = match (&event.fee_type_override, &event.fee_multiplier_override) {
            (Some(kind), Some(multiplier)) => Some(wire::fee_rule(kind, multiplier).map_err(malformed)?),
            (None, Some(multiplier)) => Some(wire::fee_rule("quadratic", multiplier).map_err(malformed)?),
            _ => None,
        };
        Ok(Some(EventReport {
            ticker: EventTicker(event.event_ticker),
            series: SeriesTicker(event.series_ticker),
            title: event.title,
            sub_title: event.sub_title,
            mutually_exclusive: event.mutually_exclusive,
            fee,
            exchange_shard: ExchangeShard(event.exchange_index),
        }))
    }

    async fn series(&self) -> Result<Vec<SeriesReport>, ExchangeError> {
        let found: wire::SeriesList = self.read("/series", &[]).await?;
        let reports: Result<Vec<_>, _> =
            found.series.unwrap_or_default().into_iter().map(wire::Series::report).collect();
        reports.map_err(malformed)
    }

    async fn book_top(&self, ticker: &MarketTicker) -> Result<BookTop, ExchangeError> {
        let found: wire::Book =
            self.read(&format!("/markets/{ticker}/orderbook"), &[("depth", "1".to_owned())]).await?;
        found.orderbook_fp.top().map_err(malformed)
    }

    async fn status(&self) -> Result<ExchangeStatus, ExchangeError> {
        let found: hours::ExchangeState = self.read("/exchange/status", &[]).await?;
        Ok(found.report())
    }

    async fn schedule(&self) -> Result<TradingSchedule, ExchangeError> {
        let found: hours::OneSchedule = self.read("/exchange/schedule", &[]).await?;
        found.schedule.report().map_err(malformed)
    }

    async fn cash(&self) -> Result<Vec<CashReport>, ExchangeError> {
        if !self.balance.take(DEFAULT_COST).await {
            return Err(ExchangeError::RateLimited);
        }
        let found: wire::Balance = self.read("/portfolio/balance", &[]).await?;
        found.reports().map_err(malformed)
    }

    async fn positions(&self, cursor: Option<&str>) -> Result<Page<ExchangePosition>, ExchangeError> {
        let query = with_cursor(vec![("limit", PAGE.to_owned())], cursor);
        let found: wire::Positions = self.read("/portfolio/positions", &query).await?;
        page(found.market_positions.iter().map(wire::Position::report).collect(), found.cursor)
    }

    async fn fills(&self, since: Timestamp, cursor: Option<&str>) -> Result<Page<FillReport>, ExchangeError> {
        let query = vec![("min_ts", since.as_second().to_string()), ("limit", PAGE.to_owned())];
        let found: wire::Fills = self.read("/portfolio/fills", &with_cursor(query, cursor)).await?;
        page(found.fills.into_iter().map(wire::Fill::report).collect(), found.cursor)
    }

    async fn settlements(
        &self,
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<SettlementReport>, ExchangeError> {
        let query = vec![("min_ts", since.as_second().to_string()), ("limit", PAGE.to_owned())];
        let found: wire::Settlements = self.read("/portfolio/settlements", &with_cursor(query, cursor)).await?;
        page(found.settlements.iter().map(wire::Settlement::report).collect(), found.cursor)
    }

    async fn stream(&self) -> Result<Box<dyn ExchangeStream>, ExchangeError> {
        let stream =
            KalshiStream::open(&self.ws_url, self.transport.key_id(), self.transport.key(), &self.wall).await?;
        Ok(Box::new(stream))
    }
}
