//! The control interface under `/sim/v1`: what a referee does, not what a client may. Its token is its
//! own (`Authorization: Bearer …`); the exchange's keys open nothing here. Documented in the README.

#![expect(clippy::result_large_err, reason = "a refused request ends in its answer, and that is a whole response")]

use crate::answers::{answer, nested};
use crate::engine::{Engine, Now, Refusal};
use crate::faults::Fault;
use crate::listing::Listing;
use crate::model::Outcome;
use crate::sim::Sim;
use crate::units::{Cash, Px, Qty};
use crate::wire;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

pub fn router(sim: Arc<Sim>) -> Router {
    Router::new()
        .route("/sim/v1/state", get(state))
        .route("/sim/v1/markets", post(create))
        .route("/sim/v1/markets/{ticker}/{verb}", post(act))
        .route("/sim/v1/exchange", post(exchange))
        .route("/sim/v1/fund", post(fund))
        .route("/sim/v1/faults", get(faults).post(arm).delete(clear))
        .layer(from_fn_with_state(sim.clone(), guard))
        .with_state(sim)
}

async fn guard(State(sim): State<Arc<Sim>>, request: Request, next: Next) -> Response {
    let given =
        request.headers().get("authorization").and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    if given != Some(sim.config.control_token.as_str()) {
        return nested(401, "control_token", "the control token is missing or wrong", None);
    }
    next.run(request).await
}

fn read<T: for<'d> Deserialize<'d>>(body: &Bytes) -> Result<T, Response> {
    let bytes: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(bytes)
        .map_err(|e| nested(400, "bad_request", "the body cannot be read", Some(&e.to_string())))
}

fn done(result: Result<(), Refusal>) -> Response {
    match result {
        Ok(()) => answer(200, json!({ "done": true })),
        Err(refusal) => refusal.into_response(),
    }
}

async fn state(State(sim): State<Arc<Sim>>) -> Response {
    answer(200, sim.with(|engine, _| wire::dump(engine)))
}

/// Series and event are listed on the way when they are new.
async fn create(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    match read::<Listing>(&body) {
        Ok(listing) => done(sim.with(|engine, now| listing.list(engine, now))),
        Err(refused) => refused,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Act {
    /// `yes`, `no` or `scalar`.
    result: Option<String>,
    /// Dollars one YES contract pays, for `scalar`.
    settlement_value: Option<String>,
    expiration_value: String,
    close_time: Option<Timestamp>,
    /// Levels as [price, count], each at the price its buyer pays.
    yes: Vec<(String, String)>,
    no: Vec<(String, String)>,
}

impl Act {
    fn outcome(&self) -> Result<Outcome, Refusal> {
        match (self.result.as_deref(), &self.settlement_value) {
            (Some("yes"), _) => Ok(Outcome::Yes),
            (Some("no"), _) => Ok(Outcome::No),
            (Some("scalar"), Some(value)) => {
                value.parse().map(Outcome::Scalar).map_err(|_| Refusal::Parameters("settlement_value"))
            }
            _ => Err(Refusal::Parameters("result")),
        }
    }

    fn levels(levels: &[(String, String)]) -> Result<Vec<(Px, Qty)>, Refusal> {
        let one = |(price, count): &(String, String)| {
            Ok((price.parse().map_err(|_| Refusal::Price)?, count.parse().map_err(|_| Refusal::Size)?))
        };
        levels.iter().map(one).collect()
    }

    fn perform(&self, engine: &mut Engine, now: Now, ticker: &str, verb: &str) -> Result<(), Refusal> {
        match verb {
            "close" => match self.close_time {
                Some(close) => engine.set_close_time(now, ticker, close),
                None => engine.close(now, ticker),
            },
            "determine" => engine.determine(now, ticker, self.outcome()?, &self.expiration_value),
            "dispute" => engine.dispute(now, ticker),
            "amend" => engine.amend_outcome(now, ticker, self.outcome()?, &self.expiration_value),
            "finalize" => engine.finalize(now, ticker),
            "pause" => engine.deactivate(now, ticker),
            "resume" => engine.activate(now, ticker),
            "book" => engine.set_book(now, ticker, &Act::levels(&self.yes)?, &Act::levels(&self.no)?),
            _ => Err(Refusal::Parameters("unknown verb")),
        }
    }
}

async fn act(State(sim): State<Arc<Sim>>, Path((ticker, verb)): Path<(String, String)>, body: Bytes) -> Response {
    match read::<Act>(&body) {
        Ok(act) => done(sim.with(|engine, now| act.perform(engine, now, &ticker, &verb))),
        Err(refused) => refused,
    }
}

async fn exchange(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    struct Exchange {
        #[serde(default = "yes")]
        exchange_active: bool,
        #[serde(default = "yes")]
        trading_active: bool,
        /// When the exchange says that it expects to go on.
        resume_time: Option<Timestamp>,
        /// A window in which it will not work: announced in the schedule, and kept.
        maintenance: Option<Window>,
    }
    #[derive(Deserialize)]
    struct Window {
        start: Timestamp,
        end: Timestamp,
    }
    fn yes() -> bool {
        true
    }
    match read::<Exchange>(&body) {
        Ok(Exchange { maintenance: Some(window), .. }) if window.start >= window.end => {
            Refusal::Parameters("maintenance").into_response()
        }
        Ok(wanted) => {
            sim.with(|engine, now| {
                engine.pause(now, wanted.exchange_active, wanted.trading_active, wanted.resume_time);
                if let Some(window) = wanted.maintenance {
                    engine.maintain(now, window.start, window.end);
                }
            });
            done(Ok(()))
        }
        Err(refused) => refused,
    }
}

async fn fund(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    struct Fund {
        #[serde(default = "first")]
        account: usize,
        #[serde(default)]
        shard: usize,
        amount_dollars: String,
    }
    fn first() -> usize {
        1
    }
    let fund = match read::<Fund>(&body) {
        Ok(fund) => fund,
        Err(refused) => return refused,
    };
    match fund.amount_dollars.parse::<Cash>() {
        Ok(amount) => done(sim.with(|engine, now| engine.fund(now, fund.account, fund.shard, amount))),
        Err(_) => Refusal::Parameters("amount_dollars").into_response(),
    }
}

async fn faults(State(sim): State<Arc<Sim>>) -> Response {
    answer(200, json!({ "faults": sim.faults().armed() }))
}

async fn arm(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    match read::<Fault>(&body) {
        Ok(fault) => {
            sim.arm(fault);
            done(Ok(()))
        }
        Err(refused) => refused,
    }
}

async fn clear(State(sim): State<Arc<Sim>>) -> Response {
    sim.faults().clear();
    done(Ok(()))
}
