//! The port's operations, each as the exchange publishes them.

use async_trait::async_trait;
use hunch_exchange::{
    BookTop, CashReport, EventReport, Exchange, ExchangeError, ExchangePosition, ExchangeStatus, ExchangeStream,
    FillReport, LeftOut, MarketQuery, MarketReport, NewOrder, OrderReport, Page, SentAt, SeriesReport,
    SettlementReport, SubmitOutcome, TradingSchedule, Turn,
};
use hunch_kernel::{EventTicker, MarketTicker, SharedWallClock, Side};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::elements::{Elements, List, elements, understood};
use crate::errors::{ApiError, classify_submission};
use crate::hours;
use crate::left_out::Register;
use crate::limits::Bucket;
use crate::signing::SigningKey;
use crate::socket::KalshiStream;
use crate::transport::Transport;
use crate::wire::{self, WireError};

const DEFAULT_COST: i64 = 10;
const CANCEL_COST: i64 = 2;
const PAGE: &str = "1000";

const ORDERS: List = List { name: "orders", named_by: &["client_order_id", "order_id"] };
const MARKETS: List = List { name: "markets", named_by: &["ticker"] };
const EVENTS: List = List { name: "events", named_by: &["event_ticker"] };
const SERIES: List = List { name: "series", named_by: &["ticker"] };
const POSITIONS: List = List { name: "positions", named_by: &["ticker"] };
const FILLS: List = List { name: "fills", named_by: &["fill_id", "trade_id", "order_id"] };
const SETTLEMENTS: List = List { name: "settlements", named_by: &["ticker"] };

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
    left_out: Register,
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
            left_out: Register::default(),
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
    /// A page of what could be read of a list. What could not is taken down by name.
    fn page<W: DeserializeOwned, T>(
        &self,
        list: List,
        found: (Vec<Value>, String),
        report: impl Fn(W) -> Result<T, WireError>,
    ) -> Page<T> {
        let (values, cursor) = found;
        let now = self.wall.now();
        let Elements { read, names, left_out } = elements(list, values, now, report);
        self.left_out.note(list.name, &names, &left_out, now);
        // The last page has an empty cursor, or none.
        let next = Some(cursor).filter(|cursor| !cursor.is_empty());
        Page { items: read, next, left_out: left_out.into_iter().map(|one| one.name).collect() }
    }

    /// An answer about one thing that was asked for by name. One that is not understood is taken down as well.
    fn one<T>(&self, list: List, name: &str, read: Result<T, WireError>) -> Result<T, ExchangeError> {
        let now = self.wall.now();
        let (names, left_out) = match &read {
            Ok(_) => (vec![name.to_owned()], Vec::new()),
            Err(error) => (Vec::new(), vec![list.left_out(name.to_owned(), error, now)]),
        };
        self.left_out.note(list.name, &names, &left_out, now);
        read.map_err(malformed)
    }

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

/// What an answer about one thing says of it.
fn part(answer: &mut Value, name: &str) -> Value {
    answer.get_mut(name).map(Value::take).unwrap_or_default()
}

fn names(order: &Value, client_order_id: Uuid) -> bool {
    order.get("client_order_id").and_then(Value::as_str).is_some_and(|id| id.parse() == Ok(client_order_id))
}

/// Whether it can be told whose order it is. One without a client order id was not placed by us.
fn has_name(order: &Value) -> bool {
    order.is_object() && order.get("client_order_id").is_none_or(|id| id.is_string() || id.is_null())
}

/// One of them may be the order that was looked for: it must not count as absent.
fn nameless(ticker: &MarketTicker, count: usize) -> ExchangeError {
    ExchangeError::Malformed(format!("{count} orders of {ticker} do not say whose they are"))
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
        let (mut cursor, mut unnamed) = (None, 0);
        for _ in 0..wire::PAGES_MAX {
            let query = vec![
                ("ticker", ticker.0.clone()),
                ("min_ts", from.as_second().to_string()),
                ("limit", PAGE.to_owned()),
            ];
            let found: wire::Orders = self.read("/portfolio/orders", &with_cursor(query, cursor.as_deref())).await?;
            if let Some(order) = found.orders.iter().find(|order| names(order, client_order_id)) {
                let wanted = client_order_id.to_string();
                let report = understood::<wire::Order>(order.clone()).and_then(|order| order.report(client_order_id));
                return self.one(ORDERS, &wanted, report).map(Some);
            }
            unnamed += found.orders.iter().filter(|order| !has_name(order)).count();
            if found.cursor.is_empty() || Some(&found.cursor) == cursor.as_ref() {
                return if unnamed == 0 { Ok(None) } else { Err(nameless(ticker, unnamed)) };
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
        let Some(mut found) = self.read_one::<Value>(&format!("/markets/{ticker}")).await? else { return Ok(None) };
        let report = understood::<wire::Market>(part(&mut found, "market")).and_then(wire::Market::report);
        self.one(MARKETS, ticker.as_str(), report).map(Some)
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
        Ok(self.page(MARKETS, (found.markets, found.cursor), wire::Market::report))
    }

    async fn event(&self, ticker: &EventTicker) -> Result<Option<EventReport>, ExchangeError> {
        let Some(mut found) = self.read_one::<Value>(&format!("/events/{ticker}")).await? else { return Ok(None) };
        let report = understood::<wire::Event>(part(&mut found, "event")).and_then(wire::Event::report);
        self.one(EVENTS, ticker.as_str(), report).map(Some)
    }

    async fn series(&self) -> Result<Vec<SeriesReport>, ExchangeError> {
        let found: wire::SeriesList = self.read("/series", &[]).await?;
        Ok(self.page(SERIES, (found.series, String::new()), wire::Series::report).items)
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
        Ok(self.page(POSITIONS, (found.market_positions, found.cursor), |one: wire::Position| one.report()))
    }

    async fn fills(&self, since: Timestamp, cursor: Option<&str>) -> Result<Page<FillReport>, ExchangeError> {
        let query = vec![("min_ts", since.as_second().to_string()), ("limit", PAGE.to_owned())];
        let found: wire::Fills = self.read("/portfolio/fills", &with_cursor(query, cursor)).await?;
        Ok(self.page(FILLS, (found.fills, found.cursor), wire::Fill::report))
    }

    async fn settlements(
        &self,
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<SettlementReport>, ExchangeError> {
        let query = vec![("min_ts", since.as_second().to_string()), ("limit", PAGE.to_owned())];
        let found: wire::Settlements = self.read("/portfolio/settlements", &with_cursor(query, cursor)).await?;
        Ok(self.page(SETTLEMENTS, (found.settlements, found.cursor), |one: wire::Settlement| one.report()))
    }

    fn left_out(&self) -> Vec<LeftOut> {
        self.left_out.all()
    }

    async fn stream(&self) -> Result<Box<dyn ExchangeStream>, ExchangeError> {
        let stream =
            KalshiStream::open(&self.ws_url, self.transport.key_id(), self.transport.key(), &self.wall).await?;
        Ok(Box::new(stream))
    }
}
