//! The plain pages: `/till` for a cashier, `/app` for a member, `/live` for the operator. Files without a framework,
//! served as they are.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, Response, header};
use axum::response::IntoResponse;
use axum::routing::get;
use rust_embed::RustEmbed;
use std::sync::Arc;

use crate::app::App;
use crate::problem::{Problem, ProblemKind};

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// Nothing from elsewhere, nothing inline. Pictures may be data: the member's QR code is.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(|| async { page("index.html") }))
        .route("/app", get(|| async { page("app.html") }))
        .route("/live", get(|| async { page("live.html") }))
        // A worker governs the folder it is served from, so this one stands at the root.
        .route("/sw.js", get(|| async { page("sw.js") }))
        .route("/till", get(|| async { page("till.html") }))
        .route("/assets/{file}", get(|Path(file): Path<String>| async move { page(&file) }))
}

/// The operator's page alone.
pub(crate) fn live() -> Router<Arc<App>> {
    Router::new()
        .route("/live", get(|| async { page("live.html") }))
        .route("/assets/{file}", get(|Path(file): Path<String>| async move { page(&file) }))
}

fn page(name: &str) -> Response<Body> {
    let Some(file) = Assets::get(name) else { return Problem::bare(ProblemKind::NotFound).into_response() };
    let mut response = Response::new(Body::from(file.data.into_owned()));
    let headers = response.headers_mut();
    let constant = [
        (header::CONTENT_TYPE, media(name)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(self), geolocation=(self), microphone=()"),
    ];
    for (header, value) in constant {
        headers.insert(header, HeaderValue::from_static(value));
    }
    response
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
