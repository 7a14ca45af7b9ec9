//! All routes, and what every request passes through.

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, Response, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Router};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::entrance::{Entrance, Reading, enter};
use crate::openapi::{Document, describe_responses, join_descriptions, part_formats};
use crate::overload::Admissions;
use crate::problem::{Problem, ProblemKind};
use crate::routes::stream::Streams;
use crate::routes::trading_ops::LiveCopy;
use crate::routes::{
    acts, closing, health, inbox, left_out, likeness, markets, me, members, merchants, offers, ops, pages, pos,
    proposals, protect, reviews, sign_in, stakes, statement, stream, trading_ops, unclear, webhook,
};
use crate::turned_away::TurnedAway;

const REQUEST_SECONDS_MAX: u64 = 30;

/// The programme as it is reached from outside.
pub struct Services {
    /// For tills, members and everybody.
    pub public: Router,
    /// For operators, and for whoever reads the figures: answered also when nobody else can be.
    pub operators: Router,
    /// For the listener, which turns people away before any of this.
    pub turned_away: TurnedAway,
}

fn health_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(health::healthz)).routes(routes!(health::readyz))
}

fn operators_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(inbox::why))
        .routes(routes!(ops::post_merchant))
        .routes(routes!(merchants::patch_merchant))
        .routes(routes!(merchants::post_earn_rule, merchants::get_earn_rules))
        .routes(routes!(ops::post_members))
        .routes(routes!(members::patch_member))
        .routes(routes!(likeness::list))
        .routes(routes!(likeness::decide))
        .routes(routes!(reviews::list))
        .routes(routes!(reviews::decide))
        .routes(routes!(reviews::watch))
        .routes(routes!(offers::post_offer))
        .routes(routes!(offers::post_offer_end))
        .routes(routes!(ops::post_terminal))
        .routes(routes!(trading_ops::live))
        .routes(routes!(trading_ops::issue_ticket))
        .routes(routes!(left_out::left_out))
        .routes(routes!(trading_ops::set_staking))
        .routes(routes!(unclear::list))
        .routes(routes!(unclear::end))
        .routes(routes!(proposals::fund))
        .routes(routes!(proposals::recover))
        .routes(routes!(proposals::list))
        .routes(routes!(proposals::approve))
        .routes(routes!(proposals::end))
        .routes(routes!(acts::list))
        .routes(routes!(closing::terminal))
        .routes(routes!(closing::merchant))
        .routes(routes!(trading_ops::propose_correction, trading_ops::list_corrections))
        .routes(routes!(trading_ops::approve_correction))
        .routes(routes!(trading_ops::retry_correction))
        .routes(routes!(trading_ops::end_correction))
}

fn programme_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(pos::open_session))
        .routes(routes!(pos::record_purchase))
        .routes(routes!(pos::record_batch))
        .routes(routes!(pos::record_return))
        .routes(routes!(sign_in::sign_in))
        .routes(routes!(sign_in::sign_out))
        .routes(routes!(sign_in::sign_out_everywhere))
        .routes(routes!(me::me))
        .routes(routes!(me::balance))
        .routes(routes!(statement::statement))
        .routes(routes!(me::code))
        .routes(routes!(reviews::pending))
        .routes(routes!(stream::stream))
        .routes(routes!(inbox::push_key))
        .routes(routes!(inbox::subscribe))
        .routes(routes!(inbox::unsubscribe))
        .routes(routes!(inbox::inbox))
        .routes(routes!(inbox::notice))
        .routes(routes!(inbox::recommendation))
        .routes(routes!(markets::markets))
        .routes(routes!(markets::market))
        .routes(routes!(stakes::quote))
        .routes(routes!(stakes::confirm))
        .routes(routes!(stakes::order))
        .routes(routes!(stakes::orders))
        .routes(routes!(stakes::positions))
        .routes(routes!(webhook::settlement))
        .routes(routes!(protect::put_place))
        .routes(routes!(protect::put_limits, protect::get_limits))
        .routes(routes!(protect::confirm_raise))
        .routes(routes!(protect::post_exclusion))
        .routes(routes!(protect::ask_to_return))
        .routes(routes!(protect::post_break))
        .routes(routes!(protect::put_prompts))
        .routes(routes!(protect::put_offers))
}

