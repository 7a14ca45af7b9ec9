//! Notices, subscriptions and the sender on a real database, against a push service on loopback that
//! decrypts what it gets with an implementation of its own.

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use hunch_db::testing::TestDb;
use hunch_kernel::{Clocks, DeviceId, ManualClock, MemberId, Points, SeededEntropy, SharedEntropy, WallTime, shard_of};
use hunch_ledger::ShardHandler;
use hunch_log::ShardTx;
use hunch_messaging::copy::{betting_word, purchase_receipt};
use hunch_messaging::push::{EndpointRules, PushTransport, VapidKey, VapidSigner};
use hunch_messaging::{
    Cause, MessagingError, NewNotice, NewSubscription, OpenPrompt, PromptGate, PromptSitting, PromptState, PushTruth,
    SendReport, Sender, SenderLimits, SessionOf, SubscribeError, Wanted, Withheld, end_with_session, inbox,
    mark_fetched, notice, notice_id, open_prompts, push_counts, subscribe, subscriptions, unsubscribe, why_no_push,
    withdraw_prompt, withhold_at_fetch, write_notices,
};
use hunch_people::{Keys, NewMember, People};
use hunch_safeguards::testing::{offer_permit, prompt_permit};
use hunch_safeguards::{
    BreakTerm, Change, ExclusionTerm, HouseLimits, OfferPermit, PromptPermit, PromptsHad, Safeguards, StandingHandler,
    StandingRequest, note_losses, note_rejections,
};
use hunch_vault::Person;
use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;
use web_push_native::p256::SecretKey;
use web_push_native::{Auth, decrypt};

const RULES: EndpointRules = EndpointRules { allow_loopback_http: true, any_port_and_name: false };

/// One phone as the push service sees it: its keys, what it answers next, what it got.
struct Phone {
    secret: SecretKey,
    auth: [u8; 16],
    answers: Vec<(u16, Option<&'static str>)>,
    got: Vec<Push>,
    /// Its service takes a message and does not answer while this is closed.
    answering: Arc<tokio::sync::Semaphore>,
}

#[derive(Clone, Debug)]
struct Push {
    text: serde_json::Value,
    bytes: Vec<u8>,
    topic: String,
    ttl: u64,
    urgency: String,
    encrypted_bytes: usize,
}

type Phones = Arc<Mutex<HashMap<u128, Phone>>>;

async fn receive(
    State(phones): State<Phones>,
    Path(id): Path<u128>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let answering = phones.lock().unwrap()[&id].answering.clone();
    let _ = answering.acquire().await.unwrap();
    let mut phones = phones.lock().unwrap();
    let phone = phones.get_mut(&id).unwrap();
    assert!(header("authorization").starts_with("vapid t="));
    assert_eq!(header("content-encoding"), "aes128gcm");
    let (status, retry) = if phone.answers.is_empty() { (201, None) } else { phone.answers.remove(0) };
    if status == 201 {
        let bytes = decrypt(body.to_vec(), &phone.secret, &Auth::clone_from_slice(&phone.auth)).unwrap();
        phone.got.push(Push {
            text: serde_json::from_slice(&bytes).unwrap(),
            bytes,
            topic: header("topic"),
            ttl: header("ttl").parse().unwrap(),
            urgency: header("urgency"),
            encrypted_bytes: body.len(),
        });
    }
    let mut answer = HeaderMap::new();
    if let Some(retry) = retry {
        answer.insert("retry-after", retry.parse().unwrap());
    }
    (StatusCode::from_u16(status).unwrap(), answer)
}

/// The gate as a switch. `lapses` lets a permit be given and void by the time of the last look.
#[derive(Clone, Default)]
struct Switch {
    closed: Arc<AtomicBool>,
    lapses: Arc<AtomicBool>,
}

/// Standing at which the switch gives permits; the database knows no standing, which is version 1.
const VERSION: i64 = 1;

#[async_trait]
impl PromptGate for Switch {
    type Sitting = Switch;

    async fn sit(&self, _: &[MemberId]) -> Switch {
        self.clone()
    }

    async fn prompt_still_holds(&self, _: &PromptPermit) -> bool {
        !self.lapses.load(Ordering::SeqCst)
    }

    async fn offer_still_holds(&self, _: &OfferPermit) -> bool {
        !self.lapses.load(Ordering::SeqCst)
    }
}

impl Switch {
    fn asked(&self) -> Result<(), Withheld> {
        let refusal = Withheld { code: "excluded", sentence: "You are excluded.".to_owned() };
        if self.closed.load(Ordering::SeqCst) { Err(refusal) } else { Ok(()) }
    }
}

impl PromptSitting for Switch {
    fn zone(&self, _: MemberId) -> Option<jiff::tz::TimeZone> {
        Some(jiff::tz::TimeZone::UTC)
    }

    fn allows_prompt(&self, _: MemberId, _: Uuid, category: &str) -> Result<(), Withheld> {
        assert_eq!(category, "weather");
        self.asked()
    }

    fn prompt(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        cause: Uuid,
        category: &str,
    ) -> Result<PromptPermit, Withheld> {
        assert!(device.is_some() && category == "weather");
        self.asked()?;
        Ok(prompt_permit(member, device, cause, category, VERSION, WallTime::MIN))
    }

    fn offer(&self, member: MemberId, device: Option<DeviceId>) -> Result<OfferPermit, Withheld> {
        self.asked()?;
        Ok(offer_permit(member, device, VERSION, WallTime::MIN))
    }

    fn prompted(&mut self, _: MemberId, _: Uuid) {}

