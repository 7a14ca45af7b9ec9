//! Every number, date and text from outside has bounds that the document states and the programme keeps, and whatever is
//! wrong is told in a sentence for people.

mod support;

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use support::{Answer, Service, Till};
use tower::ServiceExt;
use uuid::Uuid;

/// One route of the document.
struct Route {
    method: String,
    path: String,
    scheme: String,
    operation: Value,
}

fn document() -> Value {
    serde_json::from_str(&hunch_http::openapi_json()).unwrap()
}

fn routes(document: &Value) -> Vec<Route> {
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let scheme = operation["security"][0].as_object().and_then(|s| s.keys().next().cloned());
            routes.push(Route {
                method: method.to_uppercase(),
                path: path.clone(),
                scheme: scheme.unwrap_or_default(),
                operation: operation.clone(),
            });
        }
    }
    routes
}

/// A schema without its reference.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(path) => &document["components"]["schemas"][path.rsplit('/').next().unwrap()],
        None => schema,
    }
}

fn is(schema: &Value, kind: &str) -> bool {
    schema["type"] == kind || schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == kind))
}

/// The schema itself, or of one that may be null what it is else.
fn inner<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let choices = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    let chosen = choices.and_then(|c| c.iter().find(|s| s["type"] != "null")).unwrap_or(schema);
    resolved(document, chosen)
}

/// The fields of a route's body, and whether each must be there.
fn fields<'d>(document: &'d Value, route: &'d Route) -> Vec<(String, &'d Value, bool)> {
    let body = resolved(document, &route.operation["requestBody"]["content"]["application/json"]["schema"]);
    let required = |name: &str| body["required"].as_array().is_some_and(|all| all.iter().any(|r| r == name));
    let properties = body["properties"].as_object().into_iter().flatten();
    properties.map(|(name, schema)| (name.clone(), inner(document, schema), required(name))).collect()
}

