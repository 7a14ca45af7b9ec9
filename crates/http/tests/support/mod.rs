//! A whole service on a database of its own, asked in memory.
#![allow(dead_code, reason = "each test program uses its own part")]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hunch_db::testing::TestDb;
use hunch_engage::{Engage, Surroundings, Today};
use hunch_exchange_sim::{ExchangeSim, KeyConfig, KeyPair, Listing, Px, Qty, SimConfig, SimHandle};
use hunch_http::{App, OperatorKey, PushTerms, RateLimits, Readiness, TicketKey, TurnedAway, WebhookKey};
use hunch_kalshi::{Kalshi, KalshiConfig};
use hunch_kernel::{Clock, Clocks, ManualClock, MemberId, Points, SeededEntropy, Shard};
use hunch_ledger::testing::{RunningBatcher, run_batcher};
use hunch_ledger::{Batcher, open_members};
use hunch_log::Tail;
use hunch_loyalty::{
    CodeKey, Directory, PurchaseHandler, Purchases, ReturnHandler, ReviewHandler, SessionKeys, TerminalSessions, sign,
};
use hunch_markets::Markets;
use hunch_messaging::OpenedHandler;
use hunch_messaging::push::EndpointRules;
use hunch_operators::Proposals;
use hunch_people::{Keys, People};
use hunch_safeguards::{HouseLimits, Safeguards, StandingHandler, TownPlace};
use hunch_trading::{CorrectionHandler, Doors, OutcomeHandler, PayoutHandler, StakeHandler, Trading};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

pub const OPERATOR: &str = "operator-token-of-the-test";
pub const APPROVER: &str = "approver-token-of-the-test";
pub const WEBHOOK: &str = "webhook-secret-of-the-test";
/// A market of the weather: YES costs 35 points, NO 67.
pub const RAIN: &str = "KXRAIN-26NOV23-NYC";
pub const MEMBER: Uuid = Uuid::from_u128(77);
pub const MERCHANT: Uuid = Uuid::from_u128(9);

pub struct Service {
    pub app: Arc<App>,
    pub db: TestDb,
    pub clock: Arc<ManualClock>,
    pub router: Router,
    /// What the operators' listener answers with.
    pub operators: Router,
    pub turned_away: TurnedAway,
    pub sim: SimHandle,
    pub markets: Arc<Markets>,
    pub trading: Arc<Trading>,
    engage: Arc<Engage<Safeguards, Arc<dyn Surroundings>>>,
    joined: AtomicUsize,
    _running: RunningBatcher,
}

/// A till with an open session.
pub struct Till {
    pub terminal: Uuid,
    pub session: String,
    pub key: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    pub headers: axum::http::HeaderMap,
    pub body: Value,
}

impl Service {
    pub async fn start() -> Service {
        Service::on(TestDb::new().await, None).await
    }

    /// A sandbox whose visitors are in New York.
    pub async fn sandbox() -> Service {
        let db = TestDb::new().await;
        sqlx::query("UPDATE people.programme SET sandbox = true").execute(db.owner()).await.unwrap();
        let town = TownPlace { latitude: 40.7484, longitude: -73.9857, accuracy_metres: 25.0 };
        Service::on(db, Some(town)).await
    }

