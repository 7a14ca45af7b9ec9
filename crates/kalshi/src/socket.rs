//! The WebSocket: lifecycle of all markets and our own fills. Sequence numbers count per subscription; a hole is a gap.

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use hunch_exchange::{ExchangeError, ExchangeStream, StreamEvent};
use hunch_kernel::{MarketTicker, SharedWallClock};
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use url::Url;

use crate::signing::SigningKey;
use crate::transport::signed_headers;
use crate::wire::{Fill, Frame, Lifecycle};

const OPEN_SECONDS_MAX: u64 = 10;
/// The server pings every ten seconds; this much silence is a dead line.
const SILENCE_SECONDS_MAX: u64 = 35;

pub(crate) struct KalshiStream {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    frames: Frames,
}

impl KalshiStream {
    pub async fn open(
        url: &Url,
        key_id: &str,
        key: &SigningKey,
        wall: &SharedWallClock,
    ) -> Result<KalshiStream, ExchangeError> {
        let unreachable = |e: &dyn std::fmt::Display| ExchangeError::Unreachable(e.to_string());
        let mut request = url.as_str().into_client_request().map_err(|e| unreachable(&e))?;
        for (name, value) in signed_headers(key_id, key, wall, "GET", url.path())? {
            let value = value.parse().map_err(|_| ExchangeError::Auth("the key id cannot be sent".to_owned()))?;
            request.headers_mut().insert(name, value);
        }
        let opened = timeout(Duration::from_secs(OPEN_SECONDS_MAX), connect_async(request)).await;
        let (mut socket, _) = opened.map_err(|e| unreachable(&e))?.map_err(|e| unreachable(&e))?;
        for (id, channels) in [(1, json!(["market_lifecycle_v2"])), (2, json!(["fill"]))] {
            let command = json!({"id": id, "cmd": "subscribe", "params": {"channels": channels}});
            socket.send(Message::text(command.to_string())).await.map_err(|e| unreachable(&e))?;
        }
        Ok(KalshiStream { socket, frames: Frames::default() })
    }
}

/// Understands frames and watches their sequence numbers.
#[derive(Default)]
pub(crate) struct Frames {
    sequences: HashMap<u64, u64>,
}

impl Frames {
    /// What a frame means to us, if anything.
    pub fn read(&mut self, text: &str) -> Option<StreamEvent> {
        let Ok(frame) = serde_json::from_str::<Frame>(text.trim_end()) else {
            tracing::warn!("a socket message is not understood");
            return Some(StreamEvent::Gap);
        };
        if let (Some(sid), Some(seq)) = (frame.sid, frame.seq)
            && let Some(before) = self.sequences.insert(sid, seq)
        {
            if seq <= before {
                self.sequences.insert(sid, before);
                return None; // heard before
            }
            if before.checked_add(1) != Some(seq) {
                return Some(StreamEvent::Gap);
            }
        }
        match frame.kind.as_str() {
            "market_lifecycle_v2" => {
                let Ok(lifecycle) = serde_json::from_value::<Lifecycle>(frame.msg) else {
                    tracing::warn!("a lifecycle message is not understood");
                    return Some(StreamEvent::Gap);
                };
                let ticker = MarketTicker(lifecycle.market_ticker.clone());
                match lifecycle.kind() {
                    Ok(kind) => Some(StreamEvent::Lifecycle { ticker, kind }),
                    Err(error) => {
                        tracing::warn!(%ticker, %error, "a lifecycle message is not understood");
                        Some(StreamEvent::Gap)
                    }
                }
            }
            "fill" => match serde_json::from_value::<Fill>(frame.msg).ok().and_then(|f| f.report().ok()) {
                Some(fill) => Some(StreamEvent::Fill(fill)),
                None => Some(StreamEvent::Gap),
            },
            // A subscription broke off; only a new connection starts it again.
            "error" => {
                let code = frame.msg.get("code").and_then(serde_json::Value::as_i64).unwrap_or_default();
                Some(StreamEvent::Closed(format!("socket error {code}")))
            }
            _ => None,
        }
    }
}

#[async_trait]
impl ExchangeStream for KalshiStream {
    async fn next(&mut self) -> Result<StreamEvent, ExchangeError> {
        loop {
            let message = match timeout(Duration::from_secs(SILENCE_SECONDS_MAX), self.socket.next()).await {
                Err(_) => return Ok(StreamEvent::Closed("no sign of life".to_owned())),
                Ok(None) => return Ok(StreamEvent::Closed("closed".to_owned())),
                Ok(Some(Err(e))) => return Ok(StreamEvent::Closed(e.to_string())),
                Ok(Some(Ok(message))) => message,
            };
            match message {
                Message::Text(text) => {
                    if let Some(event) = self.frames.read(text.as_str()) {
                        return Ok(event);
                    }
                }
                Message::Ping(body) => {
                    // The library answers when it is next written to; do so now.
                    if self.socket.send(Message::Pong(body)).await.is_err() {
                        return Ok(StreamEvent::Closed("closed".to_owned()));
                    }
                }
                Message::Close(_) => return Ok(StreamEvent::Closed("closed by the exchange".to_owned())),
                Message::Binary(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}
