//! The plain pages: `/till` for a cashier, `/app` for a member, `/live` for the operator. Files without a framework,
//! served as they are.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use rust_embed::{EmbeddedFile, RustEmbed};
use std::borrow::Cow;
use std::sync::Arc;
use tower_http::compression::CompressionLayer;

use crate::app::App;
use crate::problem::{Problem, ProblemKind};

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// Nothing from elsewhere, nothing inline. Pictures may be data: the member's QR code is.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Packed on their way, which is for files only: what carries secrets is not packed together with what a stranger chose.
pub(crate) fn routes() -> Router<Arc<App>> {
    let named = |name: &'static str| get(move |headers: HeaderMap| async move { page(name, &headers) });
    Router::new()
        .route("/", named("index.html"))
        .route("/app", named("app.html"))
        // A worker governs the folder it is served from, so this one stands at the root.
        .route("/sw.js", named("sw.js"))
        .route("/till", named("till.html"))
        .merge(live_page())
        .layer(CompressionLayer::new())
}

/// The operator's page alone.
pub(crate) fn live() -> Router<Arc<App>> {
    live_page().layer(CompressionLayer::new())
}

fn live_page() -> Router<Arc<App>> {
    Router::new().route("/live", get(|headers: HeaderMap| async move { page("live.html", &headers) })).route(
        "/assets/{file}",
        get(|Path(file): Path<String>, headers: HeaderMap| async move { page(&file, &headers) }),
    )
}

fn page(name: &str, asked: &HeaderMap) -> Response<Body> {
    let Some(file) = Assets::get(name) else { return Problem::bare(ProblemKind::NotFound).into_response() };
    let tag = tag(&file);
    let mut response = match has(asked, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        })),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    let headers = response.headers_mut();
    let constant = [
        (header::CONTENT_TYPE, media(name)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(self), geolocation=(self), microphone=()"),
    ];
    for (header, value) in constant {
        headers.insert(header, HeaderValue::from_static(value));
    }
    response
}

/// Names these very bytes, packed or not: weak, as one packed is not the same octets.
fn tag(file: &EmbeddedFile) -> String {
    format!("W/\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]))
}

/// Whether the reader has what this tag names (RFC 9110, 13.1.2).
fn has(asked: &HeaderMap, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let named = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|one| one.trim() == "*" || bare(one) == bare(tag))
}

fn media(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
