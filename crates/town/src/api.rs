//! Clients of the HTTP API: an operator, a till, a phone. Each has its own credentials and knows only its own routes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hunch_kernel::SharedWallClock;
use jiff::Timestamp;
use reqwest::{Client, Method};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::push_service::Subscription;
use crate::stakes::market_row;

const TRIES_MAX: u32 = 8;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("no answer from the programme")]
    NoAnswer(#[source] reqwest::Error),
    #[error("{status} {kind}: {detail}")]
    Problem { status: u16, kind: String, detail: String, retry_after: Option<u64> },
    #[error("an answer that is not documented: {0}")]
    Undocumented(String),
}

impl ApiError {
    /// The problem's word, when the programme refused what was asked for.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            ApiError::Problem { status: 403 | 404 | 409 | 422, kind, .. } => {
                Some(kind.trim_start_matches("/problems/").to_owned())
            }
            _ => None,
        }
    }

    /// Busy, paused, too fast or no answer: another time.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, ApiError::NoAnswer(_) | ApiError::Problem { status: 429 | 503, .. })
    }
}

/// A market as a phone lists it.
#[derive(Clone, Debug)]
pub struct MarketRow {
    pub market: String,
    pub title: String,
    pub category: String,
    pub ends_at: Timestamp,
    /// Both sides are offered.
    pub yes_and_no: bool,
}

/// Adds merchants, tills and members.
#[derive(Clone)]
pub struct Operator {
    http: Client,
    base: String,
    token: String,
}

/// How a till gets its sessions: kept by the till.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TillLogin {
    pub terminal: Uuid,
    pub secret: String,
    pub shop: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberLogin {
    pub member_token: Uuid,
    pub sign_in_code: String,
}

impl Operator {
    pub fn new(http: Client, base: &str, token: &str) -> Operator {
        Operator { http, base: base.to_owned(), token: token.to_owned() }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token).json(body);
        answer(request.send().await).await
    }

    /// Adds a shop, or finds it there, and gives it a new till.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn open_shop(
        &self,
        merchant: Uuid,
        name: &str,
        category: &str,
        zone: &str,
    ) -> Result<TillLogin, ApiError> {
        let body = json!({
            "merchant": merchant, "name": name, "category": category, "zone": zone, "currency": "USD",
            "points_per_unit": 10, "per_cents": 100, "points_per_visit": 5, "points_max": 5_000
        });
        // A shop whose name or earn rule was changed since is still this shop.
        match self.post("/v1/ops/merchants", &body).await {
            Err(error) if error.refusal().as_deref() == Some("already-exists") => {}
            other => _ = other?,
        }
        let added = self.post("/v1/ops/terminals", &json!({"merchant": merchant, "name": "front till"})).await?;
        let field = |name: &str| added[name].as_str().map(str::to_owned);
        match (field("terminal").and_then(|t| t.parse().ok()), field("secret")) {
            (Some(terminal), Some(secret)) => Ok(TillLogin { terminal, secret, shop: name.to_owned() }),
            _ => Err(ApiError::Undocumented(added.to_string())),
        }
    }

    /// Adds an offer of a shop. Safe to repeat with the same id.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn add_offer(
        &self,
        offer: Uuid,
        merchant: Uuid,
        title: &str,
        bonus_points: i64,
        valid: std::ops::Range<Timestamp>,
    ) -> Result<(), ApiError> {
        let body = json!({
            "offer": offer, "merchant": merchant, "title": title, "bonus_points": bonus_points,
            "valid_from": valid.start, "valid_to": valid.end
        });
        self.post("/v1/ops/offers", &body).await.map(|_| ())
    }

    /// How many orders are not over, as the live view says.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn open_orders(&self) -> Result<i64, ApiError> {
        let live = answer(self.http.get(format!("{}/v1/ops/live", self.base)).bearer_auth(&self.token).send().await);
        let live = live.await?;
        live["orders"]["open"].as_i64().ok_or_else(|| ApiError::Undocumented(live.to_string()))
    }

    /// Proposes that a paid market should have ended otherwise; gives the correction.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn propose_correction(&self, market: &str, yes: bool, reason: &str) -> Result<Uuid, ApiError> {
        let (result, value) = if yes { ("yes", "1") } else { ("no", "0") };
        let wish = json!({"market": market, "result": result, "value": value, "reason": reason});
        id(&self.post("/v1/ops/corrections", &wish).await?, "correction")
    }

    /// Approves what somebody else proposed.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn approve_correction(&self, correction: Uuid) -> Result<(), ApiError> {
        let path = format!("{}/v1/ops/corrections/{correction}/approval", self.base);
        answer(self.http.post(path).bearer_auth(&self.token).send().await).await.map(|_| ())
    }

    /// The corrections that are not over.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn open_corrections(&self) -> Result<Vec<Value>, ApiError> {
        let path = format!("{}/v1/ops/corrections", self.base);
        let list = answer(self.http.get(path).bearer_auth(&self.token).send().await).await?;
        list["corrections"].as_array().cloned().ok_or_else(|| ApiError::Undocumented(list.to_string()))
    }

    /// Takes members in; each entry as the API documents it.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn add_members(&self, members: Vec<Value>, reusable_codes: bool) -> Result<Vec<MemberLogin>, ApiError> {
        let body = json!({"members": members, "reusable_codes": reusable_codes});
        let added = self.post("/v1/ops/members", &body).await?;
        serde_json::from_value(added["members"].clone()).map_err(|e| ApiError::Undocumented(e.to_string()))
    }
}