/// Something that fits a schema.
fn fitting(document: &Value, schema: &Value) -> Value {
    if !schema["example"].is_null() {
        return schema["example"].clone();
    }
    if let Some(words) = schema["enum"].as_array() {
        return words[0].clone();
    }
    if is(schema, "integer") || is(schema, "number") {
        return schema.get("minimum").cloned().unwrap_or(json!(1));
    }
    if is(schema, "boolean") {
        return json!(true);
    }
    if is(schema, "array") {
        let item = inner(document, &schema["items"]);
        return json!([fitting(document, item)]);
    }
    match (schema["format"].as_str(), schema["pattern"].as_str()) {
        (Some("uuid"), _) => json!(Uuid::from_u128(5)),
        (Some("date-time"), _) => json!("2026-11-23T12:00:00Z"),
        (Some("date"), _) => json!("1990-05-01"),
        (_, Some("^[A-Z]{3}$")) => json!("USD"),
        _ if is(schema, "string") => json!("a"),
        _ => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties
                .map(|(name, s)| (name.clone(), fitting(document, inner(document, s))))
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

/// Asks with the right credentials. A member asks only so often, so there is always another one.
struct Asker {
    service: Service,
    till: Till,
    member: String,
    asked: usize,
}

impl Asker {
    async fn new() -> Asker {
        let service = Service::start().await;
        let till = service.till().await;
        let (member, _) = service.member().await;
        Asker { service, till, member, asked: 0 }
    }

    async fn ask(&mut self, route: &Route, uri: &str, body: &[u8]) -> Answer {
        self.asked += 1;
        if self.asked.is_multiple_of(80) {
            self.member = self.service.member().await.0;
        }
        let path = uri.split('?').next().unwrap_or_default();
        let request =
            Request::builder().method(route.method.as_str()).uri(uri).header("content-type", "application/json");
        let request = self.service.prove(request, &route.scheme, &route.method, path, body, &self.member, &self.till);
        let answer = self.service.ask(request.body(Body::from(body.to_vec())).unwrap()).await;
        if route.path.starts_with("/v1/sign-out") {
            self.member = self.service.member().await.0;
        }
        answer
    }
}

fn with_ids(path: &str, id: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { id } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Words of programmers, of libraries and of their messages.
const STRANGE_WORDS: &[&str] = &[
    "serde",
    "expected",
    "invalid type",
    "invalid value",
    "invalid length",
    "uuid",
    "i64",
    "u64",
    "i16",
    "f64",
    "line 1",
    "column",
    "deseriali",
    "parse",
    "parsing",
    "struct",
    "variant",
    "unknown field",
    "missing field",
    "eof",
    "trailing",
    "failed to",
    "failed",
    "jiff",
    "utf-8",
    "null",
    "floating",
    "integer",
    "string",
    "::",
    "sqlx",
    "axum",
];

fn for_people(answer: &Answer, what: &str) {
    assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.body);
    if answer.status < 400 {
        return;
    }
    assert!(answer.body["title"].as_str().is_some_and(|t| !t.is_empty()), "{what}: {}", answer.body);
    let Some(detail) = answer.body["detail"].as_str() else { return };
    let first = detail.chars().next().unwrap();
    assert!(!first.is_lowercase(), "{what}: no capital letter: {detail}");
    assert!(detail.ends_with(['.', '?']), "{what}: no full stop: {detail}");
    assert!(!detail.contains(';'), "{what}: a semicolon: {detail}");
    let lower = detail.to_lowercase();
    for word in STRANGE_WORDS {
        assert!(!lower.contains(word), "{what}: {word:?} in {detail:?}");
    }
}

#[tokio::test]
async fn no_answer_speaks_to_programmers() {
    let document = document();
    let mut asker = Asker::new().await;
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let wrong = [
        json!(null),
        json!(true),
        json!(3.5),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("+1 555 0100"),
        json!("9".repeat(2_000)),
        json!([]),
        json!([1]),
        json!({}),
        json!({"a": 1}),
        deep,
    ];
    for route in routes(&document).iter().filter(|r| r.path != "/v1/me/stream") {
        let label = format!("{} {}", route.method, route.path);
        let mut bodies: Vec<Vec<u8>> =
            ["", "{", "[]", "7", "{}", "{\"a\"", "{\"a\":1}", "null", "\"\\u0000\"", "{} {}"]
                .iter()
                .map(|b| b.as_bytes().to_vec())
                .collect();
        bodies.push(vec![0xff, 0xfe]);
        let all = fields(&document, route);
        for (name, _, _) in &all {
            bodies.extend(wrong.iter().map(|value| json!({name: value}).to_string().into_bytes()));
            bodies.push(format!("{{\"{name}\": 1, \"{name}\": 1}}").into_bytes());
        }
        let uri = with_ids(&route.path, "00000000-0000-0000-0000-000000000005");
        let takes_a_body = route.operation["requestBody"].is_object();
        for body in if takes_a_body { &bodies[..] } else { &[] } {
            let answer = asker.ask(route, &uri, body).await;
            for_people(&answer, &format!("{label} with {:.200}", String::from_utf8_lossy(body)));
        }
        for id in ["x", "%20", "%ff", "..%2f", "00000000", "-1", "a%22b"] {
            if route.path.contains('{') {
                let answer = asker.ask(route, &with_ids(&route.path, id), b"{}").await;
                for_people(&answer, &format!("{label} at {id}"));
            }
        }
        for parameter in route.operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            for value in
                ["", "x", "-1", "0", "3.5", "NaN", "99999999999999999999", "%ff", "%00", "e30", "1&limit=2&limit=3"]
            {
                let answer = asker.ask(route, &format!("{uri}?{name}={value}"), b"").await;
                for_people(&answer, &format!("{label}?{name}={value}"));
            }
        }
    }
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named_with_what_belongs_there() {
    let service = Service::start().await;
    let (member, _) = service.member().await;
    for (body, sentence) in [
        (json!({"market": "M", "side": "yes", "stake_points": 3.5}), "The field stake_points must be a whole number"),
        (json!({"market": "M", "side": "yes"}), "The field stake_points is missing."),
        (json!({"market": "M", "side": "maybe", "stake_points": 10}), "The field side must be yes or no."),
        (json!({"market": "M", "side": "yes", "stake_points": 10, "x": 1}), "There is no field x here."),
    ] {
        let answer = service.send(&member, "POST", "/v1/quotes", body).await;
        assert_eq!((answer.status, answer.body["type"].as_str()), (400, Some("/problems/bad-json")), "{}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().starts_with(sentence), "{}", answer.body);
    }
}

/// The scheme's name is the same in small letters (RFC 9110, 11.1).
#[tokio::test]
async fn bearer_in_small_letters_is_believed() {
    let service = Service::start().await;
    let (member, _) = service.member().await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = Request::get("/v1/me").header("authorization", format!("{scheme} {member}"));
        assert_eq!(service.ask(request.body(Body::empty()).unwrap()).await.status, 200, "{scheme}");
    }
    for wrong in ["Bearer", "Bearer ", "Basic eDp5", "Bearerx y"] {
        let request = Request::get("/v1/me").header("authorization", wrong);
        assert_eq!(service.ask(request.body(Body::empty()).unwrap()).await.status, 401, "{wrong}");
    }
}

/// A signature that is too old may be a right clock's old request, and is told both; one from the future is a clock's.
#[tokio::test]
async fn an_old_signature_is_told_with_both_times_and_both_causes() {
    use hunch_kernel::Clock;
    let service = Service::start().await;
    let till = service.till().await;
    let now = service.clock.now().as_second();
    let told = async |timestamp: i64| {
        let signature = hunch_loyalty::sign(&till.key, timestamp, "POST", "/v1/pos/returns", b"{}");
        let request = Request::post("/v1/pos/returns")
            .header("content-type", "application/json")
            .header("hunch-session", &till.session)
            .header("hunch-timestamp", timestamp)
            .header("hunch-signature", signature);
        let answer = service.ask(request.body(Body::from("{}")).unwrap()).await;
        assert_eq!((answer.status, answer.body["type"].as_str()), (401, Some("/problems/bad-signature")));
        for_people(&answer, &timestamp.to_string());
        answer.body["detail"].as_str().unwrap().to_owned()
    };
    let old = told(now - 420).await;
    assert!(old.contains("11:53:00 UTC") && old.contains("12:00:00 UTC") && old.contains("7 minutes"), "{old}");
    assert!(old.contains("sign each request anew") && old.contains("clock is slow"), "{old}");
    let early = told(now + 97_578_843).await;
    assert!(early.contains("3 years fast") && early.contains("must be set"), "{early}");
    for edge in [i64::MIN, i64::MAX, 0, -1] {
        told(edge).await;
    }
}

#[test]
fn every_value_from_outside_has_bounds_in_the_document() {
    let document = document();
    let mut open: Vec<String> = Vec::new();
    for route in routes(&document) {
        let label = format!("{} {}", route.method, route.path);
        for parameter in route.operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            look(&document, inner(&document, &parameter["schema"]), &format!("{label} {name}"), &mut open);
        }
        let body = &route.operation["requestBody"]["content"]["application/json"]["schema"];
        look(&document, body, &label, &mut open);
    }
    assert!(open.is_empty(), "without bounds:\n{}", open.join("\n"));
}

fn look(document: &Value, schema: &Value, place: &str, open: &mut Vec<String>) {
    let schema = inner(document, schema);
    let has = |name: &str| !schema[name].is_null();
    let bounded = if is(schema, "integer") || is(schema, "number") {
        has("minimum") && has("maximum")
    } else if is(schema, "string") {
        let dated = matches!(schema["format"].as_str(), Some("date" | "date-time")) && has("x-years");
        has("maxLength") || has("enum") || has("pattern") || schema["format"] == "uuid" || dated
    } else if is(schema, "array") {
        look(document, &schema["items"], &format!("{place}[]"), open);
        has("maxItems")
    } else {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            look(document, field, &format!("{place}.{name}"), open);
        }
        true
    };
    if !bounded {
        open.push(format!("{place}: {schema}"));
    }
}