    fn prompts_had(&self, _: MemberId) -> PromptsHad {
        PromptsHad::default()
    }
}

struct World {
    db: TestDb,
    clock: Arc<ManualClock>,
    entropy: SharedEntropy,
    phones: Phones,
    port: u16,
    gate: Switch,
    sender: Arc<Sender<Switch>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

const MEMBER: MemberId = MemberId(Uuid::from_u128(77));

impl World {
    async fn new() -> World {
        let db = TestDb::new().await;
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let clocks = Clocks::manual(clock.clone());
        let entropy = SeededEntropy::shared(3);
        let phones = Phones::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().route("/push/{id}", post(receive)).with_state(phones.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let key = VapidKey::from_pkcs8(&VapidKey::generate_pkcs8().unwrap()).unwrap();
        let signer = VapidSigner::new(key, "mailto:ops@hunch.example", clocks.wall.clone()).unwrap();
        let gate = Switch::default();
        let sender = Arc::new(Sender {
            pool: db.app().clone(),
            transport: PushTransport::new(signer, RULES, clocks.wall.clone()).unwrap(),
            gate: gate.clone(),
            clocks,
            entropy: entropy.clone(),
            // A step of a test ends when everything is answered, however busy the machine.
            limits: SenderLimits { patience: Duration::from_secs(8), ..SenderLimits::default() },
        });
        World { db, clock, entropy, phones, port, gate, sender, server }
    }

    fn now(&self) -> Timestamp {
        hunch_kernel::Clock::now(&*self.clock)
    }

    fn browser(&self, id: u128, member: MemberId) -> NewSubscription {
        let mut scalar = [1u8; 32];
        scalar[16..].copy_from_slice(&id.to_be_bytes());
        let secret = SecretKey::from_slice(&scalar).unwrap();
        let p256dh = secret.public_key().to_sec1_bytes().to_vec();
        let auth = [9u8; 16];
        self.phones.lock().unwrap().insert(
            id,
            Phone {
                secret,
                auth,
                answers: Vec::new(),
                got: Vec::new(),
                answering: Arc::new(tokio::sync::Semaphore::new(1)),
            },
        );
        let endpoint = format!("http://127.0.0.1:{}/push/{id}", self.port);
        NewSubscription {
            member,
            device: DeviceId(Uuid::from_u128(id)),
            endpoint,
            p256dh,
            auth: auth.to_vec(),
            session: None,
        }
    }

    async fn phone(&self, id: u128) {
        let new = self.browser(id, MEMBER);
        subscribe(self.db.app(), &self.entropy, RULES, &new, self.now()).await.unwrap();
    }

    /// A phone whose push service is another host than the others'.
    async fn phone_elsewhere(&self, id: u128) {
        let mut new = self.browser(id, MEMBER);
        new.endpoint = new.endpoint.replace("127.0.0.1", "localhost");
        subscribe(self.db.app(), &self.entropy, RULES, &new, self.now()).await.unwrap();
    }

    /// Closes the phone's service until the permit is dropped.
    fn hangs(&self, id: u128) -> tokio::sync::OwnedSemaphorePermit {
        self.phones.lock().unwrap()[&id].answering.clone().try_acquire_owned().unwrap()
    }

    fn answers(&self, id: u128, answers: &[(u16, Option<&'static str>)]) {
        self.phones.lock().unwrap().get_mut(&id).unwrap().answers = answers.to_vec();
    }

    fn got(&self, id: u128) -> Vec<Push> {
        self.phones.lock().unwrap()[&id].got.clone()
    }

    async fn tell(&self, purchase: u128, what: What) {
        let new = || NewNotice {
            member: MEMBER,
            cause: Cause::Purchase(Uuid::from_u128(purchase)),
            body: purchase_receipt(Points(1), &[], "Rosa's Bakery"),
            wanted: self.wanted(purchase, what),
            expires_at: self.now() + SignedDuration::from_hours(2),
            caused_wall: self.clock.wall(),
        };
        let mut conn = self.db.app().acquire().await.unwrap();
        assert_eq!(write_notices(&mut conn, vec![new()], self.now(), self.clock.wall()).await.unwrap(), 1);
        let again = write_notices(&mut conn, vec![new(), new()], self.now(), self.clock.wall()).await.unwrap();
        assert_eq!(again, 0, "once per cause");
    }

    fn wanted(&self, purchase: u128, what: What) -> Wanted {
        let (cause, until) = (Uuid::from_u128(purchase), self.now() + SignedDuration::from_mins(90));
        match what {
            What::Nothing(reason) => Wanted::Nothing { reason: reason.to_owned() },
            What::Receipt(alone) => Wanted::Receipt { alone: alone.map(str::to_owned) },
            What::Offer => Wanted::Offer {
                permit: offer_permit(MEMBER, None, VERSION, WallTime::MIN),
                offer: Uuid::from_u128(4),
                title: "Warm rolls at Rosa's: 20 points extra".to_owned(),
                until,
            },
            What::Market => Wanted::Market {
                permit: prompt_permit(MEMBER, None, cause, "weather", VERSION, WallTime::MIN),
                ticker: "KXRAINBOS-26NOV23".to_owned(),
                title: "Ends today: Will it rain in Boston?".to_owned(),
                until,
            },
        }
    }

    async fn why(&self, purchase: u128) -> PushTruth {
        why_no_push(self.db.app(), Uuid::from_u128(purchase)).await.unwrap()
    }

    async fn step(&self) -> SendReport {
        self.sender.send_step(100).await.unwrap()
    }
}

/// What a notice is to say besides the receipt.
#[derive(Clone, Copy)]
enum What {
    Nothing(&'static str),
    Receipt(Option<&'static str>),
    Offer,
    Market,
}

const RECEIPT: What = What::Receipt(None);

#[tokio::test]
async fn nothing_is_sent_to_a_phone_whose_session_is_over() {
    let world = World::new().await;
    let until = |hours: i64| Some(world.clock.wall() + SignedDuration::from_hours(hours));
    for (id, ends) in [(1, until(1)), (2, until(3)), (3, None)] {
        let session = ends.map(|ends_at| SessionOf { sha256: vec![id as u8; 32], ends_at });
        let new = NewSubscription { session, ..world.browser(id, MEMBER) };
        subscribe(world.db.app(), &world.entropy, RULES, &new, world.now()).await.unwrap();
    }
    world.tell(5, What::Market).await;
    assert_eq!(world.step().await.accepted, 3);
    world.clock.advance(SignedDuration::from_hours(2));
    world.tell(6, What::Market).await;
    assert_eq!(world.step().await.accepted, 2, "the first phone's session ran out");
    // The second phone signs out with a push on its way; what was subscribed before sessions were kept ends with it.
    world.tell(7, RECEIPT).await;
    assert_eq!(end_with_session(world.db.app(), MEMBER, &[2; 32]).await.unwrap(), 2);
    assert_eq!(end_with_session(world.db.app(), MEMBER, &[2; 32]).await.unwrap(), 0);
    assert_eq!(world.step().await.accepted, 0);
    assert_eq!((world.got(1).len(), world.got(2).len(), world.got(3).len()), (1, 2, 2));
}

#[tokio::test]
async fn a_notice_reaches_every_device_sealed_and_short_lived() {
    let world = World::new().await;
    world.phone(1).await;
    world.phone(2).await;
    world.tell(5, What::Market).await;
    assert_eq!(world.why(5).await, PushTruth::Waiting { attempts: 0 });
    assert_eq!(world.step().await, SendReport { claimed: 2, accepted: 2, ..SendReport::default() });
    assert_eq!(world.step().await, SendReport::default(), "nothing is sent twice");
    for phone in [1, 2] {
        let got = world.got(phone);
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].text["text"], "You earned 1 point at Rosa's Bakery.");
        assert_eq!(got[0].text["more"], true);
        assert_eq!(betting_word(&got[0].bytes), None);
        assert!(!String::from_utf8_lossy(&got[0].bytes).contains(&MEMBER.to_string()), "no token in a push");
        assert_eq!((got[0].ttl, got[0].urgency.as_str(), got[0].encrypted_bytes), (7200, "high", 1102));
    }
    assert_eq!(world.why(5).await, PushTruth::Sent { devices: 2, withheld: None });
    let (standing, outcome): (i64, String) = sqlx::query_as("SELECT standing, outcome FROM messaging.attempt LIMIT 1")
        .fetch_one(world.db.auditor())
        .await
        .unwrap();
    assert_eq!((standing, outcome.as_str()), (VERSION, "accepted"));
}

#[tokio::test]
async fn the_inbox_has_every_notice_and_the_truth_about_its_push() {
    let world = World::new().await;
    world.tell(1, What::Nothing("shown_in_app")).await;
    world.clock.advance(SignedDuration::from_secs(1));
    world.tell(2, RECEIPT).await;
    world.clock.advance(SignedDuration::from_secs(1));
    world.phone(1).await;
    world.tell(3, What::Receipt(Some("under_age"))).await;
    world.step().await;
    let page = inbox(world.db.app(), MEMBER, None, 2).await.unwrap();
    assert_eq!(page.iter().map(|e| e.cause.as_u128()).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(page[0].push, PushTruth::Sent { devices: 1, withheld: Some("under_age".to_owned()) });
    assert_eq!(page[1].push, PushTruth::NoSubscription);
    let rest = inbox(world.db.app(), MEMBER, Some((page[1].made_at, page[1].id)), 2).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].push, PushTruth::NothingBetter { reason: "shown_in_app".to_owned() });
    assert_eq!(world.why(4).await, PushTruth::NotDecided);
    assert!(inbox(world.db.app(), MemberId(Uuid::from_u128(1)), None, 9).await.unwrap().is_empty());
    assert_eq!(world.got(1)[0].text["more"], false);
}

#[tokio::test]
async fn a_queued_prompt_of_an_excluded_member_goes_out_as_a_receipt() {
    let world = World::new().await;
    world.phone(1).await;
    world.tell(5, What::Market).await;
    world.gate.closed.store(true, Ordering::SeqCst);
    let report = world.step().await;
    assert_eq!((report.accepted, report.withheld), (1, 1));
    let got = world.got(1);
    assert_eq!((got.len(), got[0].text["more"].as_bool()), (1, Some(false)));
    assert_eq!(world.why(5).await, PushTruth::Sent { devices: 1, withheld: Some("excluded".to_owned()) });
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM messaging.withheld WHERE reason = 'excluded' AND stage = 'send'")
            .fetch_one(world.db.auditor())
            .await
            .unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_permit_that_lapses_just_before_the_socket_sends_no_prompt() {
    let world = World::new().await;
    world.phone(1).await;
    world.tell(5, What::Market).await;
    world.gate.lapses.store(true, Ordering::SeqCst);
    assert_eq!(world.step().await.withheld, 1);
    assert_eq!(world.got(1)[0].text["more"], false);
    let prompts: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.attempt WHERE content = 'prompt'")
        .fetch_one(world.db.auditor())
        .await
        .unwrap();
    assert_eq!(prompts, 0);
}

#[tokio::test]
async fn a_prompt_already_handed_over_is_replaced_under_its_topic() {
    let world = World::new().await;
    world.phone(1).await;
    world.tell(5, What::Market).await;
    world.step().await;
    let mut conn = world.db.app().acquire().await.unwrap();
    let now = world.now();
    let id = notice_id(MEMBER, Cause::Purchase(Uuid::from_u128(5)));
    assert!(withdraw_prompt(&mut conn, id, "on_break", now, world.clock.wall()).await.unwrap());
    assert!(!withdraw_prompt(&mut conn, id, "on_break", now, world.clock.wall()).await.unwrap(), "once");
    world.step().await;
    let got = world.got(1);
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].topic, got[1].topic, "the second replaces the first");
    assert_eq!((got[0].text["more"].as_bool(), got[1].text["more"].as_bool()), (Some(true), Some(false)));
    let stored = notice(world.db.app(), MEMBER, id).await.unwrap().unwrap();
    assert_eq!((stored.prompt_state, stored.reason.as_deref()), (PromptState::Withheld, Some("on_break")));
    assert!(!inbox(world.db.app(), MEMBER, None, 1).await.unwrap()[0].has_more);
    mark_fetched(world.db.app(), id, now).await.unwrap();
    assert_eq!(notice(world.db.app(), MemberId(Uuid::from_u128(1)), id).await.unwrap(), None, "not another member's");
}

#[tokio::test]
async fn a_prompt_withdrawn_while_in_flight_is_replaced_too() {
    let world = World::new().await;
    world.phone(1).await;
    world.tell(5, What::Market).await;
    // Marked as sending by a step that has not come back yet.
    sqlx::query("UPDATE messaging.delivery SET state = 'sending', attempts = 1, leased_until = $1")
        .bind(jiff_sqlx::ToSqlx::to_sqlx(world.now()))
        .execute(world.db.app())
        .await
        .unwrap();
    let mut conn = world.db.app().acquire().await.unwrap();
    let id = notice_id(MEMBER, Cause::Purchase(Uuid::from_u128(5)));
    withdraw_prompt(&mut conn, id, "excluded", world.now(), world.clock.wall()).await.unwrap();
    // The next owner after the lease sees the withdrawal.
    world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(world.step().await.accepted, 1);
    assert_eq!(world.got(1)[0].text["more"], false);
}

#[tokio::test]
async fn a_dead_sender_is_followed_after_its_lease() {
    let world = World::new().await;
    world.phone(1).await;
    world.tell(5, RECEIPT).await;
    sqlx::query("UPDATE messaging.delivery SET state = 'sending', attempts = 1, leased_until = $1")
        .bind(jiff_sqlx::ToSqlx::to_sqlx(world.now() + SignedDuration::from_secs(60)))
        .execute(world.db.app())
        .await
        .unwrap();
    assert_eq!(world.step().await.claimed, 0);
    world.clock.advance(SignedDuration::from_secs(61));
    assert_eq!(world.step().await.accepted, 1);
}

#[tokio::test]
async fn many_steps_at_once_send_each_delivery_once() {
    let world = World::new().await;
    world.phone(1).await;
    for purchase in 0..60 {
        world.tell(purchase, RECEIPT).await;
    }
    let steps = (0..6).map(|_| {
        let sender = world.sender.clone();
        tokio::spawn(async move { sender.send_step(20).await.unwrap().accepted })
    });
    let mut sent = 0;
    for step in steps.collect::<Vec<_>>() {
        sent += step.await.unwrap();
    }
    sent += world.step().await.accepted;
    assert_eq!((sent, world.got(1).len()), (60, 60));
}

/// With one batch taken whole and stored at its end, the healthy phone's pushes waited for the hanging one's.
#[tokio::test]
async fn a_host_that_hangs_holds_up_its_own_deliveries_only() {
    let mut world = World::new().await;
    Arc::get_mut(&mut world.sender).unwrap().limits =
        SenderLimits { concurrent_max: 16, patience: Duration::from_millis(200), ..SenderLimits::default() };
    world.phone_elsewhere(1).await;
    let hangs = world.hangs(1);
    world.clock.advance(SignedDuration::from_secs(1));
    world.phone(2).await;
    for purchase in 0..40 {
        world.tell(purchase, RECEIPT).await;
    }
    let sending = "SELECT count(*) FROM messaging.delivery WHERE state = 'sending'";
    let open = async || sqlx::query_scalar::<_, i64>(sending).fetch_one(world.db.auditor()).await.unwrap();
    while world.got(2).len() < 40 {
        world.step().await;
        assert!(open().await <= 2, "two of sixteen for a host that nobody knows, and nothing claimed beside them");
        world.clock.advance(SignedDuration::from_secs(6));
    }
    assert!(world.got(1).is_empty());
    let accepted = "SELECT count(*) FROM messaging.delivery WHERE state = 'accepted'";
    let accepted: i64 = sqlx::query_scalar(accepted).fetch_one(world.db.auditor()).await.unwrap();
    assert_eq!(accepted, 40, "stored while the other host still hangs");
    drop(hangs);
    let told = || world.got(1).iter().map(|push| push.topic.clone()).collect::<HashSet<_>>().len();
    while told() < 40 {
        world.step().await;
        world.clock.advance(SignedDuration::from_secs(6));
    }
    world.step().await;
    assert_eq!((open().await, world.got(2).len()), (0, 40), "each once");
}

#[tokio::test]
async fn a_prompt_withheld_on_one_device_is_replaced_on_the_others_of_its_own_notice() {
    let world = World::new().await;
    world.phone(1).await;
    world.phone(2).await;
    world.answers(1, &[(503, None)]);
    world.tell(5, What::Market).await;
    assert_eq!(world.step().await.accepted, 1);
    world.clock.advance(SignedDuration::from_mins(31));
    world.tell(6, What::Market).await;
    world.gate.closed.store(true, Ordering::SeqCst);
    // The first notice is withheld on one device, the second on both: also on the one that shows the first.
    assert_eq!(world.step().await.withheld, 3);
    world.step().await;
    let first = world.got(2)[0].topic.clone();
    let shown: Vec<bool> =
        world.got(2).iter().filter(|p| p.topic == first).map(|p| p.text["more"].as_bool().unwrap()).collect();
    assert_eq!(shown, [true, false], "the prompt, then the receipt that replaces it");
}

#[tokio::test]
async fn gone_later_and_refused_are_different_things() {
    let world = World::new().await;
    for phone in 1..=4 {
        world.phone(phone).await;
        world.clock.advance(SignedDuration::from_secs(1));
    }
    world.answers(1, &[(410, None)]);
    world.answers(2, &[(429, Some("30")), (503, None)]);
    world.answers(3, &[(400, None)]);
    world.answers(4, &[(404, None)]);
    world.tell(5, RECEIPT).await;
    let report = world.step().await;
    assert_eq!((report.gone, report.retried, report.refused), (2, 1, 1));
    let left = subscriptions(world.db.app(), MEMBER).await.unwrap();
    assert_eq!(left.iter().map(|(_, device)| device.0.as_u128()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(world.why(5).await, PushTruth::Waiting { attempts: 1 });
    world.clock.advance(SignedDuration::from_secs(29));
    assert_eq!(world.step().await.claimed, 0, "not before the service asked");
    world.clock.advance(SignedDuration::from_secs(17));
    assert_eq!(world.step().await.retried, 1);
    world.clock.advance(SignedDuration::from_secs(60));
    assert_eq!(world.step().await.accepted, 1);
    assert_eq!(world.why(5).await, PushTruth::Sent { devices: 1, withheld: None });
}

/// What is logged while it lives.
struct Logged {
    bytes: Arc<Mutex<Vec<u8>>>,
    _until_dropped: tracing::subscriber::DefaultGuard,
}

impl Logged {
    fn begin() -> Logged {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let into = bytes.clone();
        let writer = move || Line(into.clone());
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
        Logged { bytes, _until_dropped: tracing::subscriber::set_default(subscriber) }
    }

    fn lines(&self, with: &str) -> Vec<String> {
        let text = String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

struct Line(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Gone for ever ends a subscription. A refusal keeps it, since it may be our own mistake, and is said once, without the
/// address that is the member's secret.
#[tokio::test]
async fn what_is_gone_ends_and_a_refusal_is_said_once() {
    let world = World::new().await;
    for phone in 1..=4 {
        world.phone(phone).await;
    }
    let logged = Logged::begin();
    world.answers(1, &[(410, None)]);
    world.answers(2, &[(404, None)]);
    world.answers(3, &[(403, None), (403, None), (403, None), (400, None)]);
    for purchase in 0..4 {
        world.tell(purchase, RECEIPT).await;
        world.step().await;
    }
    let left = subscriptions(world.db.app(), MEMBER).await.unwrap();
    let mut left: Vec<u128> = left.iter().map(|(_, device)| device.0.as_u128()).collect();
    left.sort_unstable();
    assert_eq!(left, [3, 4]);
    let said = logged.lines("refuses");
    assert_eq!(said.len(), 2, "403 once, then 400: {said:#?}");
    assert!(said[0].contains("status=403") && said[1].contains("status=400"), "{said:#?}");
    assert!(said.iter().all(|line| line.contains("host=\"127.0.0.1\"") && !line.contains("/push/")), "{said:#?}");
    assert_eq!(world.got(4).len(), 4);
    world.tell(9, RECEIPT).await;
    assert_eq!(world.step().await.accepted, 2, "when the mistake is mended the phone lights up again");
    let unlike = "SELECT count(*) FROM messaging.delivery WHERE state NOT IN ('accepted', 'gone', 'refused')";
    let unlike: i64 = sqlx::query_scalar(unlike).fetch_one(world.db.auditor()).await.unwrap();
    assert_eq!(unlike, 0, "nothing is tried for ever");
}

#[tokio::test]
async fn what_has_ended_is_dropped() {
    let world = World::new().await;
    world.phone(1).await;
    world.tell(5, What::Market).await;
    world.clock.advance(SignedDuration::from_hours(2));
    assert_eq!(world.step().await.expired, 1);
    assert_eq!(world.why(5).await, PushTruth::Expired);
    assert!(world.got(1).is_empty());
}

#[tokio::test]
async fn a_device_has_one_subscription_and_a_member_ten() {
    let world = World::new().await;
    let first = world.browser(1, MEMBER);
    let one = subscribe(world.db.app(), &world.entropy, RULES, &first, world.now()).await.unwrap();
    let again = subscribe(world.db.app(), &world.entropy, RULES, &first, world.now()).await.unwrap();
    assert_eq!(one, again, "the same subscription keeps its name");
    let other = NewSubscription { member: MemberId(Uuid::from_u128(78)), ..first.clone() };
    subscribe(world.db.app(), &world.entropy, RULES, &other, world.now()).await.unwrap();
    assert!(subscriptions(world.db.app(), MEMBER).await.unwrap().is_empty(), "the phone changed hands");
    for phone in 2..=13 {
        world.clock.advance(SignedDuration::from_secs(1));
        world.phone(phone).await;
    }
    let left = subscriptions(world.db.app(), MEMBER).await.unwrap();
    assert_eq!(left.iter().map(|(_, device)| device.0.as_u128()).collect::<Vec<_>>(), (4..=13).collect::<Vec<_>>());
    assert!(!unsubscribe(world.db.app(), other.member, left[0].0).await.unwrap(), "not another member's");
    assert!(unsubscribe(world.db.app(), MEMBER, left[0].0).await.unwrap());

    let strict = EndpointRules::default();
    let refused = subscribe(world.db.app(), &world.entropy, strict, &first, world.now()).await;
    assert!(matches!(refused, Err(SubscribeError::Endpoint(_))));
    let bad = NewSubscription { p256dh: [4u8; 65].to_vec(), ..first };
    let refused = subscribe(world.db.app(), &world.entropy, RULES, &bad, world.now()).await;
    assert!(matches!(refused, Err(SubscribeError::Keys(_))));
}

/// A device's id stands in addresses: whoever has seen one takes nothing from its member with it.
#[tokio::test]
async fn a_device_of_another_member_takes_nothing_away() {
    let world = World::new().await;
    let own = world.browser(1, MEMBER);
    subscribe(world.db.app(), &world.entropy, RULES, &own, world.now()).await.unwrap();
    let stranger = MemberId(Uuid::from_u128(78));
    let same_device = NewSubscription { member: stranger, device: own.device, ..world.browser(2, stranger) };
    subscribe(world.db.app(), &world.entropy, RULES, &same_device, world.now()).await.unwrap();
    for member in [MEMBER, stranger] {
        assert_eq!(subscriptions(world.db.app(), member).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn the_application_cannot_rewrite_what_was_sent() {
    let world = World::new().await;
    for sql in
        ["DELETE FROM messaging.attempt", "UPDATE messaging.withheld SET reason = 'x'", "DELETE FROM messaging.notice"]
    {
        assert!(sqlx::query(sql).execute(world.db.app()).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn a_prompt_refused_at_its_opening_is_withheld_once() {
    let world = World::new().await;
    world.tell(5, What::Market).await;
    let (pool, now) = (world.db.app(), world.now());
    let (id, cause) = (notice_id(MEMBER, Cause::Purchase(Uuid::from_u128(5))), Uuid::from_u128(5));
    let open = OpenPrompt { notice: id, cause, category: Some("weather".to_owned()) };
    assert_eq!(open_prompts(pool, MEMBER, now).await.unwrap(), [open]);
    let stored = notice(pool, MEMBER, id).await.unwrap().unwrap();
    withhold_at_fetch(pool, &stored, "place_unknown", now).await.unwrap();
    withhold_at_fetch(pool, &stored, "place_unknown", now).await.unwrap();
    assert!(open_prompts(pool, MEMBER, now).await.unwrap().is_empty());
    let counts = push_counts(world.db.auditor(), world.clock.wall()).await.unwrap();
    assert_eq!((counts.withheld, counts.accepted), (vec![("place_unknown".to_owned(), 1)], 0));
}

#[tokio::test]
async fn summaries_count_what_services_accepted() {
    let world = World::new().await;
    world.phone(1).await;
    let start = world.clock.wall();
    world.tell(5, What::Market).await;
    world.clock.advance(SignedDuration::from_millis(120));
    world.step().await;
    let counts = push_counts(world.db.auditor(), start).await.unwrap();
    assert_eq!((counts.accepted, counts.purchases, counts.p50_ms, counts.p99_ms), (1, 1, 120, 120));
}

/// A phone that was off until the suggestion had ended still hears of the points, and is not pushed the suggestion.
#[tokio::test]
async fn a_receipt_outlives_its_suggestion() {
    let world = World::new().await;
    world.phone(1).await;
    world.answers(1, &[(503, None), (503, None)]);
    world.tell(5, What::Market).await;
    world.clock.advance(SignedDuration::from_secs(1));
    world.tell(6, What::Offer).await;
    assert_eq!(world.step().await.retried, 2);
    world.clock.advance(SignedDuration::from_mins(91));
    assert_eq!(world.step().await, SendReport { claimed: 2, accepted: 2, ..SendReport::default() });
    let got = world.got(1);
    assert!(
        got.iter()
            .all(|push| push.text["text"] == "You earned 1 point at Rosa's Bakery." && push.text["more"] == false)
    );
}

/// Receipts that come one after the other are each told: nothing of them is alike but the words.
#[tokio::test]
async fn receipts_in_quick_succession_are_each_told() {
    let world = World::new().await;
    world.phone(1).await;
    for (purchase, what) in [What::Market, RECEIPT, What::Offer, RECEIPT, RECEIPT].into_iter().enumerate() {
        // The next is there before the first has left.
        world.tell(purchase as u128, what).await;
        world.clock.advance(SignedDuration::from_millis(20));
    }
    assert_eq!(world.step().await.accepted, 5);
    let got = world.got(1);
    let told = |of: fn(&Push) -> String| got.iter().map(of).collect::<HashSet<_>>().len();
    assert_eq!(told(|push| push.topic.clone()), 5, "no topic replaces another's");
    assert_eq!(told(|push| push.text["notice"].to_string()), 5, "no notification replaces another on the phone");
    assert!(got.iter().all(|push| push.urgency == "high"), "a suggestion does not slow its receipt down");
}

/// What is due longest goes first, whatever it carries: a receipt with a suggestion is a receipt.
#[tokio::test]
async fn no_kind_of_content_is_overtaken() {
    let world = World::new().await;
    world.phone(1).await;
    for (purchase, what) in [(1, What::Offer), (2, RECEIPT), (3, What::Market), (4, RECEIPT)] {
        world.tell(purchase, what).await;
        world.clock.advance(SignedDuration::from_secs(1));
    }
    for _ in 0..4 {
        world.sender.send_step(1).await.unwrap();
    }
    let order: Vec<String> = world.got(1).iter().map(|push| push.text["notice"].as_str().unwrap().to_owned()).collect();
    let told = (1..=4).map(|n| notice_id(MEMBER, Cause::Purchase(Uuid::from_u128(n))).to_string());
    assert_eq!(order, told.collect::<Vec<_>>());
}

#[tokio::test]
async fn an_offer_leaves_by_its_permit_or_as_a_receipt() {
    let world = World::new().await;
    world.phone(1).await;
    world.tell(1, What::Offer).await;
    assert_eq!(world.step().await, SendReport { claimed: 1, accepted: 1, ..SendReport::default() });
    let standing: Option<i64> = sqlx::query_scalar("SELECT standing FROM messaging.attempt WHERE content = 'offer'")
        .fetch_one(world.db.auditor())
        .await
        .unwrap();
    assert_eq!((standing, world.got(1)[0].text["more"].as_bool()), (Some(VERSION), Some(true)));

    world.tell(2, What::Offer).await;
    world.gate.lapses.store(true, Ordering::SeqCst);
    assert_eq!(world.step().await.withheld, 1, "the last look");
    world.gate.lapses.store(false, Ordering::SeqCst);
    world.gate.closed.store(true, Ordering::SeqCst);
    world.tell(3, What::Offer).await;
    assert_eq!(world.step().await.withheld, 1);
    let got = world.got(1);
    assert_eq!(got.iter().map(|push| push.text["more"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(world.why(3).await, PushTruth::Sent { devices: 1, withheld: Some("excluded".to_owned()) });
    let id = notice_id(MEMBER, Cause::Purchase(Uuid::from_u128(1)));
    let mut conn = world.db.app().acquire().await.unwrap();
    assert!(withdraw_prompt(&mut conn, id, "offers_off", world.now(), world.clock.wall()).await.unwrap());
    drop(conn);
    assert_eq!(world.step().await.accepted, 1, "what was handed over is replaced");
    assert_eq!((&world.got(1)[3].topic, world.got(1)[3].text["more"].as_bool()), (&got[0].topic, Some(false)));
}

/// A notice cannot be written with the permit of somebody else, or of another cause, and a prompt counts when it is written.
#[tokio::test]
async fn a_permit_is_for_its_member_and_its_cause() {
    let world = World::new().await;
    let written = async |member: MemberId, cause: u128, wanted: Wanted| {
        let new = NewNotice {
            member,
            cause: Cause::Purchase(Uuid::from_u128(cause)),
            body: "You earned 1 point at Rosa's Bakery.".to_owned(),
            wanted,
            expires_at: world.now() + SignedDuration::from_hours(2),
            caused_wall: world.clock.wall(),
        };
        let mut tx = hunch_db::begin(world.db.app()).await.unwrap();
        let written = write_notices(&mut tx, vec![new], world.now(), world.clock.wall()).await;
        if written.is_ok() {
            tx.commit().await.unwrap();
        }
        written
    };
    let other = MemberId(Uuid::from_u128(78));
    for (member, cause, what) in [(other, 5, What::Market), (MEMBER, 6, What::Market), (other, 5, What::Offer)] {
        let refused = written(member, cause, world.wanted(5, what)).await;
        assert!(matches!(refused, Err(MessagingError::Foreign)), "{refused:?}");
    }
    assert_eq!(written(MEMBER, 5, world.wanted(5, What::Market)).await.unwrap(), 1);
    let second = written(MEMBER, 6, world.wanted(6, What::Market)).await;
    assert!(matches!(second, Err(MessagingError::Overtaken(_))), "there was one just now: {second:?}");
    let rows: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM safeguards.prompt), (SELECT count(*) FROM messaging.notice)")
            .fetch_one(world.db.auditor())
            .await
            .unwrap();
    assert_eq!(rows, (1, 1), "together or not at all");
}

/// The gate of a real programme, and the sender that asks it.
struct Programme {
    people: People,
    gate: Safeguards,
    sender: Sender<Safeguards>,
}

const HOUSE: HouseLimits = HouseLimits { day: Points(1_000), week: Points(3_000) };

impl Programme {
    fn of(world: &World) -> Programme {
        let clocks = Clocks::manual(world.clock.clone());
        let people =
            People::new(world.db.db().clone(), clocks.clone(), world.entropy.clone(), 8, Keys::new(b"a key of tests"));
        let gate = Safeguards::new(world.db.db().clone(), people.clone(), clocks.clone(), HOUSE);
        let sender = Sender {
            pool: world.db.app().clone(),
            transport: world.sender.transport.clone(),
            gate: gate.clone(),
            clocks,
            entropy: world.entropy.clone(),
            limits: world.sender.limits,
        };
        Programme { people, gate, sender }
    }

    /// Somebody in New York with a phone of this number.
    async fn member(&self, world: &World, phone: u128, born: Date) -> MemberId {
        let person = Person { full_name: "A".into(), email: String::new(), phone: String::new(), birth_date: born };
        let new = NewMember { member: None, person, home_zone: "America/New_York".into() };
        let member = self.people.join(vec![new], "operator").await.unwrap()[0];
        self.at(member, 40.7484, -73.9857).await;
        let browser = world.browser(phone, member);
        subscribe(world.db.app(), &world.entropy, RULES, &browser, world.now()).await.unwrap();
        member
    }

    async fn at(&self, member: MemberId, latitude: f64, longitude: f64) {
        let _ = self.gate.attest_place(member, latitude, longitude, 30.0).await;
    }

    async fn change(&self, world: &World, member: MemberId, change: Change) {
        let mut tx = ShardTx::begin(world.db.app(), shard_of(member, 8), world.now()).await.unwrap();
        let request = StandingRequest { member, home_zone: "America/New_York".into(), change };
        StandingHandler { house: HOUSE }.handle(&mut tx, &[request]).await.unwrap()[0].unwrap();
        tx.commit().await.unwrap();
    }

    /// A notice about this purchase, with a market where one is wanted: the gate's permit of a moment ago.
    async fn tell(&self, world: &World, member: MemberId, purchase: u128, market: bool) {
        let cause = Uuid::from_u128(purchase);
        let wanted = if market {
            let permit = self.gate.permit_prompt(member, None, cause, "weather").await;
            Wanted::Market {
                // Whoever is denied already is given a permit by mistake here: the sender has to see it.
                permit: permit.unwrap_or_else(|_| prompt_permit(member, None, cause, "weather", 1, world.clock.wall())),
                ticker: "KXRAINBOS-26NOV23".to_owned(),
                title: "Ends today: Will it rain in Boston?".to_owned(),
                until: world.now() + SignedDuration::from_mins(90),
            }
        } else {
            Wanted::Receipt { alone: None }
        };
        let new = NewNotice {
            member,
            cause: Cause::Purchase(cause),
            body: purchase_receipt(Points(12), &[], "Rosa's Bakery"),
            wanted,
            expires_at: world.now() + SignedDuration::from_hours(2),
            caused_wall: world.clock.wall(),
        };
        let mut tx = hunch_db::begin(world.db.app()).await.unwrap();
        write_notices(&mut tx, vec![new], world.now(), world.clock.wall()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Why somebody may not be prompted, and how they come to it after the prompt was stored.
#[derive(Clone, Copy, Debug)]
enum Denied {
    Excluded,
    OnBreak,
    UnderAge,
    Elsewhere,
    PlaceUnknown,
    OptedOut,
    AfterLoss,
    AfterRejection,
    NearLimit,
}

/// What travels to somebody who may not be prompted is, byte by byte and header by header, what travels to somebody whom
/// nobody wanted to prompt. Only the name of the notice differs, and that is as long.
#[tokio::test]
async fn the_push_of_whoever_may_not_be_prompted_is_a_plain_receipt_byte_by_byte() {
    let world = World::new().await;
    let programme = Programme::of(&world);
    let cases = [
        Denied::Excluded,
        Denied::OnBreak,
        Denied::UnderAge,
        Denied::Elsewhere,
        Denied::PlaceUnknown,
        Denied::OptedOut,
        Denied::AfterLoss,
        Denied::AfterRejection,
        Denied::NearLimit,
    ];
    for (n, denied) in (1u128..).zip(cases) {
        let born = if matches!(denied, Denied::UnderAge) { date(2010, 1, 1) } else { date(1990, 1, 1) };
        let member = programme.member(&world, n, born).await;
        programme.tell(&world, member, 100 + n, true).await;
        let noted = async |losses: bool| {
            let mut tx = ShardTx::begin(world.db.app(), shard_of(member, 8), world.now()).await.unwrap();
            let done =
                if losses { note_losses(&mut tx, &[member]).await } else { note_rejections(&mut tx, &[member]).await };
            done.unwrap();
            tx.commit().await.unwrap();
        };
        match denied {
            Denied::Excluded => {
                programme.change(&world, member, Change::Exclude(ExclusionTerm::SixMonths)).await;
            }
            Denied::OnBreak => programme.change(&world, member, Change::Break(BreakTerm::Day)).await,
            Denied::UnderAge => {}
            Denied::Elsewhere => programme.at(member, 48.8566, 2.3522).await,
            Denied::PlaceUnknown => programme.at(member, -45.0, -130.0).await,
            Denied::OptedOut => programme.change(&world, member, Change::Prompts(false)).await,
            Denied::AfterLoss => noted(true).await,
            Denied::AfterRejection => noted(false).await,
            Denied::NearLimit => {
                let lower = Change::Limits { day: Some(Points(0)), week: Some(Points(0)) };
                programme.change(&world, member, lower).await;
            }
        }
        // Another purchase, which nobody wanted to say anything besides.
        programme.tell(&world, member, 200 + n, false).await;
        let report = programme.sender.send_step(10).await.unwrap();
        assert_eq!((report.accepted, report.withheld), (2, 1), "{denied:?}");
        let got = world.got(n);
        let of = |purchase: u128| {
            let id = notice_id(member, Cause::Purchase(Uuid::from_u128(purchase))).to_string();
            let push = got.iter().find(|push| push.text["notice"] == id.as_str()).unwrap().clone();
            let plain = String::from_utf8(push.bytes.clone()).unwrap();
            assert!(plain.contains(&id));
            (plain.replace(&id, "the notice"), push.ttl, push.urgency, push.encrypted_bytes, push.topic.len())
        };
        assert_eq!(of(100 + n), of(200 + n), "{denied:?}");
        assert_eq!(
            of(100 + n).0,
            r#"{"v":1,"notice":"the notice","text":"You earned 12 points at Rosa's Bakery.","more":false}"#
        );
        assert_eq!(got.iter().find_map(|push| betting_word(&push.bytes)), None);
    }
    // The comparison can fail: who may be prompted is told that there is more.
    let member = programme.member(&world, 50, date(1990, 1, 1)).await;
    programme.tell(&world, member, 150, true).await;
    assert_eq!(programme.sender.send_step(10).await.unwrap().withheld, 0);
    assert_eq!(world.got(50)[0].text["more"], true);
}

/// The gate's own reading fails between the decision and the push: the receipt goes out, the prompt does not.
#[tokio::test]
async fn a_gate_that_cannot_read_lets_a_receipt_out_and_nothing_else() {
    let world = World::new().await;
    let programme = Programme::of(&world);
    let member = programme.member(&world, 1, date(1990, 1, 1)).await;
    programme.tell(&world, member, 5, true).await;
    sqlx::query("ALTER TABLE safeguards.prompt RENAME TO gone").execute(world.db.owner()).await.unwrap();
    let report = programme.sender.send_step(10).await.unwrap();
    assert_eq!((report.accepted, report.withheld), (1, 1));
    assert_eq!(world.got(1)[0].text["more"], false);
    let truth = PushTruth::Sent { devices: 1, withheld: Some("unavailable".to_owned()) };
    assert_eq!(world.why(5).await, truth);
    // Readable again, the next one goes out.
    sqlx::query("ALTER TABLE safeguards.gone RENAME TO prompt").execute(world.db.owner()).await.unwrap();
    world.clock.advance(SignedDuration::from_mins(30));
    programme.at(member, 40.7484, -73.9857).await;
    programme.tell(&world, member, 6, true).await;
    assert_eq!(programme.sender.send_step(10).await.unwrap().withheld, 0);
    assert_eq!(world.got(1)[1].text["more"], true);
}
