//! P1 over a whole programme at work: planted personal data is found in the vault and nowhere else. Not in any other
//! table, not in the unpacked log, not in what the process writes, not in what it hands to phones and exchanges.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hunch_db::testing::{TestDb, find_canaries, find_in};
use hunch_kernel::Shard;
use reqwest::Method;
use ring::{digest, hmac};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CANARIES: [&str; 4] = ["Wren Canarybird", "wren.canary@example.test", "+1-555-0173-CANARY", "1987-03-14"];

struct Programme {
    process: Child,
    folder: tempfile::TempDir,
    base: String,
    /// Where the figures are.
    operators_base: String,
    http: reqwest::Client,
    operator: String,
}

impl Programme {
    async fn start(db: &TestDb, log_format: &str) -> Programme {
        let folder = tempfile::tempdir().unwrap();
        // Its phones' push service is on this machine.
        sqlx::query("UPDATE people.programme SET sandbox = true").execute(db.owner()).await.unwrap();
        let out = |name: &str| std::fs::File::create(folder.path().join(name)).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_hunch"))
            .arg("serve")
            .current_dir(folder.path())
            .env("HUNCH_SERVER__LISTEN", "127.0.0.1:0")
            .env("HUNCH_DATABASE__URL", db.url())
            .env("HUNCH_DATABASE__FOLDER", folder.path().join("home"))
            .env("HUNCH_PUSH__ALLOW_LOOPBACK_HTTP", "true")
            .env("HUNCH_LOG__FORMAT", log_format)
            .env("HUNCH_LOG__FILTER", "debug,hunch=trace,sqlx=debug")
            .stdout(out("out"))
            .stderr(out("err"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let mut programme = Programme {
            process,
            folder,
            base: String::new(),
            operators_base: String::new(),
            http,
            operator: String::new(),
        };
        let begun = Instant::now();
        while programme.base.is_empty() || programme.operators_base.is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", programme.told());
            tokio::time::sleep(Duration::from_millis(100)).await;
            let told = programme.told();
            if let Some(line) = told.lines().find(|l| l.starts_with("Hunch answers at ")) {
                programme.base = line.trim_start_matches("Hunch answers at ").to_owned();
            }
            if let Some(line) = told.lines().find(|l| l.starts_with("  operators, /metrics ")) {
                programme.operators_base = line.trim_start_matches("  operators, /metrics ").trim().to_owned();
            }
        }
        let token = std::fs::read_to_string(programme.folder.path().join("home/operator-token")).unwrap();
        programme.operator = token.trim().to_owned();
        programme
    }

    fn told(&self) -> String {
        let read = |name: &str| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&[read("out"), read("err")].concat()).into_owned()
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(token).json(&body);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// The session of a new shop's till.
    async fn till(&self) -> Value {
        let merchant = "7b3f9a52-64f1-4a8e-9d0c-000000000001";
        let shop = json!({
            "merchant": merchant, "name": "Rosa's Bakery", "category": "bakery", "zone": "America/New_York",
            "currency": "USD", "points_per_unit": 10, "per_cents": 100, "points_max": 5000
        });
        self.ask(Method::POST, "/v1/ops/merchants", &self.operator, shop).await;
        let till = json!({"merchant": merchant, "name": "front"});
        let till = self.ask(Method::POST, "/v1/ops/terminals", &self.operator, till).await;
        let opened = json!({"terminal": till["terminal"], "secret": till["secret"]});
        self.ask(Method::POST, "/v1/pos/sessions", "none", opened).await
    }

    async fn signed(&self, session: &Value, path: &str, body: &Value) -> Value {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(session["key"].as_str().unwrap()).unwrap());
        let bytes = body.to_string();
        let now = wall_seconds();
        let hash = hex::encode(digest::digest(&digest::SHA256, bytes.as_bytes()));
        let signature = hex::encode(hmac::sign(&key, format!("{now}\nPOST\n{path}\n{hash}").as_bytes()));
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .header("hunch-session", session["session"].as_str().unwrap())
            .header("hunch-timestamp", now)
            .header("hunch-signature", signature)
            .body(bytes);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Programme {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "signatures want the real time")]
fn wall_seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[tokio::test]
async fn planted_personal_data_is_found_in_the_vault_only() {
    let db = TestDb::new().await;
    let programme = Programme::start(&db, "text").await;
    let operator = programme.operator.clone();
    let session = programme.till().await;
    let [name, email, phone, birth_date] = CANARIES;
    let person = json!({"full_name": name, "email": email, "phone": phone, "birth_date": birth_date, "home_zone": "America/New_York"});
    let added = programme.ask(Method::POST, "/v1/ops/members", &operator, json!({"members": [person]})).await;
    let code = added["members"][0]["sign_in_code"].clone();
    let signed_in = programme.ask(Method::POST, "/v1/sign-in", "none", json!({"code": code})).await;
    let token = signed_in["token"].as_str().unwrap().to_owned();
    // The member sees their own name; that is what the vault is for.
    let me = programme.ask(Method::GET, "/v1/me", &token, Value::Null).await;
    assert_eq!(me["name"], name);

    // A life: place, subscription, purchase by code, prompt, quote, stake, refusal, a broken request, a break.
    let place = json!({"latitude": 40.7484, "longitude": -73.9857, "accuracy_metres": 20.0});
    programme.ask(Method::PUT, "/v1/me/place", &token, place).await;
    let key = [&[4u8][..], &[7u8; 64]].concat();
    let subscription = json!({
        "device": "7b3f9a52-64f1-4a8e-9d0c-000000000009", "endpoint": "http://127.0.0.1:9/push",
        "p256dh": URL_SAFE_NO_PAD.encode(key), "auth": URL_SAFE_NO_PAD.encode([1u8; 16])
    });
    let request = programme.http.post(format!("{}/v1/me/push-subscriptions", programme.base)).bearer_auth(&token);
    request.json(&subscription).send().await.unwrap();
    for n in 0..3 {
        let code = programme.ask(Method::GET, "/v1/me/code", &token, Value::Null).await;
        let purchase = json!({
            "receipt": format!("R{n}"), "member_code": code["text"], "amount_cents": 2_500, "currency": "USD",
            "purchased_at": jiff::Timestamp::from_second(wall_seconds()).unwrap()
        });
        programme.signed(&session, "/v1/pos/purchases", &purchase).await;
    }
    let market = first_market(&programme, &token).await;
    let wish = json!({"market": market, "side": "yes", "stake_points": 50});
    let quote = programme.ask(Method::POST, "/v1/quotes", &token, wish).await;
    let order = programme.ask(Method::POST, "/v1/orders", &token, json!({"quote": quote["quote"]})).await;
    let path = format!("/v1/orders/{}", order["order"].as_str().unwrap());
    let begun = Instant::now();
    while programme.ask(Method::GET, &path, &token, Value::Null).await["ended_at"].is_null() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", programme.told());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let broken = programme.http.post(format!("{}/v1/ops/members", programme.base)).bearer_auth(&operator);
    let broken = broken
        .header("content-type", "application/json")
        .body(format!("{{\"members\": [{{\"full_name\": \"{name}\", \"email\": \"{email}\""));
    assert_eq!(broken.send().await.unwrap().status(), 400);
    let odd = json!({"members": [{"full_name": name, "email": email, "phone": phone, "birth_date": "tomorrow", "home_zone": "Mars"}]});
    let odd = programme.http.post(format!("{}/v1/ops/members", programme.base)).bearer_auth(&operator).json(&odd);
    let refused = odd.send().await.unwrap().text().await.unwrap();
    assert_eq!(find_in(refused.as_bytes(), &CANARIES), Vec::<String>::new(), "an error repeats nobody's data");
    programme.ask(Method::POST, "/v1/me/break", &token, json!({"term": "24_hours"})).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let told = programme.told();
    assert!(told.len() > 5_000, "the process was asked to tell everything");
    assert_eq!(find_in(told.as_bytes(), &CANARIES), Vec::<String>::new(), "process output");
    for file in ["home/simulator.json", "home/anchors.jsonl"] {
        let bytes = std::fs::read(programme.folder.path().join(file)).unwrap_or_default();
        assert_eq!(find_in(&bytes, &CANARIES), Vec::<String>::new(), "{file}");
    }
    assert_eq!(find_canaries(&db, &CANARIES).await, [], "tables outside the vault");
    let mut messages = 0;
    for shard in 0..8 {
        for batch in hunch_log::read_after(db.app(), Shard(shard), 0, 10_000).await.unwrap() {
            for message in batch.messages.iter() {
                let text = serde_json::to_vec(message).unwrap();
                assert_eq!(find_in(&text, &CANARIES), Vec::<String>::new(), "the log");
                messages += 1;
            }
        }
    }
    assert!(messages > 10, "the log was searched");
    let planted: bool =
        sqlx::query_scalar("SELECT count(*) = 1 FROM vault.person").fetch_one(db.vault()).await.unwrap();
    assert!(planted, "the vault holds the person");
}

/// `docs/metrics.md` names whatever is published, and each line of the log is an object when that is asked for.
#[tokio::test]
async fn what_is_measured_and_logged_can_be_read_by_programs() {
    let db = TestDb::new().await;
    let programme = Programme::start(&db, "json").await;
    let session = programme.till().await;
    let person = json!({"full_name": "Ann Example", "email": "", "phone": "", "birth_date": "1990-05-01", "home_zone": "America/New_York"});
    let added = programme.ask(Method::POST, "/v1/ops/members", &programme.operator, json!({"members": [person]})).await;
    let purchase = json!({
        "receipt": "R1", "member_token": added["members"][0]["member_token"], "amount_cents": 2_500, "currency": "USD",
        "purchased_at": jiff::Timestamp::from_second(wall_seconds()).unwrap()
    });
    programme.signed(&session, "/v1/pos/purchases", &purchase).await;
    let begun = Instant::now();
    let published = loop {
        let text = programme
            .http
            .get(format!("{}/metrics", programme.operators_base))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        if text.contains("\nhunch_decisions_total 1") {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{text}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let documented = include_str!("../../../docs/metrics.md");
    let names: Vec<&str> = published
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    for name in ["hunch_http_requests_total", "hunch_http_request_seconds", "hunch_decisions_total"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    for name in names {
        assert!(documented.contains(&format!("| `{name}` |")), "docs/metrics.md lacks {name}");
    }
    let counted = |line: &&str| {
        line.starts_with("hunch_http_requests_total{")
            && line.contains(r#"route="/v1/pos/purchases""#)
            && line.ends_with("} 1")
    };
    assert!(published.lines().find(counted).is_some_and(|line| line.contains(r#"status="200""#)), "{published}");

    let log = std::fs::read_to_string(programme.folder.path().join("err")).unwrap();
    let whole = &log[..log.rfind('\n').unwrap()];
    assert!(whole.lines().count() > 20, "the process was asked to tell everything");
    // Beside the log it tells a person where it answers.
    let (log, told): (Vec<&str>, Vec<&str>) = whole.lines().partition(|line| line.starts_with('{'));
    assert!(told.len() < 6, "{told:?}");
    for line in log {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["target"].is_string(), "{line}");
    }
}

/// An open market of the simulator's day.
async fn first_market(programme: &Programme, token: &str) -> String {
    let begun = Instant::now();
    loop {
        let list = programme.ask(Method::GET, "/v1/markets?limit=50&ends=any", token, Value::Null).await;
        let rows = list["markets"].as_array().cloned().unwrap_or_default();
        let offered = |m: &&Value| m["yes"]["price_points"].is_string() && m["category"] != "sports";
        if let Some(market) = rows.iter().rev().find(offered) {
            return market["market"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no market opens: {}", programme.told());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
