//! How many requests are in hand at once. Beyond that the next one is turned away at the door, at the price of reading
//! its first line: what was let in keeps its speed, and the queue empties within seconds once the rush is over.
//!
//! Tills, stakes and everything else have doors of their own. Stakes wait for the exchange, and a slow exchange must
//! not keep a shop from selling. Operators and health have none: at 2 a.m. somebody must get in.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tokio::sync::Semaphore;

use crate::problem::{Problem, ProblemKind};

/// At 5,000 purchases a second each waits for about fifty milliseconds.
const TILLS: usize = 256;
const STAKES: usize = 128;
const OTHERS: usize = 256;

#[derive(Clone)]
pub(crate) struct Doors {
    tills: Arc<Semaphore>,
    stakes: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Doors {
    pub fn new() -> Doors {
        let door = |places| Arc::new(Semaphore::new(places));
        Doors { tills: door(TILLS), stakes: door(STAKES), others: door(OTHERS) }
    }

    fn of(&self, path: &str) -> Option<(&'static str, &Arc<Semaphore>)> {
        let below = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
        if below(&["/healthz", "/readyz", "/metrics", "/v1/ops/"]) {
            None
        } else if below(&["/v1/pos/"]) {
            Some(("tills", &self.tills))
        } else if below(&["/v1/quotes", "/v1/orders", "/webhooks/"]) {
            Some(("stakes", &self.stakes))
        } else {
            Some(("others", &self.others))
        }
    }
}

pub(crate) async fn one_at_a_door(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let Some((name, door)) = doors.of(request.uri().path()) else { return next.run(request).await };
    match door.clone().try_acquire_owned() {
        // Held until the answer's first byte: a stream that stays open gives its place back.
        Ok(_place) => next.run(request).await,
        Err(_) => {
            metrics::counter!("hunch_http_shed_total", "door" => name).increment(1);
            let sentence = "more is asked than can be done just now; nothing happened, send the same again in a second";
            Problem::new(ProblemKind::Busy, sentence).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    /// Every place at the tills' door is taken by requests that wait.
    #[tokio::test]
    async fn a_full_door_turns_away_and_the_others_stay_open() {
        let doors = Doors::new();
        let hold = Arc::new(Semaphore::new(0));
        let waiting = hold.clone();
        let slow = move || {
            let hold = waiting.clone();
            async move { hold.acquire().await.map(|_| ()).map_err(|_| axum::http::StatusCode::GONE) }
        };
        let router = Router::new()
            .route("/v1/pos/purchases", get(slow))
            .route("/v1/me", get(|| async {}))
            .route("/readyz", get(|| async {}))
            .layer(from_fn_with_state(doors.clone(), one_at_a_door));
        let ask = |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let router = router.clone();
            async move { router.oneshot(request).await.unwrap() }
        };
        let inside: Vec<_> = (0..TILLS).map(|_| tokio::spawn(ask("/v1/pos/purchases"))).collect();
        while doors.tills.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let shed = ask("/v1/pos/purchases").await;
        assert_eq!((shed.status().as_u16(), shed.headers()["retry-after"].to_str().unwrap()), (503, "1"));
        assert_eq!(ask("/v1/me").await.status(), 200);
        assert_eq!(ask("/readyz").await.status(), 200);

        hold.add_permits(TILLS);
        for one in inside {
            assert_eq!(one.await.unwrap().status(), 200, "what was let in is answered");
        }
        hold.add_permits(1);
        assert_eq!(ask("/v1/pos/purchases").await.status(), 200, "the door is open again");
    }
}
