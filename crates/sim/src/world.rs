//! One programme with everything around it, wired as the executable wires it, on one thread: nothing runs unless an
//! operation drives it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hunch_db::testing::TestDb;
use hunch_engage::{Engage, Surroundings, Today};
use hunch_exchange_sim::{ExchangeSim, KeyConfig, KeyPair, Listing, Px, Qty, SimConfig, SimHandle};
use hunch_kalshi::{Kalshi, KalshiConfig};
use hunch_kernel::{
    Clock, Clocks, DeviceId, ManualClock, MemberId, MerchantId, Points, SeededEntropy, Shard, SharedEntropy, TerminalId,
};
use hunch_ledger::{Batcher, Door};
use hunch_log::Tail;
use hunch_loyalty::{
    CodeKey, Directory, NewMerchant, PurchaseHandler, Purchases, ReturnHandler, ReviewHandler, add_merchant,
    add_terminal,
};
use hunch_markets::Markets;
use hunch_messaging::push::{EndpointRules, PushTransport, VapidKey, VapidSigner};
use hunch_messaging::{NewSubscription, OpenedHandler, Sender, SenderLimits, subscribe};
use hunch_people::{Keys, NewMember, People};
use hunch_safeguards::{HouseLimits, Safeguards, StandingHandler};
use hunch_town::{PushService, Pushed};
use hunch_trading::{CorrectionHandler, Doors, OutcomeHandler, PayoutHandler, StakeHandler, Trading};
use hunch_vault::Person;
use jiff::SignedDuration;
use jiff::civil::{Date, date};
use secrecy::SecretString;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::op::{MEMBERS, Place, TILLS};

pub const HOUSE: HouseLimits = HouseLimits { day: Points(2_500), week: Points(9_000) };
pub const SHARDS: u16 = 8;
pub const ZONE: &str = "America/New_York";
const RULES: EndpointRules = EndpointRules { allow_loopback_http: true, any_port_and_name: false };
/// A Thursday in the season when clocks change.
const BEGIN: &str = "2026-10-29T14:00:00Z";
/// How far what the exchange tells of orders, fills and cash is behind: an order just taken is not to be found yet.
pub const READS_LAG: std::time::Duration = std::time::Duration::from_secs(2);
/// Operations speak of the newest markets; older ones have mostly ended.
const NEWEST: usize = 5;
const SHOPS: [(&str, &str); 3] = [("Rosa's Bakery", "bakery"), ("Blue Cup", "cafe"), ("Corner Store", "grocer")];

pub struct World {
    pub db: TestDb,
    pub clock: Arc<ManualClock>,
    pub clocks: Clocks,
    pub exchange: SimHandle,
    pub phones: PushService,
    pub pushed: mpsc::UnboundedReceiver<Pushed>,
    pub members: Vec<MemberId>,
    pub devices: Vec<DeviceId>,
    pub tills: Vec<TerminalId>,
    pub markets_listed: Vec<String>,
    pub parts: Parts,
    pair: KeyPair,
    vapid: Vec<u8>,
    entropy: SharedEntropy,
}

/// Everything that lives in a process and dies with it.
pub struct Parts {
    pub batcher: Arc<Batcher>,
    pub purchases: Purchases,
    pub returns: Door<ReturnHandler>,
    pub reviews: Door<ReviewHandler>,
    pub standing: Door<StandingHandler>,
    pub people: People,
    pub gate: Safeguards,
    pub markets: Arc<Markets>,
    pub trading: Arc<Trading>,
    pub engage: Engage<Safeguards, Arc<dyn Surroundings>>,
    pub sender: Sender<Safeguards>,
}

impl World {
    pub async fn new() -> anyhow::Result<World> {
        let db = TestDb::new().await;
        let clock = ManualClock::at(BEGIN.parse()?);
        let clocks = Clocks::manual(clock.clone());
        let entropy = SeededEntropy::shared(1);
        let pair = KeyPair::ed25519(entropy.as_ref()).ok_or_else(|| anyhow::anyhow!("no key pair"))?;
        let key = KeyConfig { key_id: "key-1".to_owned(), public_key_pem: pair.public_pem.clone(), account: 1 };
        let tolerance = std::time::Duration::from_secs(3_600);
        let quiet = SimConfig::quiet(clocks.clone(), vec![key]);
        let config = SimConfig { clock_tolerance: tolerance, portfolio_lag: READS_LAG, ..quiet };
        let exchange = ExchangeSim::start(config).await?;
        let vapid = VapidKey::generate_pkcs8()?;
        let signer = VapidKey::from_pkcs8(&vapid)?.public_base64();
        let (arrivals, pushed) = mpsc::unbounded_channel();
        let phones = PushService::start(&signer, clocks.wall.clone(), arrivals).await?;
        let parts = Parts::wire(&db, &clocks, &exchange, &pair, &vapid, &entropy)?;
        let mut world = World {
            db,
            clock,
            clocks,
            exchange,
            phones,
            pushed,
            members: Vec::new(),
            devices: Vec::new(),
            tills: Vec::new(),
            markets_listed: Vec::new(),
            parts,
            pair,
            vapid,
            entropy,
        };
        world.settle_in().await?;
        Ok(world)
    }