/// A till with an open session.
#[derive(Clone)]
pub struct Till {
    http: Client,
    base: String,
    wall: SharedWallClock,
    session: Uuid,
    key: Vec<u8>,
}

/// A receipt as the till reports it.
#[derive(Clone, Debug, Serialize)]
pub struct Purchase {
    pub receipt: String,
    pub member_token: Uuid,
    pub amount_cents: i64,
    pub currency: &'static str,
    pub purchased_at: Timestamp,
}

impl Till {
    /// # Errors
    /// What the programme answers.
    pub async fn open(http: Client, base: &str, wall: SharedWallClock, login: &TillLogin) -> Result<Till, ApiError> {
        let body = json!({"terminal": login.terminal, "secret": login.secret});
        let opened = answer(http.post(format!("{base}/v1/pos/sessions")).json(&body).send().await).await?;
        let key = opened["key"].as_str().and_then(|k| STANDARD.decode(k).ok());
        match (opened["session"].as_str().and_then(|s| s.parse().ok()), key) {
            (Some(session), Some(key)) => Ok(Till { http, base: base.to_owned(), wall, session, key }),
            _ => Err(ApiError::Undocumented(opened.to_string())),
        }
    }

    /// Reports a purchase and says (purchase id, points). Sends it again as often as it takes.
    ///
    /// # Errors
    /// A refusal, or no answer after many tries.
    pub async fn report(&self, purchase: &Purchase) -> Result<(Uuid, i64), ApiError> {
        let answer = self.send("/v1/pos/purchases", &json!(purchase)).await?;
        let id = answer["purchase"].as_str().and_then(|p| p.parse().ok());
        id.zip(answer["earned_points"].as_i64()).ok_or_else(|| ApiError::Undocumented(answer.to_string()))
    }

    /// Reports several at once; gives (points, refused).
    ///
    /// # Errors
    /// A refusal of the whole batch, or no answer after many tries.
    pub async fn report_all(&self, purchases: &[Purchase]) -> Result<(i64, usize), ApiError> {
        let answer = self.send("/v1/pos/purchases/batch", &json!({"purchases": purchases})).await?;
        let results = answer["results"].as_array().ok_or_else(|| ApiError::Undocumented(answer.to_string()))?;
        let points = results.iter().filter_map(|r| r["recorded"]["earned_points"].as_i64()).sum();
        Ok((points, results.iter().filter(|r| !r["problem"].is_null()).count()))
    }

    /// Takes a whole receipt back; gives the points taken at once.
    ///
    /// # Errors
    /// A refusal, or no answer after many tries.
    pub async fn take_back(&self, purchase: Uuid) -> Result<i64, ApiError> {
        let answer = self.send("/v1/pos/returns", &json!({"purchase": purchase})).await?;
        answer["taken_points"].as_i64().ok_or_else(|| ApiError::Undocumented(answer.to_string()))
    }

    /// Reports a purchase once, whatever comes of it, and gives the points.
    ///
    /// # Errors
    /// What the programme answers, also that it is busy, or no answer.
    pub async fn try_report(&self, purchase: &Purchase) -> Result<i64, ApiError> {
        let answer = self.send_once("/v1/pos/purchases", &json!(purchase).to_string()).await?;
        answer["earned_points"].as_i64().ok_or_else(|| ApiError::Undocumented(answer.to_string()))
    }

