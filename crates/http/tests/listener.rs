//! Connections over real sockets, with a clock that jumps to what is waited for next.

use axum::Router;
use axum::routing::get;
use hunch_http::{ListenerTerms, TurnedAway, serve};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What is promised: a head has ten seconds, a kept connection may rest for 75, and all is looked at every second.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const QUIET_MAX: Duration = Duration::from_secs(75);
const LOOK_EVERY: Duration = Duration::from_secs(1);

async fn serving(room: usize) -> (SocketAddr, CancellationToken, TurnedAway) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, closing, away) = (listener.local_addr().unwrap(), CancellationToken::new(), TurnedAway::default());
    let slow = || async { tokio::time::sleep(Duration::from_secs(30)).await };
    let router = Router::new().route("/", get(|| async { "here" })).route("/slow", get(slow));
    tokio::spawn(serve(listener, router, ListenerTerms { room, proxies: 0 }, away.clone(), closing.clone()));
    (address, closing, away)
}

async fn say(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// What is said until the connection ends, or nothing more comes for a minute and a half.
async fn until_the_end(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let read = tokio::time::timeout(Duration::from_secs(90), stream.read_to_string(&mut text)).await;
    read.ok().map(|_| text)
}

async fn piece(stream: &mut TcpStream) -> String {
    let mut piece = vec![0; 1_024];
    let length = stream.read(&mut piece).await.unwrap();
    String::from_utf8_lossy(&piece[..length]).into_owned()
}

#[tokio::test(start_paused = true)]
async fn half_a_head_ends_and_so_does_a_connection_that_says_nothing() {
    let (address, _closing, _) = serving(16).await;
    for said in ["", "G", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = say(address, said).await;
        let begun = Instant::now();
        assert!(until_the_end(&mut stream).await.is_some(), "{said:?} is still open");
        assert!(begun.elapsed() < HEAD_WITHIN + LOOK_EVERY * 2, "{said:?} took {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_drop_by_drop_has_no_more_time() {
    let (address, _closing, _) = serving(16).await;
    let mut stream = say(address, "GET / HTTP/1.1\r\nHost: x\r\n").await;
    let begun = Instant::now();
    while begun.elapsed() < HEAD_WITHIN + LOOK_EVERY * 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if stream.write_all(b"X: y\r\n").await.is_err() {
            break;
        }
    }
    assert!(stream.read(&mut [0]).await.is_ok_and(|n| n == 0) || stream.write_all(b"x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_may_rest_and_then_has_the_time_of_one_head() {
    let (address, _closing, _) = serving(16).await;
    let mut stream = say(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(piece(&mut stream).await.ends_with("here"));
    tokio::time::sleep(QUIET_MAX - LOOK_EVERY * 5).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(piece(&mut stream).await.ends_with("here"), "it rested, as proxies' connections do");
    stream.write_all(b"GET / HT").await.unwrap();
    let begun = Instant::now();
    assert!(until_the_end(&mut stream).await.is_some());
    assert!(begun.elapsed() < HEAD_WITHIN + LOOK_EVERY * 2, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_all_room_is_taken_the_quiet_make_room_and_the_busy_stay() {
    let (address, _closing, away) = serving(8).await;
    let mut busy = say(address, "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(say(address, "GET").await);
        let mut asking = say(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(until_the_end(&mut asking).await.unwrap().ends_with("here"), "whoever asks is answered");
    }
    assert!(until_the_end(&mut busy).await.unwrap().starts_with("HTTP/1.1 200"), "what was in hand is answered");
    assert!(away.lately().is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_everybody_is_at_something_the_next_is_turned_away_and_counted() {
    let (address, _closing, away) = serving(4).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(say(address, "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await);
        // The head is read.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut one_more = TcpStream::connect(address).await.unwrap();
    assert!(one_more.read(&mut [0]).await.map_or(true, |n| n == 0));
    assert_eq!(away.lately(), vec![("connections", 1)]);
    for mut stream in busy {
        assert!(until_the_end(&mut stream).await.unwrap().starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test(start_paused = true)]
async fn closing_answers_what_is_in_hand_and_waits_for_nobody_who_is_silent() {
    let (address, closing, _) = serving(16).await;
    let mut silent = say(address, "GET / HTTP/1.1\r\n").await;
    let mut busy = say(address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    closing.cancel();
    let begun = Instant::now();
    assert!(until_the_end(&mut silent).await.is_some());
    assert!(begun.elapsed() < LOOK_EVERY, "{:?}", begun.elapsed());
    assert!(until_the_end(&mut busy).await.unwrap().starts_with("HTTP/1.1 200"));
}

/// By the first frame of HTTP/2, as RFC 9113 has it: nine bytes of head, then settings of six bytes each.
#[tokio::test]
async fn a_connection_is_told_how_many_requests_it_may_have_at_once() {
    const SETTINGS: u8 = 4;
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    let (address, _closing, _) = serving(16).await;
    let mut stream = say(address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], SETTINGS);
    let mut settings = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    stream.read_exact(&mut settings).await.unwrap();
    let value = |s: &[u8]| (u16::from_be_bytes([s[0], s[1]]), u32::from_be_bytes([s[2], s[3], s[4], s[5]]));
    let told: Vec<(u16, u32)> = settings.chunks_exact(6).map(value).collect();
    assert!(told.contains(&(MAX_CONCURRENT_STREAMS, 32)), "{told:?}");
}
