//! The live stream: first a snapshot, then what happens to this member, as server-sent events.
//!
//! An event's id is `shard-sequence`; a reader that comes back with `Last-Event-ID` goes on right behind it. A reader
//! who was away too long, or sends an id of another shard, begins again with a snapshot: nothing is ever missing.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use hunch_kernel::{MemberId, Shard, lock};
use hunch_messages::Message;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::credentials::MemberSession;
use crate::problem::{Problem, ProblemBody};
use crate::routes::me::Balance;

/// Other processes write too and do not wake us: the table is looked at this often anyway.
const LOOK_SECONDS: u64 = 2;
const KEEP_ALIVE_SECONDS: u64 = 15;
const BATCHES_AT_ONCE: i64 = 64;
/// Someone further behind than this gets a snapshot instead of a replay.
const REPLAY_MESSAGES_MAX: i64 = 10_000;
const WAITING_EVENTS_MAX: usize = 64;

/// Live streams of one member at once. A phone that comes back after a tunnel does not know that its last one still
/// stands here, so the oldest ends, and the new one is served.
const STREAMS_MAX: usize = 5;

/// The live streams that are open.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    next: u64,
    of: HashMap<MemberId, VecDeque<(u64, CancellationToken)>>,
}

/// One of them, until it is dropped.
struct OpenStream {
    streams: Streams,
    member: MemberId,
    number: u64,
    ended: CancellationToken,
}

impl Streams {
    fn open(&self, member: MemberId) -> OpenStream {
        let (mut open, ended) = (lock(&self.0), CancellationToken::new());
        open.next += 1;
        let number = open.next;
        let own = open.of.entry(member).or_default();
        own.push_back((number, ended.clone()));
        if own.len() > STREAMS_MAX
            && let Some((_, oldest)) = own.pop_front()
        {
            oldest.cancel();
        }
        OpenStream { streams: self.clone(), member, number, ended }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = lock(&self.streams.0);
        if let Some(own) = open.of.get_mut(&self.member) {
            own.retain(|(number, _)| *number != self.number);
            if own.is_empty() {
                open.of.remove(&self.member);
            }
        }
    }
}

/// Balance at once, then each change as it is committed. Events: `snapshot`, `changed`. A member has five of them at once at
/// most: one more ends the oldest. A stream ends with its session.
#[utoipa::path(get, path = "/v1/me/stream", tag = "me", security(("member" = [])), responses(
    (status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn stream(
    State(app): State<Arc<App>>,
    Extension(streams): Extension<Streams>,
    session: MemberSession,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let (member, shard) = (session.member, app.people.shard(session.member));
    let head = head(&app, shard).await?;
    let asked = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|id| read_id(id, shard));
    let resume = asked.filter(|seq| (head.saturating_sub(REPLAY_MESSAGES_MAX)..=head).contains(seq));
    let (events, receiver) = mpsc::channel(WAITING_EVENTS_MAX);
    let (after, snapshot) = match resume {
        Some(seq) => (seq, false),
        None => (head, true),
    };
    let open = streams.open(member);
    // Also while it waits for a reader who takes nothing.
    tokio::spawn(
        async move { open.ended.run_until_cancelled(follow(app, session, shard, after, snapshot, events)).await },
    );
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(KEEP_ALIVE_SECONDS));
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive))
}

async fn head(app: &App, shard: Shard) -> Result<i64, Problem> {
    hunch_log::head(&app.pool, shard).await.map_err(|e| Problem::storage(&e))
}

fn read_id(text: &str, shard: Shard) -> Option<i64> {
    let (of, seq) = text.split_once('-')?;
    let seq = seq.parse().ok().filter(|seq| *seq >= 0);
    (of.parse::<i16>().ok()? == shard.0).then_some(seq)?
}

/// Ends when the reader has gone, the session has ended, or the database stays away; the reader comes back with the last id it has
/// seen.
async fn follow(
    app: Arc<App>,
    session: MemberSession,
    shard: Shard,
    mut after: i64,
    snapshot: bool,
    events: mpsc::Sender<Result<Event, Infallible>>,
) {
    let member = session.member;
    if snapshot && !send(&events, shard, after, "snapshot", &app, member, &[]).await {
        return;
    }
    loop {
        // Also while nothing happens, and before anything is told. Asks the database every few seconds only.
        if app.people.session(&session.token).await.ok().flatten().is_none() {
            return;
        }
        let Ok(batches) = app.tail.read_after(&app.pool, shard, after, BATCHES_AT_ONCE).await else { return };
        let mut kinds: Vec<&'static str> = Vec::new();
        for batch in &batches {
            for (_, message) in batch.after(after) {
                if about(message) == Some(member.0) {
                    kinds.push(message.name());
                }
            }
            after = batch.last_seq;
        }
        if !kinds.is_empty() && !send(&events, shard, after, "changed", &app, member, &kinds).await {
            return;
        }
        if batches.is_empty() {
            tokio::select! {
                () = app.tail.wait_past(shard, after) => {}
                () = tokio::time::sleep(Duration::from_secs(LOOK_SECONDS)) => {}
                () = events.closed() => return,
                () = app.closing.cancelled() => return,
            }
        }
    }
}

/// One event with the balance as it is now, and what happened. `false` once nobody listens.
async fn send(
    events: &mpsc::Sender<Result<Event, Infallible>>,
    shard: Shard,
    seq: i64,
    name: &str,
    app: &App,
    member: MemberId,
    kinds: &[&'static str],
) -> bool {
    let Ok(balance) = hunch_ledger::balance(&app.pool, member).await else { return false };
    let balance = Balance::from(balance.unwrap_or_default());
    let data = serde_json::json!({"balance": balance, "happened": kinds}).to_string();
    let event = Event::default().id(format!("{}-{seq}", shard.0)).event(name).data(data);
    events.send(Ok(event)).await.is_ok()
}

fn about(message: &Message) -> Option<Uuid> {
    match message {
        Message::Posted(m) => Some(m.member),
        Message::PurchaseRecorded(m) => Some(m.member),
        Message::PurchaseReturned(m) => Some(m.member),
        Message::PurchaseReviewed(m) => Some(m.member),
        Message::MemberJoined(m) => Some(m.member),
        Message::StandingChanged(m) => Some(m.member),
        Message::StakeHeld(m) => Some(m.member),
        Message::StakeResolved(m) => Some(m.member),
        Message::PositionPaid(m) => Some(m.member),
        Message::NoticeOpened(m) => Some(m.member),
        Message::MarketChanged(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_another_shard_is_not_followed() {
        assert_eq!(read_id("3-41", Shard(3)), Some(41));
        for other in ["4-41", "3", "3-", "-3-4", "3--9223372036854775808", "3-9223372036854775808", "x-1", ""] {
            assert_eq!(read_id(other, Shard(3)), None, "{other}");
        }
    }
}
