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
use hunch_kernel::{Clocks, DeviceId, ManualClock, MemberId, SeededEntropy, SharedEntropy};
use hunch_messaging::copy::{betting_word, purchase_receipt};
use hunch_messaging::push::{EndpointRules, PushTransport, VapidKey, VapidSigner};
use hunch_messaging::{
    Cause, NewNotice, NewSubscription, PromptGate, PromptSitting, PromptState, PushTruth, SendReport, Sender,
    SenderLimits, SessionOf, SubscribeError, Wanted, Withheld, WithheldPrompt, end_with_session, inbox, mark_fetched,
    notice, notice_id, open_prompt_categories, push_counts, subscribe, subscriptions, unsubscribe, why_no_push,
    withdraw_prompts, withhold_at_fetch, write_notices,
};
use hunch_safeguards::PromptPermit;
use hunch_safeguards::testing::prompt_permit;
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;
use web_push_native::p256::SecretKey;
use web_push_native::{Auth, decrypt};

const RULES: EndpointRules = EndpointRules { allow_loopback_http: true };

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

#[async_trait]
impl PromptGate for Switch {
    type Sitting = Switch;

    async fn sit(&self, _: &[MemberId]) -> Switch {
        self.clone()
    }

    async fn still_holds(&self, _: &PromptPermit) -> bool {
        !self.lapses.load(Ordering::SeqCst)
    }
}

impl PromptSitting for Switch {
    fn permit(&self, member: MemberId, device: Option<DeviceId>, category: &str) -> Result<PromptPermit, Withheld> {
        assert!(device.is_some() && category == "weather");
        if self.closed.load(Ordering::SeqCst) {
            return Err(Withheld { code: "excluded".to_owned(), sentence: "You are excluded.".to_owned() });
        }
        Ok(prompt_permit(member, device, 7, hunch_kernel::WallTime::MIN))
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

    async fn tell(&self, purchase: u128, wanted: Wanted) {
        let new = NewNotice {
            member: MEMBER,
            cause: Cause::Purchase(Uuid::from_u128(purchase)),
            body: purchase_receipt(hunch_kernel::Points(1), "Rosa's Bakery"),
            wanted,
            expires_at: self.now() + SignedDuration::from_hours(2),
            caused_wall: self.clock.wall(),
        };
        let mut conn = self.db.app().acquire().await.unwrap();
        let notices = [new.clone(), new];
        assert_eq!(write_notices(&mut conn, &notices[..1], self.now(), self.clock.wall()).await.unwrap(), 1);
        assert_eq!(
            write_notices(&mut conn, &notices, self.now(), self.clock.wall()).await.unwrap(),
            0,
            "once per cause"
        );
    }

    async fn why(&self, purchase: u128) -> PushTruth {
        why_no_push(self.db.app(), Uuid::from_u128(purchase)).await.unwrap()
    }

    async fn step(&self) -> SendReport {
        self.sender.send_step(100).await.unwrap()
    }
}

fn market() -> Wanted {
    Wanted::Market {
        ticker: "KXRAINBOS-26NOV23".to_owned(),
        category: "weather".to_owned(),
        title: "Ends today: Will it rain in Boston?".to_owned(),
    }
}

#[tokio::test]
async fn nothing_is_sent_to_a_phone_whose_session_is_over() {
    let world = World::new().await;
    let until = |hours: i64| Some(world.clock.wall() + SignedDuration::from_hours(hours));
    for (id, ends) in [(1, until(1)), (2, until(3)), (3, None)] {
        let session = ends.map(|ends_at| SessionOf { sha256: vec![id as u8; 32], ends_at });
        let new = NewSubscription { session, ..world.browser(id, MEMBER) };
        subscribe(world.db.app(), &world.entropy, RULES, &new, world.now()).await.unwrap();
    }
    world.tell(5, market()).await;
    assert_eq!(world.step().await.accepted, 3);
    world.clock.advance(SignedDuration::from_hours(2));
    world.tell(6, market()).await;
    assert_eq!(world.step().await.accepted, 2, "the first phone's session ran out");
    // The second phone signs out with a push on its way; what was subscribed before sessions were kept ends with it.
    world.tell(7, market()).await;
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
    world.tell(5, market()).await;
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
    assert_eq!((standing, outcome.as_str()), (7, "accepted"));
}

#[tokio::test]
async fn the_inbox_has_every_notice_and_the_truth_about_its_push() {
    let world = World::new().await;
    world.tell(1, Wanted::Nothing { reason: "nothing_better".to_owned() }).await;
    world.clock.advance(SignedDuration::from_secs(1));
    world.tell(2, Wanted::Receipt { withheld: None }).await;
    world.clock.advance(SignedDuration::from_secs(1));
    world.phone(1).await;
    world.tell(3, Wanted::Receipt { withheld: Some(WithheldPrompt { reason: "under_age".to_owned() }) }).await;
    world.step().await;
    let page = inbox(world.db.app(), MEMBER, None, 2).await.unwrap();
    assert_eq!(page.iter().map(|e| e.cause.as_u128()).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(page[0].push, PushTruth::Sent { devices: 1, withheld: Some("under_age".to_owned()) });
    assert_eq!(page[1].push, PushTruth::NoSubscription);
    let rest = inbox(world.db.app(), MEMBER, Some((page[1].made_at, page[1].id)), 2).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].push.code(), "nothing_better");
    assert_eq!(world.why(4).await, PushTruth::NotDecided);
    assert!(inbox(world.db.app(), MemberId(Uuid::from_u128(1)), None, 9).await.unwrap().is_empty());
    assert_eq!(world.got(1)[0].text["more"], false);
}