    /// The same request again and again until it is answered: it has one effect however often it arrives.
    async fn send(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let bytes = body.to_string();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.send_once(path, &bytes).await {
                Err(error) if error.is_passing() && tries < TRIES_MAX => {
                    tokio::time::sleep(Duration::from_millis(20 << tries)).await;
                }
                other => return other,
            }
        }
    }

    async fn send_once(&self, path: &str, body: &str) -> Result<Value, ApiError> {
        let timestamp = self.wall.now().as_second();
        let request = self
            .http
            .request(Method::POST, format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .header("hunch-session", self.session.to_string())
            .header("hunch-timestamp", timestamp)
            .header("hunch-signature", self.signature(timestamp, path, body.as_bytes()))
            .body(body.to_owned());
        answer(request.send().await).await
    }

    /// The purchase as a command line. Its signature is good for some minutes.
    pub fn curl(&self, base_url: &str, purchase: &Purchase) -> String {
        let (path, body, timestamp) = ("/v1/pos/purchases", json!(purchase).to_string(), self.wall.now().as_second());
        let signature = self.signature(timestamp, path, body.as_bytes());
        format!(
            "curl {base_url}{path} -H 'content-type: application/json' -H 'hunch-session: {}' -H 'hunch-timestamp: {timestamp}' -H 'hunch-signature: {signature}' -d '{body}'",
            self.session
        )
    }

    /// The purchase as it goes over a kept connection to `host`, for those who send more than a client library can.
    pub fn wire(&self, host: &str, purchase: &Purchase) -> Vec<u8> {
        let (path, body, timestamp) = ("/v1/pos/purchases", json!(purchase).to_string(), self.wall.now().as_second());
        let (session, length) = (self.session, body.len());
        let signature = self.signature(timestamp, path, body.as_bytes());
        format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nhunch-session: {session}\r\nhunch-timestamp: {timestamp}\r\nhunch-signature: {signature}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    fn signature(&self, timestamp: i64, path: &str, body: &[u8]) -> String {
        let digest = hex::encode(digest::digest(&digest::SHA256, body));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        hex::encode(hmac::sign(&key, format!("{timestamp}\nPOST\n{path}\n{digest}").as_bytes()))
    }
}

/// A member's phone.
#[derive(Clone)]
pub struct Phone {
    http: Client,
    base: String,
    token: String,
}

impl Phone {
    /// # Errors
    /// What the programme answers.
    pub async fn sign_in(http: Client, base: &str, code: &str) -> Result<Phone, ApiError> {
        let signed_in =
            answer(http.post(format!("{base}/v1/sign-in")).json(&json!({"code": code})).send().await).await?;
        match signed_in["token"].as_str() {
            Some(token) => Ok(Phone { token: token.to_owned(), http, base: base.to_owned() }),
            None => Err(ApiError::Undocumented(signed_in.to_string())),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, ApiError> {
        answer(self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await).await
    }

    /// Subscribes this phone to pushes.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn subscribe(&self, to: &Subscription) -> Result<(), ApiError> {
        let body = json!({"device": to.device, "endpoint": to.endpoint, "p256dh": to.p256dh, "auth": to.auth});
        let request = self.http.post(format!("{}/v1/me/push-subscriptions", self.base)).bearer_auth(&self.token);
        answer(request.json(&body).send().await).await.map(|_| ())
    }

    /// The text of a notice that a push named, as the programme shows it now.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn open_notice(&self, notice: Uuid) -> Result<String, ApiError> {
        let opened = self.get(&format!("/v1/notices/{notice}")).await?;
        opened["text"].as_str().map(str::to_owned).ok_or_else(|| ApiError::Undocumented(opened.to_string()))
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, ApiError> {
        let request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        answer(request.json(body).send().await).await
    }

    /// Says where the phone is.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn be_at(&self, (latitude, longitude): (f64, f64)) -> Result<(), ApiError> {
        let place = json!({"latitude": latitude, "longitude": longitude, "accuracy_metres": 25.0});
        self.send(Method::PUT, "/v1/me/place", &place).await.map(|_| ())
    }

    pub(crate) async fn exclude(&self, term: &str) -> Result<(), ApiError> {
        match self.send(Method::POST, "/v1/me/exclusion", &json!({"term": term})).await {
            // Excluded since an earlier start of the town.
            Err(error) if error.refusal().is_some() => Ok(()),
            other => other.map(|_| ()),
        }
    }

    pub(crate) async fn limit(&self, day: i64, week: i64) -> Result<(), ApiError> {
        self.send(Method::PUT, "/v1/me/limits", &json!({"day_points": day, "week_points": week})).await.map(|_| ())
    }

    /// Open markets as far as the programme looks ahead, soonest end first.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn markets(&self) -> Result<Vec<MarketRow>, ApiError> {
        let list = self.get("/v1/markets?status=open&ends=any&limit=200").await?;
        let rows = list["markets"].as_array().ok_or_else(|| ApiError::Undocumented(list.to_string()))?;
        Ok(rows.iter().filter_map(market_row).collect())
    }

    /// Asks for a quote and gives its id.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn quote(&self, market: &str, side: &str, points: i64) -> Result<Uuid, ApiError> {
        let wish = json!({"market": market, "side": side, "stake_points": points});
        let quote = self.send(Method::POST, "/v1/quotes", &wish).await?;
        id(&quote, "quote")
    }

    /// Confirms a quote and gives the order's id; safe to repeat.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn confirm(&self, quote: Uuid) -> Result<Uuid, ApiError> {
        let request = self.http.post(format!("{}/v1/orders", self.base)).bearer_auth(&self.token);
        let request = request.header("idempotency-key", quote.to_string()).json(&json!({"quote": quote}));
        id(&answer(request.send().await).await?, "order")
    }

    /// Whether an order was filled, at least in part.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn filled(&self) -> Result<bool, ApiError> {
        let positions = self.get("/v1/positions?status=all").await?;
        Ok(positions["positions"].as_array().is_some_and(|held| !held.is_empty()))
    }

    /// (positions and orders that are not over, points paid so far).
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn results(&self) -> Result<(usize, i64), ApiError> {
        let positions = self.get("/v1/positions?status=all").await?;
        let orders = self.get("/v1/me/orders").await?;
        let rows = |list: &Value, name: &str| list[name].as_array().cloned().unwrap_or_default();
        let held = rows(&positions, "positions");
        let open = held.iter().filter(|p| p["state"] != "paid").count()
            + rows(&orders, "orders").iter().filter(|o| o["ended_at"].is_null()).count();
        let paid = held.iter().filter(|p| p["state"] == "paid").filter_map(|p| p["value_points"].as_i64()).sum();
        Ok((open, paid))
    }

    /// What can be spent, minus what is owed.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn balance(&self) -> Result<i64, ApiError> {
        let balance = self.get("/v1/me/balance").await?;
        let field = |name: &str| balance[name].as_i64();
        field("available_points")
            .zip(field("owed_points"))
            .map(|(have, owe)| have - owe)
            .ok_or_else(|| ApiError::Undocumented(balance.to_string()))
    }

    /// The sum of every line of the statement, read page by page.
    ///
    /// # Errors
    /// What the programme answers.
    pub async fn statement_total(&self) -> Result<i64, ApiError> {
        let (mut total, mut cursor) = (0, String::new());
        loop {
            let page = self.get(&format!("/v1/me/statement?limit=200&cursor={cursor}")).await?;
            let lines = page["lines"].as_array().ok_or_else(|| ApiError::Undocumented(page.to_string()))?;
            total += lines.iter().filter_map(|l| l["total_points"].as_i64()).sum::<i64>();
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return Ok(total),
            }
        }
    }
}

/// The key that the programme signs its pushes with.
///
/// # Errors
/// What the programme answers.
pub async fn push_key(http: &Client, base: &str) -> Result<String, ApiError> {
    let key = answer(http.get(format!("{base}/v1/push-key")).send().await).await?;
    key["application_server_key"].as_str().map(str::to_owned).ok_or_else(|| ApiError::Undocumented(key.to_string()))
}

fn id(body: &Value, name: &str) -> Result<Uuid, ApiError> {
    body[name].as_str().and_then(|s| s.parse().ok()).ok_or_else(|| ApiError::Undocumented(body.to_string()))
}

async fn answer(sent: Result<reqwest::Response, reqwest::Error>) -> Result<Value, ApiError> {
    let response = sent.map_err(ApiError::NoAnswer)?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
    let bytes = response.bytes().await.map_err(ApiError::NoAnswer)?;
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    Err(ApiError::Problem { status, kind: text("type"), detail: text("detail"), retry_after })
}