const FAR_TIMES: &[&str] = &[
    "-004713-01-01T00:00:00Z",
    "-009999-01-02T01:59:59Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "1999-12-31T23:59:59Z",
    "2100-01-01T00:00:00Z",
    "9999-12-30T22:00:00Z",
    "+010000-01-01T00:00:00Z",
];

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_as_not_possible() {
    let document = document();
    let mut asker = Asker::new().await;
    let mut tried = 0;
    for route in &routes(&document) {
        let all = fields(&document, route);
        let whole: Map<String, Value> =
            all.iter().filter(|(_, _, must)| *must).map(|(name, s, _)| (name.clone(), fitting(&document, s))).collect();
        let uri = with_ids(&route.path, "00000000-0000-0000-0000-000000000005");
        for (name, schema, _) in &all {
            let mut edges: Vec<Value> = Vec::new();
            if is(schema, "integer") {
                let (least, most) = (schema["minimum"].as_i64().unwrap(), schema["maximum"].as_i64().unwrap());
                let near = [i64::MIN, least.saturating_sub(1), -1, 0, most.saturating_add(1), i64::MAX];
                edges.extend(near.into_iter().filter(|n| !(least..=most).contains(n)).map(Value::from));
                edges.extend([json!(u64::MAX), json!(1e300)]);
            } else if schema["format"] == "date-time" {
                edges.extend(FAR_TIMES.iter().map(|t| json!(t)));
            } else if schema["format"] == "date" {
                edges.extend(["-004713-01-01", "1899-12-31", "2100-01-01", "9999-12-31"].map(Value::from));
            } else if let (true, Some(most)) = (is(schema, "string"), schema["maxLength"].as_u64()) {
                // Characters count, not bytes.
                edges.push(json!("é".repeat(most as usize + 1)));
            }
            for edge in edges {
                let mut body = whole.clone();
                body.insert(name.clone(), edge.clone());
                let answer = asker.ask(route, &uri, Value::Object(body).to_string().as_bytes()).await;
                let what = format!("{} {} {name}: {:.60}", route.method, route.path, edge.to_string());
                for_people(&answer, &what);
                let text = edge.is_string() && schema["format"].is_null();
                let refused = if text { (400..500).contains(&answer.status) } else { answer.status == 422 };
                assert!(refused, "{what}: {} {}", answer.status, answer.body);
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "only {tried} values were tried");
}

#[tokio::test]
async fn no_cursor_and_no_event_id_breaks_a_page() {
    let document = document();
    let mut asker = Asker::new().await;
    let id = Uuid::from_u128(5);
    let mut places: Vec<Value> = FAR_TIMES.iter().map(|t| json!([t, id])).collect();
    places.extend(FAR_TIMES.iter().map(|t| json!([t, "TICKER"])));
    places.extend([json!(["2026-11-23T12:00:00Z", "a\u{0}b"]), json!([]), json!({}), json!("x"), json!([1.5, 2])]);
    for n in [i64::MIN, -1, 0, 1, i64::MAX] {
        places.extend([json!([n, 0]), json!([n, n, n, n]), json!([0, n, 0, n]), json!(n)]);
    }
    for route in &routes(&document) {
        let parameters = route.operation["parameters"].as_array();
        if !parameters.is_some_and(|all| all.iter().any(|p| p["name"] == "cursor")) {
            continue;
        }
        for place in &places {
            let cursor = URL_SAFE_NO_PAD.encode(place.to_string());
            let answer = asker.ask(route, &format!("{}?cursor={cursor}", route.path), b"").await;
            assert!(matches!(answer.status, 200 | 422), "{} {place}: {} {}", route.path, answer.status, answer.body);
            for_people(&answer, &format!("{} {place}", route.path));
        }
        let far = asker
            .ask(route, &format!("{}?cursor={}", route.path, URL_SAFE_NO_PAD.encode(places[0].to_string())), b"")
            .await;
        assert_eq!(far.status, 422, "{}: {}", route.path, far.body);
    }
    for shard in 0..8 {
        for seq in ["-9223372036854775808", "9223372036854775807", "9223372036854775808", "-1", "0", "", "x", "\u{ff}"]
        {
            let (member, _) = asker.service.member().await;
            let mut request = Request::get("/v1/me/stream").header("authorization", format!("Bearer {member}"));
            if let Ok(value) = HeaderValue::from_bytes(format!("{shard}-{seq}").as_bytes()) {
                request = request.header("last-event-id", value);
            }
            let answer = asker.service.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), 200, "{shard}-{seq}");
        }
    }
}