#[tokio::test]
async fn a_queued_prompt_of_an_excluded_member_goes_out_as_a_receipt() {
    let world = World::new().await;
    world.phone(1).await;
    world.tell(5, market()).await;
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
    world.tell(5, market()).await;
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
    world.tell(5, market()).await;
    world.step().await;
    let mut conn = world.db.app().acquire().await.unwrap();
    let now = world.now();
    assert_eq!(withdraw_prompts(&mut conn, MEMBER, "on_break", now, world.clock.wall()).await.unwrap(), 1);
    assert_eq!(withdraw_prompts(&mut conn, MEMBER, "on_break", now, world.clock.wall()).await.unwrap(), 0);
    world.step().await;
    let got = world.got(1);
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].topic, got[1].topic, "the second replaces the first");
    assert_eq!((got[0].text["more"].as_bool(), got[1].text["more"].as_bool()), (Some(true), Some(false)));
    let id = notice_id(MEMBER, Cause::Purchase(Uuid::from_u128(5)));
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
    world.tell(5, market()).await;
    // Marked as sending by a step that has not come back yet.
    sqlx::query("UPDATE messaging.delivery SET state = 'sending', attempts = 1, leased_until = $1")
        .bind(jiff_sqlx::ToSqlx::to_sqlx(world.now()))
        .execute(world.db.app())
        .await
        .unwrap();
    let mut conn = world.db.app().acquire().await.unwrap();
    withdraw_prompts(&mut conn, MEMBER, "excluded", world.now(), world.clock.wall()).await.unwrap();
    // The next owner after the lease sees the withdrawal.
    world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(world.step().await.accepted, 1);
    assert_eq!(world.got(1)[0].text["more"], false);
}

#[tokio::test]
async fn a_dead_sender_is_followed_after_its_lease() {
    let world = World::new().await;
    world.phone(1).await;
    world.tell(5, Wanted::Receipt { withheld: None }).await;
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
        world.tell(purchase, Wanted::Receipt { withheld: None }).await;
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
        world.tell(purchase, Wanted::Receipt { withheld: None }).await;
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
    world.tell(5, market()).await;
    assert_eq!(world.step().await.accepted, 1);
    world.clock.advance(SignedDuration::from_secs(60));
    world.tell(6, market()).await;
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
    world.tell(5, Wanted::Receipt { withheld: None }).await;
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

#[tokio::test]
async fn what_has_ended_is_dropped() {
    let world = World::new().await;
    world.phone(1).await;
    world.tell(5, market()).await;
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
    world.tell(5, market()).await;
    let (pool, now) = (world.db.app(), world.now());
    assert_eq!(open_prompt_categories(pool, MEMBER, now).await.unwrap(), ["weather"]);
    let id = notice_id(MEMBER, Cause::Purchase(Uuid::from_u128(5)));
    let stored = notice(pool, MEMBER, id).await.unwrap().unwrap();
    withhold_at_fetch(pool, &stored, "place_unknown", now).await.unwrap();
    withhold_at_fetch(pool, &stored, "place_unknown", now).await.unwrap();
    assert!(open_prompt_categories(pool, MEMBER, now).await.unwrap().is_empty());
    let counts = push_counts(world.db.auditor(), world.clock.wall()).await.unwrap();
    assert_eq!((counts.withheld, counts.accepted), (vec![("place_unknown".to_owned(), 1)], 0));
}

#[tokio::test]
async fn summaries_count_what_services_accepted() {
    let world = World::new().await;
    world.phone(1).await;
    let start = world.clock.wall();
    world.tell(5, market()).await;
    world.clock.advance(SignedDuration::from_millis(120));
    world.step().await;
    let counts = push_counts(world.db.auditor(), start).await.unwrap();
    assert_eq!((counts.accepted, counts.purchases, counts.p50_ms, counts.p99_ms), (1, 1, 120, 120));
}
