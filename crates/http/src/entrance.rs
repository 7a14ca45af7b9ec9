//! What a request passes before anything is done for it. Are its headers those of somebody whom this route serves, is the
//! session one, was it signed just now, is the body in? Only then it takes a place (`overload`). Whoever sends slowly,
//! or says that a body follows and is silent, holds nothing that others need, and time spent reading says nothing
//! about how busy the programme is.
//!
//! The handlers ask for credentials again, and check what only a whole body shows. What a route takes is read from
//! the document, which a test holds against the handlers.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use axum::middleware::Next;
use axum::response::IntoResponse;
use bytes::BytesMut;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::StreamExt;

use crate::app::App;
use crate::credentials::{
    Looker, MEMBER, OPERATOR, Operator, TERMINAL, TICKET, TillHeaders, WEBHOOK, member_token, signed_in,
};
use crate::overload::Admissions;
use crate::patience::Patience;
use crate::problem::{Problem, ProblemKind};
use crate::refused::Refused;
use crate::routes::webhook::SignatureHeader;
use crate::source::Source;

/// Of tills, which send batches, and operators, who take in many members at once.
const LONG_BODY_BYTES_MAX: usize = 1024 * 1024;
const BODY_BYTES_MAX: usize = 32 * 1024;
/// A body has this long, and a second more for each piece of this size that is in: a slow line is none of the till's doing.
const BODY_WITHIN: Duration = Duration::from_secs(2);
const BYTES_A_SECOND_MIN: usize = 64 * 1024;
/// Sessions that this process has not seen lately are looked up by so many at once, with so long a wait at most.
const STRANGERS: usize = 16;
const STRANGERS_WAIT: Duration = Duration::from_secs(2);

/// Whom a route serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serves {
    Anyone,
    Member,
    Terminal,
    Operator,
    Looker,
    Relay,
}

impl Serves {
    /// Whose credentials it takes; of everybody's routes, those that open a session do.
    fn credentials(self) -> &'static str {
        match self {
            Serves::Anyone => "newcomer",
            Serves::Member => MEMBER,
            Serves::Terminal => TERMINAL,
            Serves::Operator => OPERATOR,
            Serves::Looker => TICKET,
            Serves::Relay => WEBHOOK,
        }
    }
}

pub(crate) struct Entrance {
    serves: HashMap<String, Vec<(Method, Serves)>>,
    admissions: Admissions,
    strangers: Semaphore,
    refused: Refused,
    patience: Patience,
}

/// How long a request's headers and body took: no time of ours.
#[derive(Clone, Copy)]
pub(crate) struct Reading(pub Duration);

impl Entrance {
    pub fn new(document: &utoipa::openapi::OpenApi, admissions: Admissions) -> Entrance {
        let paths = serde_json::to_value(&document.paths).unwrap_or_default();
        let routes = paths.as_object().into_iter().flatten();
        let serves = routes.map(|(path, operations)| (path.clone(), served_by(operations))).collect();
        Entrance {
            serves,
            admissions,
            strangers: Semaphore::new(STRANGERS),
            refused: Refused::default(),
            patience: Patience::default(),
        }
    }

    fn serves(&self, parts: &Parts) -> Serves {
        let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let found = self.serves.get(path).and_then(|all| all.iter().find(|(method, _)| *method == parts.method));
        found.map_or(Serves::Anyone, |(_, serves)| *serves)
    }