/// The routes that are public and their document.
pub(crate) fn parts() -> (Router<Arc<App>>, utoipa::openapi::OpenApi) {
    let (routes, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(health_routes())
        .merge(programme_routes())
        .merge(operators_routes())
        .split_for_parts();
    describe_responses(&mut document);
    join_descriptions(&mut document);
    part_formats(&mut document);
    (routes, document)
}

/// The whole service. `over_tls`: a proxy speaks TLS to those outside.
pub fn services(app: &Arc<App>, over_tls: bool) -> Services {
    let (public, document) = parts();
    let (operators, _) = health_routes().merge(operators_routes()).split_for_parts();
    let turned_away = TurnedAway::default();
    let entrance = Arc::new(Entrance::new(&document, Admissions::new(turned_away.clone(), app.tills_max)));
    // Answers that tell of somebody, or carry a token, are kept nowhere on their way; pages say for themselves.
    let public = public.layer(no_store()).route("/openapi.json", get(openapi)).merge(pages::routes());
    let operators = operators.route("/metrics", get(health::metrics)).layer(no_store()).merge(pages::live());
    let live = LiveCopy::default();
    let whole = |routes| {
        let routes = guarded(routes, app, &entrance, over_tls);
        routes.layer(Extension(turned_away.clone())).layer(Extension(live.clone()))
    };
    let public = public.layer(Extension(Streams::default()));
    Services {
        public: whole(public).with_state(app.clone()),
        operators: whole(operators).with_state(app.clone()),
        turned_away,
    }
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

fn no_store() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, NO_STORE)
}

/// From the inside to the outside.
fn guarded(routes: Router<Arc<App>>, app: &Arc<App>, entrance: &Arc<Entrance>, over_tls: bool) -> Router<Arc<App>> {
    let strict = HeaderValue::from_static("max-age=31536000");
    let strict = over_tls.then(|| SetResponseHeaderLayer::overriding(header::STRICT_TRANSPORT_SECURITY, strict));
    routes
        .fallback(|| async { Problem::bare(ProblemKind::NotFound) })
        .method_not_allowed_fallback(|| async { Problem::bare(ProblemKind::MethodNotAllowed) })
        .layer(from_fn(refuse_nul))
        .layer(from_fn(limit_time))
        .layer(from_fn_with_state((entrance.clone(), app.clone()), enter))
        .layer(from_fn(measure))
        .layer(CatchPanicLayer::custom(|_| Problem::bare(ProblemKind::Internal).into_response()))
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, NO_STORE))
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .layer(option_layer(strict))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], crate::openapi_json())
}

/// Counts and times every request by its route, never by its path: paths hold ids.
async fn measure(request: Request, next: Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = counted_as(request.method());
    let started = Instant::now();
    let response = next.run(request).await;
    // What a sender took for his own part is no time of ours.
    let reading = response.extensions().get::<Reading>().map_or(Duration::ZERO, |reading| reading.0);
    let took = started.elapsed().saturating_sub(reading);
    let status = response.status().as_u16().to_string();
    let labels = [("route", route), ("method", method.to_owned()), ("status", status)];
    metrics::counter!("hunch_http_requests_total", &labels).increment(1);
    metrics::histogram!("hunch_http_request_seconds", &labels).record(took.as_secs_f64());
    response
}

/// The known methods by their names. Anybody can make up others without end, and each would be a figure of its own for as
/// long as the process lives.
fn counted_as(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "other",
    }
}

/// An address with the character U+0000 names nothing: no text of ours can hold it.
async fn refuse_nul(request: Request, next: Next) -> Response<Body> {
    if request.uri().path_and_query().is_some_and(|p| p.as_str().contains("%00")) {
        return Problem::bare(ProblemKind::NotFound).into_response();
    }
    next.run(request).await
}

async fn limit_time(request: Request, next: Next) -> Response<Body> {
    match tokio::time::timeout(Duration::from_secs(REQUEST_SECONDS_MAX), next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            ProblemKind::Timeout,
            "it is not known whether the request took effect; send it again with the same key",
        )
        .into_response(),
    }
}