    async fn on(db: TestDb, town: Option<TownPlace>) -> Service {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let clocks = Clocks::manual(clock.clone());
        let entropy = SeededEntropy::shared(1);
        open_members(&mut db.app().acquire().await.unwrap(), &[MemberId(MEMBER)], 8).await.unwrap();
        let tail = Tail::new(8);
        let mut builder = Batcher::builder(db.app().clone(), clocks.clone(), tail.clone());
        let (door, returns) = (builder.register(PurchaseHandler), builder.register(ReturnHandler));
        let reviews = builder.register(ReviewHandler);
        let opened = builder.register(OpenedHandler);
        let house = HouseLimits { day: Points(1_000), week: Points(3_000) };
        let standing = builder.register(StandingHandler { house });
        let people = People::new(db.db().clone(), clocks.clone(), entropy.clone(), 8, Keys::new(b"a key of tests"));
        let mut safeguards = Safeguards::new(db.db().clone(), people.clone(), clocks.clone(), house);
        if let Some(town) = town {
            safeguards = safeguards.with_town(town).unwrap();
        }
        let wall = clocks.wall.clone();
        let doors = Doors {
            stakes: builder.register(StakeHandler { house, wall: wall.clone() }),
            outcomes: builder.register(OutcomeHandler { wall: wall.clone() }),
            payouts: builder.register(PayoutHandler { wall: wall.clone() }),
            corrections: builder.register(CorrectionHandler { wall }),
        };
        let (sim, exchange) = exchange(&clocks).await;
        let markets = Arc::new(Markets::new(db.app().clone(), exchange, clocks.clone(), tail.clone()));
        let trading = Arc::new(Trading::new(
            db.app().clone(),
            markets.clone(),
            safeguards.clone(),
            clocks.clone(),
            entropy.clone(),
            8,
            doors,
        ));
        let today: Arc<dyn Surroundings> = Arc::new(Today { markets: markets.clone(), trading: trading.clone() });
        let engage = Engage::new(db.app().clone(), tail.clone(), safeguards.clone(), today, clocks.clone(), opened);
        let engage = Arc::new(engage);
        let directory = Directory::new(db.app().clone(), clocks.wall.clone());
        let readiness = Readiness::default();
        readiness.set(true);
        let batcher = builder.build();
        let app = App {
            pool: db.app().clone(),
            clocks: clocks.clone(),
            entropy: entropy.clone(),
            people,
            safeguards,
            standing,
            engage: engage.clone(),
            markets: markets.clone(),
            trading: trading.clone(),
            push: PushTerms {
                rules: EndpointRules { allow_loopback_http: true, any_port_and_name: false },
                public_key: "key".to_owned(),
            },
            directory: directory.clone(),
            purchases: Purchases {
                velocity: hunch_loyalty::Velocity::new(db.app().clone(), hunch_loyalty::VelocityLimits::HIGH),
                directory,
                codes: CodeKey::new(b"test key"),
                door,
                pool: db.app().clone(),
                clocks: clocks.clone(),
                shards: 8,
            },
            returns,
            reviews,
            terminal_sessions: TerminalSessions::new(
                db.app().clone(),
                clocks.clone(),
                entropy,
                SessionKeys::new(b"a key of tests"),
            ),
            operators: vec![OperatorKey::of_token("operator", OPERATOR), OperatorKey::of_token("approver", APPROVER)],
            tickets: TicketKey::new(b"a key of tests"),
            proposals: Proposals::new(db.app().clone(), clocks.clone()),
            rule_points_alone: 10_000,
            tills_max: 256,
            limits: RateLimits::new(&clocks.wall),
            webhook: WebhookKey::new(WEBHOOK),
            readiness,
            trouble: batcher.trouble(),
            tail,
            closing: CancellationToken::new(),
            metrics: Arc::new(String::new),
        };
        let _running = run_batcher(&batcher);
        let app = Arc::new(app);
        let both = hunch_http::services(&app, false);
        Service {
            app,
            db,
            clock,
            router: both.public,
            operators: both.operators,
            turned_away: both.turned_away,
            sim,
            markets,
            trading,
            engage,
            joined: AtomicUsize::new(0),
            _running,
        }
    }

    /// Lets the programme act on everything in the log.
    pub async fn engage(&self) {
        for shard in 0..8 {
            self.engage.consume_step(Shard(shard), 1_000).await.unwrap();
        }
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        self.ask_of(&self.router, request).await
    }