    /// Whether the headers alone show that this is nobody.
    async fn greet(&self, serves: Serves, parts: &mut Parts, app: &Arc<App>) -> Result<(), Problem> {
        match serves {
            Serves::Anyone => Ok(()),
            Serves::Operator => Operator::from_request_parts(parts, app).await.map(|_| ()),
            Serves::Looker => Looker::from_request_parts(parts, app).await.map(|_| ()),
            Serves::Relay => {
                let header = SignatureHeader::of(&parts.headers);
                let in_time = SignatureHeader::read(header).and_then(|signed| signed.in_time(&app.clocks.wall));
                in_time.map_err(|sentence| Problem::new(ProblemKind::BadSignature, sentence))
            }
            Serves::Terminal => {
                let till = TillHeaders::read(&parts.headers)?;
                app.terminal_sessions.in_time(till.timestamp)?;
                if app.terminal_sessions.remembers(till.session) {
                    return Ok(());
                }
                self.look_up(async { Ok(app.terminal_sessions.find(till.session).await.map(|_| ())?) }).await
            }
            Serves::Member => {
                let token = member_token(&parts.headers)?;
                if app.people.remembers(token) {
                    return Ok(());
                }
                self.look_up(async { signed_in(app, token).await.map(|_| ()) }).await
            }
        }
    }

    async fn look_up(&self, known: impl Future<Output = Result<(), Problem>>) -> Result<(), Problem> {
        let busy = || Problem::new(ProblemKind::Busy, BUSY);
        let place = timeout(STRANGERS_WAIT, self.strangers.acquire()).await;
        let _place = place.ok().and_then(Result::ok).ok_or_else(busy)?;
        timeout(STRANGERS_WAIT, known).await.map_err(|_| busy())?
    }
}

const BUSY: &str = "more is asked than can be done just now; nothing happened, send the same again in a second";

fn served_by(operations: &serde_json::Value) -> Vec<(Method, Serves)> {
    let operations = operations.as_object().into_iter().flatten();
    let named = operations.filter_map(|(method, operation)| {
        let ticket = operation["security"][1].as_object().is_some_and(|schemes| schemes.contains_key(TICKET));
        let scheme = operation["security"][0].as_object().and_then(|schemes| schemes.keys().next());
        let serves = match scheme.map(String::as_str) {
            Some(MEMBER) => Serves::Member,
            Some(TERMINAL) => Serves::Terminal,
            Some(OPERATOR) if ticket => Serves::Looker,
            Some(OPERATOR) => Serves::Operator,
            Some(WEBHOOK) => Serves::Relay,
            _ => Serves::Anyone,
        };
        Some((method.to_uppercase().parse().ok()?, serves))
    });
    named.collect()
}

/// Lets a request in when it is whole and there is a place.
pub(crate) async fn enter(
    State((entrance, app)): State<(Arc<Entrance>, Arc<App>)>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let begun = Instant::now();
    let (mut parts, body) = request.into_parts();
    let serves = entrance.serves(&parts);
    let (route, source) = (parts.extensions.get::<MatchedPath>().cloned(), parts.extensions.get::<Source>().copied());
    let refused = |response: &Response<Body>| {
        if response.status() == StatusCode::UNAUTHORIZED {
            let route = route.as_ref().map_or("", MatchedPath::as_str);
            entrance.refused.one(serves.credentials(), route, source.map(|Source(address)| address));
        }
    };
    let whole = async {
        entrance.greet(serves, &mut parts, &app).await?;
        read(body, body_bytes_max(serves)).await
    };
    let answered = match whole.await {
        Ok(bytes) => {
            let reading = Reading(begun.elapsed());
            match entrance.admissions.enter(parts.uri.path()) {
                // Until the answer's first byte: a stream that stays open gives its place back.
                Ok(_admitted) => {
                    let mut response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
                    response.extensions_mut().insert(reading);
                    refused(&response);
                    return response;
                }
                Err(()) => {
                    drop(bytes);
                    entrance.patience.wait().await;
                    Problem::new(ProblemKind::Busy, BUSY)
                }
            }
        }
        Err(problem) => problem,
    };
    let mut response = answered.into_response();
    refused(&response);
    response.extensions_mut().insert(Reading(begun.elapsed()));
    response
}