    /// Shops, members with phones, and the first markets.
    async fn settle_in(&mut self) -> anyhow::Result<()> {
        // The looks after each operation sum up members' entries, which the programme never does.
        sqlx::query("CREATE INDEX ON ledger.entry (member)").execute(self.db.owner()).await?;
        self.parts.trading.open_books().await?;
        let now = self.clock.now();
        for (n, (name, category)) in SHOPS.iter().enumerate() {
            let merchant = NewMerchant {
                id: MerchantId(Uuid::from_u128(n as u128 + 1)),
                name: (*name).to_owned(),
                category: (*category).to_owned(),
                zone: ZONE.to_owned(),
                currency: "USD".to_owned(),
                points_per_unit: 1,
                per_cents: 10,
                points_per_visit: n as i64,
                points_max: 5_000,
            };
            add_merchant(self.db.app(), &merchant, "operator", now).await?;
        }
        for n in 0..TILLS {
            let merchant = MerchantId(Uuid::from_u128(u128::from(n) % SHOPS.len() as u128 + 1));
            let name = format!("till {n}");
            self.tills.push(add_terminal(self.db.app(), &self.entropy, merchant, &name, "operator", now).await?.0);
        }
        let people = (0..MEMBERS).map(|n| NewMember {
            member: Some(MemberId(Uuid::from_u128(1_000 + u128::from(n)))),
            person: Person {
                full_name: format!("Member {n}"),
                email: String::new(),
                phone: String::new(),
                birth_date: birth_date(n),
            },
            home_zone: ZONE.to_owned(),
        });
        self.members = self.parts.people.join(people.collect(), "operator").await?;
        for member in self.members.clone() {
            let phone = self.phones.phone(&self.entropy);
            let device = DeviceId(phone.device);
            let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
            let new = NewSubscription {
                member,
                device,
                endpoint: phone.endpoint,
                p256dh: decode(&phone.p256dh),
                auth: decode(&phone.auth),
                session: None,
            };
            subscribe(self.db.app(), &self.entropy, RULES, &new, now).await?;
            self.devices.push(device);
        }
        for hours in [3, 6, 9] {
            self.list(hours, false)?;
        }
        self.parts.markets.sync_step().await?;
        Ok(())
    }

    pub fn list(&mut self, hours: u8, slow: bool) -> anyhow::Result<()> {
        let n = self.markets_listed.len();
        let (now, ticker) = (self.clock.now(), format!("KXSIM{n}-26-A"));
        let close = now + SignedDuration::from_hours(i64::from(hours));
        let listing = Listing::single(&ticker, "Climate and Weather", now, close);
        self.exchange.list(&listing.shard(n % 4).settlement_timer(if slow { 3_600 } else { 60 }))?;
        self.book(&ticker, 35, 40)?;
        self.markets_listed.push(ticker);
        Ok(())
    }

    /// One of the newest markets.
    pub fn ticker(&self, which: u8) -> String {
        let newest = &self.markets_listed[self.markets_listed.len().saturating_sub(NEWEST)..];
        newest[usize::from(which) % newest.len()].clone()
    }

    /// What [`World::ticker`] is asked for the newest market of all.
    pub fn newest(&self) -> u8 {
        self.markets_listed.len().clamp(1, NEWEST) as u8 - 1
    }

    /// Offers of so many contracts on both sides of a price in cents.
    pub fn book(&self, ticker: &str, cents: i64, depth: i64) -> anyhow::Result<()> {
        let side = |cents: i64| {
            let bid = (cents >= 1 && depth > 0).then_some((Px::cents(cents), Qty::whole(depth)));
            bid.into_iter().collect::<Vec<_>>()
        };
        Ok(self.exchange.set_book(ticker, &side(cents - 1), &side(99 - cents))?)
    }