    /// As [`Service::ask`], of one of the two listeners.
    pub async fn ask_of(&self, router: &Router, request: Request<Body>) -> Answer {
        let response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 10_000_000).await.unwrap();
        let body =
            serde_json::from_slice(&bytes).unwrap_or(Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn operator(&self, path: &str, body: Value) -> Answer {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {OPERATOR}"))
            .header("content-type", "application/json");
        self.ask(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// A request with the credentials that a route's scheme asks for. `path` is what a till signs.
    #[allow(clippy::too_many_arguments, reason = "who asks, what and how are as many things")]
    pub fn prove(
        &self,
        request: axum::http::request::Builder,
        scheme: &str,
        method: &str,
        path: &str,
        body: &[u8],
        member: &str,
        till: &Till,
    ) -> axum::http::request::Builder {
        let now = self.clock.now().as_second();
        match scheme {
            "member" => request.header("authorization", format!("Bearer {member}")),
            "operator" => request.header("authorization", format!("Bearer {OPERATOR}")),
            "terminal" => request
                .header("hunch-session", &till.session)
                .header("hunch-timestamp", now)
                .header("hunch-signature", sign(&till.key, now, method, path, body)),
            "webhook" => request.header("hunch-webhook-signature", hunch_http::sign_webhook(WEBHOOK, now, body)),
            _ => request,
        }
    }

    /// Someone who joined and signed in through the public API: session token and member token.
    pub async fn member(&self) -> (String, String) {
        self.member_in("America/New_York").await
    }

    /// As [`Service::member`], at home in a time zone.
    pub async fn member_in(&self, zone: &str) -> (String, String) {
        // Each is a person of their own.
        let n = self.joined.fetch_add(1, Ordering::Relaxed);
        let person = json!({"full_name": format!("Ann Example {n}"), "email": "", "phone": "", "birth_date": "1990-05-01", "home_zone": zone});
        self.sign_in(person).await
    }

    /// A second session of someone who joined by [`Service::member`], first of all.
    pub async fn sign_in_again(&self, member: &str) -> String {
        let member = MemberId(member.parse().unwrap());
        let code = self.app.people.new_codes(&[member], false, "operator").await.unwrap().remove(0);
        self.sign_in_with(&code).await.0
    }

    /// Takes somebody in, or finds them, and signs them in.
    pub async fn sign_in(&self, person: Value) -> (String, String) {
        let added = self.operator("/v1/ops/members", json!({"members": [person]})).await;
        assert_eq!(added.status, 201, "{}", added.body);
        self.sign_in_with(added.body["members"][0]["sign_in_code"].as_str().unwrap()).await
    }

    /// Session token and member token.
    pub async fn sign_in_with(&self, code: &str) -> (String, String) {
        let code = json!({ "code": code }).to_string();
        let request = Request::post("/v1/sign-in").header("content-type", "application/json");
        let answer = self.ask(request.body(Body::from(code)).unwrap()).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        (text(&answer.body["token"]), text(&answer.body["member_token"]))
    }

    /// Rosa's Bakery with one till and an open session, all through the public API.
    pub async fn till(&self) -> Till {
        self.till_of(MERCHANT, "Rosa's Bakery").await
    }

    pub async fn till_of(&self, id: Uuid, name: &str) -> Till {
        let merchant = json!({
            "merchant": id, "name": name, "category": "bakery", "zone": "America/New_York",
            "currency": "USD", "points_per_unit": 10, "per_cents": 100, "points_max": 5000
        });
        assert_eq!(self.operator("/v1/ops/merchants", merchant).await.status, 201);
        let added = self.operator("/v1/ops/terminals", json!({"merchant": id, "name": "front"})).await;
        assert_eq!(added.status, 201);
        let body = json!({"terminal": added.body["terminal"], "secret": added.body["secret"]});
        let request = Request::post("/v1/pos/sessions").header("content-type", "application/json");
        let opened = self.ask(request.body(Body::from(body.to_string())).unwrap()).await;
        assert_eq!(opened.status, 201, "{}", opened.body);
        let key = STANDARD.decode(opened.body["key"].as_str().unwrap()).unwrap();
        let terminal = added.body["terminal"].as_str().unwrap().parse().unwrap();
        Till { terminal, session: opened.body["session"].as_str().unwrap().to_owned(), key }
    }

    /// The rain market is open, and the programme knows it.
    pub async fn rain(&self) {
        let now = self.clock.now();
        let mut listing = Listing::single(RAIN, "Climate and Weather", now, now + SignedDuration::from_hours(6));
        listing.markets[0].title = "Will it rain in New York today?".to_owned();
        listing.markets[0].yes_sub_title = "New York".to_owned();
        listing.markets[0].no_sub_title = "New York".to_owned();
        self.sim.list(&listing.settlement_timer(60)).unwrap();
        self.sim.set_book(RAIN, &[(Px::cents(33), Qty::whole(200))], &[(Px::cents(65), Qty::whole(120))]).unwrap();
        self.trading.open_books().await.unwrap();
        self.markets.sync_step().await.unwrap();
    }

    /// Orders are sent, looked up and paid until nothing is left to do.
    pub async fn trade(&self) {
        while self.trading.dispatch_step(100).await.unwrap() + self.trading.resolve_step(100).await.unwrap() > 0 {}
        self.markets.poll_step().await.unwrap();
        self.trading.settle_step().await.unwrap();
    }

    pub async fn send(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        self.ask(request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(Request::get(path).header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap())
            .await
    }

    /// A member in New York who has just earned so many points at Rosa's.
    pub async fn staker(&self, till: &Till, points: i64) -> (String, String) {
        let (token, member) = self.member().await;
        let place = json!({"latitude": 40.7484, "longitude": -73.9857, "accuracy_metres": 30.0});
        assert_eq!(self.send(&token, "PUT", "/v1/me/place", place).await.status, 200);
        let bought = json!({
            "receipt": format!("staker-{member}"), "member_token": member, "amount_cents": points * 10, "currency": "USD",
            "purchased_at": self.clock.now()
        });
        assert_eq!(self.signed(till, "/v1/pos/purchases", &bought.to_string()).await.status, 200);
        (token, member)
    }

    pub async fn signed(&self, till: &Till, path: &str, body: &str) -> Answer {
        use hunch_kernel::Clock;
        let timestamp = self.clock.now().as_second();
        let request = Request::post(path)
            .header("content-type", "application/json")
            .header("hunch-session", &till.session)
            .header("hunch-timestamp", timestamp)
            .header("hunch-signature", sign(&till.key, timestamp, "POST", path, body.as_bytes()));
        self.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    }
}

async fn exchange(clocks: &Clocks) -> (SimHandle, Arc<Kalshi>) {
    let pair = KeyPair::ed25519(SeededEntropy::shared(7).as_ref()).unwrap();
    let key = KeyConfig { key_id: "key-1".to_owned(), public_key_pem: pair.public_pem.clone(), account: 1 };
    let sim = ExchangeSim::start(SimConfig::quiet(clocks.clone(), vec![key])).await.unwrap();
    let config = KalshiConfig {
        rest_url: sim.rest_url(),
        ws_url: sim.ws_url(),
        key_id: "key-1".to_owned(),
        private_key_pem: SecretString::from(pair.private_pem),
    };
    let client = Kalshi::new(&config, clocks.wall.clone()).unwrap();
    (sim, Arc::new(client))
}

pub fn purchase(receipt: &str, amount_cents: i64) -> Value {
    json!({
        "receipt": receipt, "member_token": MEMBER, "amount_cents": amount_cents, "currency": "USD",
        "purchased_at": "2026-11-23T11:59:00Z"
    })
}
