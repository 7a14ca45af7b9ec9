//! Connections from outside. Whoever opens one and says nothing, or says it slowly, costs nobody else anything: a head has
//! a deadline, a quiet connection ends, and where all room is taken the one that was quiet longest makes room for the new.
//!
//! hyper has deadlines for heads too, and there a kept connection that rests between two requests is under the same one. A
//! proxy keeps its connections for a minute, a head takes no ten seconds: so both are told apart here.

use axum::Router;
use axum::body::Body;
use axum::http::Version;
use bytes::Bytes;
use hunch_kernel::lock;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::source::Source;
use crate::turned_away::TurnedAway;

/// From a head's first byte, or a new connection's beginning, to the head's end.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Longer than proxies keep the connections that they use again.
const QUIET_MAX: Duration = Duration::from_secs(75);
/// Whoever takes so long over an answer may have to make room.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When there is no room, this part of it is made free at once.
const MADE_FREE: usize = 16;
/// What is in hand when the process stops is answered within this, or not at all.
const STOP_WITHIN: Duration = Duration::from_secs(35);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// Requests at once on a connection that can have several.
const STREAMS_MAX: u32 = 32;
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What a connection may send before any of it is wanted.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WITHIN: Duration = Duration::from_secs(10);

/// What a listener is told.
#[derive(Clone, Copy, Debug)]
pub struct ListenerTerms {
    /// Connections at once, at most.
    pub room: usize,
    /// Proxies of ours in front of it, which say where a request comes from.
    pub proxies: usize,
}

/// Answers whoever connects until `closing`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    terms: ListenerTerms,
    turned_away: TurnedAway,
    closing: CancellationToken,
) {
    let seats = Arc::new(Seats { room: terms.room.max(1), next: Mutex::default(), taken: Mutex::default() });
    let graceful = GracefulShutdown::new();
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match seats.take() {
                    Some(seat) => {
                        let (seats, router, watcher) = (seats.clone(), router.clone(), graceful.watcher());
                        tokio::spawn(async move {
                            answer(stream, &seat, router, (peer.ip(), terms.proxies), watcher).await;
                            seats.give_back(&seat);
                        });
                    }
                    None => turned_away.one("connections"),
                },
                Err(error) => pause_after(&error).await,
            },
            _ = look.tick() => seats.end_late(),
            () = closing.cancelled() => break,
        }
    }
    drop(listener);
    seats.end_quiet();
    if tokio::time::timeout(STOP_WITHIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections took no answer any more, and are ended");
        seats.end_all();
    }
}

/// A caller that hung up before it was let in is no trouble of ours; anything else, such as too many open files, passes
/// only when others have gone.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(error = error.to_string(), "no connection can be taken");
        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
    }
}

async fn answer(stream: TcpStream, seat: &Arc<Seat>, router: Router, from: (IpAddr, usize), watcher: Watcher) {
    let _ = stream.set_nodelay(true);
    let busy = seat.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let source = Source::of(from.0, from.1, request.headers());
        request.extensions_mut().insert(source);
        let in_hand = InHand::begin(&busy, request.version());
        let answered = router.clone().oneshot(request.map(Body::new));
        async move { Ok::<_, Infallible>(answered.await?.map(|body| Answer { body, _in_hand: in_hand })) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN);
    let heard = Heard { stream, seat: seat.clone() };
    let connection = builder.serve_connection(TokioIo::new(heard), service);
    tokio::select! {
        ended = watcher.watch(connection) => {
            if let Err(error) = ended {
                tracing::trace!(error = error.to_string(), "a connection ended early");
            }
        }
        () = seat.ended.cancelled() => {}
    }
}

/// All connections of a listener.
struct Seats {
    room: usize,
    next: Mutex<u64>,
    taken: Mutex<HashMap<u64, Arc<Seat>>>,
}

/// One connection, and what it is at.
struct Seat {
    number: u64,
    ended: CancellationToken,
    at: Mutex<At>,
}