    /// The process dies; what is in the database and at the exchange stays.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.parts = Parts::wire(&self.db, &self.clocks, &self.exchange, &self.pair, &self.vapid, &self.entropy)?;
        self.parts.trading.open_books().await?;
        Ok(())
    }

    /// Does `work` while the batcher answers what it hands in. Nothing of the batcher outlives it.
    pub async fn driven<T>(&self, work: impl Future<Output = T>) -> T {
        let batcher = &self.parts.batcher;
        let shards = (0..SHARDS).map(|shard| async move {
            loop {
                batcher.wait(Shard(shard as i16)).await;
                batcher.step(Shard(shard as i16)).await;
            }
        });
        tokio::select! {
            biased;
            out = work => out,
            _ = futures_util::future::join_all(shards) => unreachable!("the batcher's loops do not end"),
        }
    }

    pub fn seconds(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
        self.exchange.advance();
    }

    pub async fn place(&self, member: MemberId, place: Place) -> bool {
        let (latitude, longitude) = match place {
            Place::NewYork => (40.7484, -73.9857),
            Place::Boston => (42.3601, -71.0589),
            Place::Nowhere => (0.0, 0.0),
        };
        self.parts.gate.attest_place(member, latitude, longitude, 30.0).await.is_ok()
    }
}

/// Most are grown-ups; one turns 21 and one 18 in the first days, one is a child.
pub fn birth_date(member: u8) -> Date {
    match member {
        0 => date(2005, 10, 31),
        1 => date(2012, 5, 1),
        2 => date(2008, 11, 1),
        n => date(1970 + i16::from(n), 3, 14),
    }
}

impl Parts {
    fn wire(
        db: &TestDb,
        clocks: &Clocks,
        exchange: &SimHandle,
        pair: &KeyPair,
        vapid: &[u8],
        entropy: &SharedEntropy,
    ) -> anyhow::Result<Parts> {
        let config = KalshiConfig {
            rest_url: exchange.rest_url(),
            ws_url: exchange.ws_url(),
            key_id: "key-1".to_owned(),
            private_key_pem: SecretString::from(pair.private_pem.clone()),
        };
        let client = Arc::new(Kalshi::new(&config, clocks.wall.clone())?);
        let (pool, wall) = (db.app().clone(), clocks.wall.clone());
        let tail = Tail::new(SHARDS);
        let mut builder = Batcher::builder(pool.clone(), clocks.clone(), tail.clone());
        let door = builder.register(PurchaseHandler);
        let returns = builder.register(ReturnHandler);
        let reviews = builder.register(ReviewHandler);
        let opened = builder.register(OpenedHandler);
        let standing = builder.register(StandingHandler { house: HOUSE });
        let doors = Doors {
            stakes: builder.register(StakeHandler { house: HOUSE, wall: wall.clone() }),
            outcomes: builder.register(OutcomeHandler { wall: wall.clone() }),
            payouts: builder.register(PayoutHandler { wall: wall.clone() }),
            corrections: builder.register(CorrectionHandler { wall: wall.clone() }),
        };
        let people =
            People::new(db.db().clone(), clocks.clone(), entropy.clone(), SHARDS, Keys::new(b"a key of tests"));
        let gate = Safeguards::new(db.db().clone(), people.clone(), clocks.clone(), HOUSE);
        let markets = Arc::new(Markets::new(pool.clone(), client, clocks.clone(), tail.clone()));
        let trading = Arc::new(Trading::new(
            pool.clone(),
            markets.clone(),
            gate.clone(),
            clocks.clone(),
            entropy.clone(),
            SHARDS,
            doors,
        ));
        let today: Arc<dyn Surroundings> = Arc::new(Today { markets: markets.clone(), trading: trading.clone() });
        let signer = VapidSigner::new(VapidKey::from_pkcs8(vapid)?, "mailto:sim@example.com", wall.clone())?;
        let purchases = Purchases {
            velocity: hunch_loyalty::Velocity::new(db.app().clone(), hunch_loyalty::VelocityLimits::HIGH),
            directory: Directory::new(pool.clone(), wall.clone()),
            codes: CodeKey::new(b"simulated"),
            door,
            pool: pool.clone(),
            clocks: clocks.clone(),
            shards: SHARDS,
        };
        Ok(Parts {
            batcher: builder.build(),
            purchases,
            returns,
            reviews,
            standing,
            engage: Engage::new(pool.clone(), tail, gate.clone(), today, clocks.clone(), opened),
            sender: Sender {
                pool,
                transport: PushTransport::new(signer, RULES, wall)?,
                gate: gate.clone(),
                clocks: clocks.clone(),
                entropy: entropy.clone(),
                // A step is over when everything is answered, so that a seed's history does not hang on the machine.
                limits: SenderLimits { patience: std::time::Duration::from_secs(30), ..SenderLimits::default() },
            },
            people,
            gate,
            markets,
            trading,
        })
    }
}