fn body_bytes_max(serves: Serves) -> usize {
    match serves {
        Serves::Terminal | Serves::Operator => LONG_BODY_BYTES_MAX,
        Serves::Anyone | Serves::Member | Serves::Looker | Serves::Relay => BODY_BYTES_MAX,
    }
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    let (begun, mut pieces, mut whole) = (Instant::now(), body.into_data_stream(), BytesMut::new());
    loop {
        let due = begun + BODY_WITHIN + Duration::from_secs((whole.len() / BYTES_A_SECOND_MIN) as u64);
        match timeout_at(due, pieces.next()).await {
            Ok(Some(Ok(piece))) if whole.len() + piece.len() > bytes_max => return Err(too_large(bytes_max)),
            Ok(Some(Ok(piece))) => whole.extend_from_slice(&piece),
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Err(_))) => {
                return Err(Problem::new(ProblemKind::BadJson, "The body did not arrive whole. Send it again."));
            }
            Err(_) => return Err(too_slow()),
        }
    }
}

fn too_large(bytes_max: usize) -> Problem {
    let sentence = match bytes_max {
        LONG_BODY_BYTES_MAX => "Send at most one mebibyte. Split a batch into smaller ones.".to_owned(),
        bytes => format!("Send at most {} kibibytes here.", bytes / 1024),
    };
    Problem::new(ProblemKind::BodyTooLarge, sentence)
}

fn too_slow() -> Problem {
    let sentence = "The body did not arrive within two seconds. Nothing happened. Send the same again.";
    Problem::new(ProblemKind::BodyTooSlow, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::wrappers::ReceiverStream;

    /// A body of so many pieces of this size, one each `every`, that never ends by itself.
    fn dripping(pieces: usize, size: usize, every: Duration) -> Body {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
        tokio::spawn(async move {
            for _ in 0..pieces {
                let _ = sender.send(Ok(Bytes::from(vec![b'x'; size]))).await;
                tokio::time::sleep(every).await;
            }
            sender.closed().await;
        });
        Body::from_stream(ReceiverStream::new(receiver))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_waited_for_two_seconds() {
        for (pieces, every) in [(0, 1), (1_000, 1_500)] {
            let begun = Instant::now();
            let problem = read(dripping(pieces, 1, Duration::from_millis(every)), BODY_BYTES_MAX).await.unwrap_err();
            assert_eq!(problem.kind, ProblemKind::BodyTooSlow);
            assert!(begun.elapsed() <= BODY_WITHIN + Duration::from_millis(10), "{:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_body_on_a_slow_line_comes_in_and_one_that_is_too_long_does_not() {
        // Ten seconds for less than a mebibyte.
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
        tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let _ = sender.send(Ok(Bytes::from(vec![b'x'; 100_000]))).await;
            }
        });
        let slow = Body::from_stream(ReceiverStream::new(receiver));
        assert_eq!(read(slow, LONG_BODY_BYTES_MAX).await.unwrap().len(), 1_000_000);
        let endless = dripping(usize::MAX, 1_000, Duration::ZERO);
        assert_eq!(read(endless, BODY_BYTES_MAX).await.unwrap_err().kind, ProblemKind::BodyTooLarge);
    }

    #[test]
    fn every_operation_of_the_document_serves_somebody() {
        let (_, document) = crate::router::parts();
        let entrance = Entrance::new(&document, Admissions::new(Default::default(), 256));
        let served = |path: &str, method: Method| {
            entrance.serves[path].iter().find(|(m, _)| *m == method).map(|(_, serves)| *serves)
        };
        assert_eq!(served("/v1/pos/purchases", Method::POST), Some(Serves::Terminal));
        assert_eq!(served("/v1/pos/sessions", Method::POST), Some(Serves::Anyone));
        assert_eq!(served("/v1/orders", Method::POST), Some(Serves::Member));
        assert_eq!(served("/v1/orders/{id}", Method::GET), Some(Serves::Member));
        assert_eq!(served("/v1/ops/members", Method::POST), Some(Serves::Operator));
        assert_eq!(served("/v1/ops/live", Method::GET), Some(Serves::Looker));
        assert_eq!(served("/webhooks/settlement", Method::POST), Some(Serves::Relay));
        assert_eq!(entrance.serves.len(), document.paths.paths.len());
    }
}