struct At {
    /// Requests that are not answered to the end.
    in_hand: usize,
    /// Since when that is so.
    since: Instant,
    /// When the first byte came of a head that is not there yet.
    head_began: Option<Instant>,
    asked_before: bool,
    /// It can have several requests at once, and says other things between them.
    many_at_once: bool,
}

impl At {
    /// When it has had all the time there is.
    fn due(&self) -> Option<Instant> {
        if self.in_hand > 0 {
            return None;
        }
        Some(match self.head_began {
            _ if self.many_at_once => self.since + QUIET_MAX,
            Some(began) => began + HEAD_WITHIN,
            None if self.asked_before => self.since + QUIET_MAX,
            None => self.since + HEAD_WITHIN,
        })
    }

    /// The least can be spared first. `None` must stay.
    fn spared(&self, now: Instant) -> Option<(bool, bool, Instant)> {
        let busy = self.in_hand > 0;
        (!busy || now.duration_since(self.since) > ANSWER_WITHIN).then_some((busy, self.asked_before, self.since))
    }
}

impl Seat {
    fn heard(&self) {
        let mut at = lock(&self.at);
        if at.in_hand == 0 && at.head_began.is_none() {
            at.head_began = Some(Instant::now());
        }
    }
}

impl Seats {
    /// A seat for a new connection; `None` when everybody is at something.
    fn take(&self) -> Option<Arc<Seat>> {
        let mut taken = lock(&self.taken);
        if taken.len() >= self.room && !self.make_room(&mut taken) {
            return None;
        }
        let number = {
            let mut next = lock(&self.next);
            *next += 1;
            *next
        };
        let at = At { in_hand: 0, since: Instant::now(), head_began: None, asked_before: false, many_at_once: false };
        let seat = Arc::new(Seat { number, ended: CancellationToken::new(), at: Mutex::new(at) });
        taken.insert(number, seat.clone());
        Some(seat)
    }

    fn make_room(&self, taken: &mut HashMap<u64, Arc<Seat>>) -> bool {
        let now = Instant::now();
        let mut spared: Vec<_> =
            taken.values().filter_map(|seat| Some((lock(&seat.at).spared(now)?, seat.number))).collect();
        spared.sort_unstable();
        spared.truncate((self.room / MADE_FREE).max(1));
        for (_, number) in &spared {
            if let Some(seat) = taken.remove(number) {
                seat.ended.cancel();
            }
        }
        !spared.is_empty()
    }

    fn give_back(&self, seat: &Seat) {
        lock(&self.taken).remove(&seat.number);
    }

    fn end(&self, whom: impl Fn(&At) -> bool) {
        for seat in lock(&self.taken).values().filter(|seat| whom(&lock(&seat.at))) {
            seat.ended.cancel();
        }
    }

    fn end_late(&self) {
        let now = Instant::now();
        self.end(|at| at.due().is_some_and(|due| due <= now));
    }

    fn end_quiet(&self) {
        self.end(|at| at.in_hand == 0);
    }

    fn end_all(&self) {
        self.end(|_| true);
    }
}

/// A request from its head to the last byte of its answer.
struct InHand(Arc<Seat>);

impl InHand {
    fn begin(seat: &Arc<Seat>, version: Version) -> InHand {
        let mut at = lock(&seat.at);
        at.in_hand += 1;
        (at.since, at.head_began, at.asked_before) = (Instant::now(), None, true);
        at.many_at_once |= version == Version::HTTP_2;
        InHand(seat.clone())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut at = lock(&self.0.at);
        at.in_hand -= 1;
        at.since = Instant::now();
    }
}

/// An answer's body, which keeps its request in hand until it has gone.
struct Answer {
    body: Body,
    _in_hand: InHand,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket whose seat is told when something comes in.
struct Heard {
    stream: TcpStream,
    seat: Arc<Seat>,
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.seat.heard();
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
