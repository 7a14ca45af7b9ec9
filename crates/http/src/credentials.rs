//! Who is asking. Three kinds of credentials, three types: one can never stand in for another.
//!
//! - a member: `Authorization: Bearer <session token>`
//! - a terminal: `Hunch-Session`, `Hunch-Timestamp`, `Hunch-Signature` over the request (see `hunch_loyalty`)
//! - an operator: `Authorization: Bearer <operator token>`; where nothing can be done but looking, a ticket in its place

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use hunch_kernel::{MemberId, MerchantId, TerminalId};
use hunch_loyalty::SignedRequest;
use ring::digest::{SHA256, digest};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use uuid::Uuid;

use crate::app::App;
use crate::json;
use crate::problem::{Problem, ProblemKind};

/// Names of the security schemes in the OpenAPI document.
pub const MEMBER: &str = "member";
pub const TERMINAL: &str = "terminal";
pub const OPERATOR: &str = "operator";
pub const WEBHOOK: &str = "webhook";
pub const TICKET: &str = "ticket";

/// A body that a terminal signed.
pub struct Signed<T> {
    pub terminal: TerminalId,
    pub merchant: MerchantId,
    pub body: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Signed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Signed<T>, Problem> {
        let SignedBytes { terminal, merchant, headers, bytes } = SignedBytes::from_request(request, app).await?;
        // Parsed only after the signature held: strangers do not reach the parser.
        Ok(Signed { terminal, merchant, body: json::parse(&headers, &bytes)? })
    }
}

/// A body that a terminal signed, not read yet.
pub struct SignedBytes {
    pub terminal: TerminalId,
    pub merchant: MerchantId,
    pub headers: HeaderMap,
    pub bytes: bytes::Bytes,
}

impl FromRequest<Arc<App>> for SignedBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<SignedBytes, Problem> {
        let headers = request.headers().clone();
        let (method, path) = (request.method().as_str().to_owned(), request.uri().path().to_owned());
        let TillHeaders { session, timestamp, signature } = TillHeaders::read(&headers)?;
        let bytes = json::read(request, app).await?;
        let signed =
            SignedRequest { session, timestamp, method: &method, path: &path, body: &bytes, signature: &signature };
        let (terminal, merchant) = app.terminal_sessions.verify(&signed).await?;
        app.limits.terminal(terminal)?;
        Ok(SignedBytes { terminal, merchant, headers, bytes })
    }
}

/// What a terminal says of itself before its body.
pub(crate) struct TillHeaders {
    pub session: Uuid,
    pub timestamp: i64,
    signature: Vec<u8>,
}

impl TillHeaders {
    pub fn read(headers: &HeaderMap) -> Result<TillHeaders, Problem> {
        let session = text(headers, "hunch-session").and_then(|v| v.parse().ok());
        let timestamp = text(headers, "hunch-timestamp").and_then(|v| v.parse().ok());
        let signature = text(headers, "hunch-signature").and_then(|v| hex::decode(v).ok());
        match (session, timestamp, signature) {
            (Some(session), Some(timestamp), Some(signature)) => Ok(TillHeaders { session, timestamp, signature }),
            _ => Err(Problem::new(
                ProblemKind::Unauthenticated,
                "a terminal's request carries Hunch-Session, Hunch-Timestamp and Hunch-Signature; open a session first",
            )),
        }
    }
}

/// Someone who signed in.
pub struct MemberSession {
    pub member: MemberId,
    pub token: String,
}

impl FromRequestParts<Arc<App>> for MemberSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<MemberSession, Problem> {
        let token = member_token(&parts.headers)?.to_owned();
        let member = signed_in(app, &token).await?;
        app.limits.member(member)?;
        Ok(MemberSession { member, token })
    }
}

pub(crate) fn member_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::new(ProblemKind::Unauthenticated, "sign in, then send Authorization: Bearer <token>");
    bearer(headers).ok_or_else(missing)
}

/// Whose session it is.
pub(crate) async fn signed_in(app: &App, token: &str) -> Result<MemberId, Problem> {
    let ended = || Problem::new(ProblemKind::Unauthenticated, "the session has ended; sign in again");
    app.people.session(token).await?.ok_or_else(ended)
}

/// An operator's token, kept as its digest, and the name under which its holder's acts are kept.
#[derive(Clone)]
pub struct OperatorKey {
    name: &'static str,
    digest: Vec<u8>,
}

impl OperatorKey {
    pub fn of_token(name: &'static str, token: &str) -> OperatorKey {
        OperatorKey { name, digest: digest(&SHA256, token.as_bytes()).as_ref().to_vec() }
    }

    /// Of somebody whose token is not here: SHA-256 in hexadecimal. `None` if it is none.
    pub fn of_sha256(name: &'static str, sha256: &str) -> Option<OperatorKey> {
        let digest = hex::decode(sha256.trim()).ok().filter(|digest| digest.len() == SHA256.output_len())?;
        Some(OperatorKey { name, digest })
    }

    /// Whether two of them are one person.
    pub fn is_same(&self, other: &OperatorKey) -> bool {
        self.digest == other.digest
    }
}

/// Someone who holds an operator's token.
pub struct Operator {
    pub name: &'static str,
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Operator, Problem> {
        let token = bearer(&parts.headers)
            .ok_or_else(|| Problem::new(ProblemKind::Unauthenticated, "send Authorization: Bearer <operator token>"))?;
        // Digests of random tokens: how far two of them agree tells a guesser nothing.
        let given = OperatorKey::of_token("", token);
        match app.operators.iter().find(|key| key.digest == given.digest) {
            Some(key) => Ok(Operator { name: key.name }),
            None => Err(Problem::new(ProblemKind::Unauthenticated, "this is not an operator's token")),
        }
    }
}

/// Somebody who may look and do nothing: an operator, or whoever has a ticket.
pub struct Looker;

impl FromRequestParts<Arc<App>> for Looker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Looker, Problem> {
        if bearer(&parts.headers).is_some_and(|ticket| app.tickets.admits(ticket, app.clocks.wall.now())) {
            return Ok(Looker);
        }
        let told = "this is neither an operator's token nor a ticket that holds; ask for a new link";
        let operator = Operator::from_request_parts(parts, app).await;
        operator.map(|_| Looker).map_err(|problem| Problem::new(problem.kind, told))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    // The scheme's name is the same in capitals and small letters (RFC 9110, 11.1).
    let (scheme, token) = text(headers, "authorization")?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
