//! One signed request and its answer.

use hunch_exchange::ANSWER_MAX;
use hunch_kernel::SharedWallClock;
use reqwest::{Client, Method, redirect};
use serde::de::DeserializeOwned;
use std::time::Duration;
use url::Url;

use crate::errors::{ApiError, ErrorBody};
use crate::signing::SigningKey;

const CONNECT_SECONDS_MAX: u64 = 5;
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(crate) struct Transport {
    http: Client,
    base: Url,
    key_id: String,
    key: SigningKey,
    wall: SharedWallClock,
}

/// The three headers that prove who asks.
pub(crate) fn signed_headers(
    key_id: &str,
    key: &SigningKey,
    wall: &SharedWallClock,
    method: &str,
    path: &str,
) -> Result<[(&'static str, String); 3], ApiError> {
    let timestamp = wall.now().as_millisecond();
    let signature = key.sign(timestamp, method, path).map_err(|e| ApiError::Malformed(e.to_string()))?;
    Ok([
        ("KALSHI-ACCESS-KEY", key_id.to_owned()),
        ("KALSHI-ACCESS-TIMESTAMP", timestamp.to_string()),
        ("KALSHI-ACCESS-SIGNATURE", signature),
    ])
}

impl Transport {
    pub fn new(base: Url, key_id: String, key: SigningKey, wall: SharedWallClock) -> Result<Transport, reqwest::Error> {
        // Whoever installed a provider before us was first; ours is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
            .timeout(ANSWER_MAX.unsigned_abs())
            .build()?;
        Ok(Transport { http, base, key_id, key, wall })
    }

    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, ApiError> {
        self.send(Method::GET, path, query, None).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> Result<T, ApiError> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, ApiError> {
        self.send(Method::DELETE, path, query, None).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&serde_json::Value>,
    ) -> Result<T, ApiError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query.iter().map(|(k, v)| (*k, v.as_str())));
        }
        let mut request = self.http.request(method.clone(), url.clone());
        for (name, value) in signed_headers(&self.key_id, &self.key, &self.wall, method.as_str(), url.path())? {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let no_answer = |e: reqwest::Error| ApiError::NoAnswer(e.without_url().to_string());
        let mut response = request.send().await.map_err(no_answer)?;
        let status = response.status().as_u16();
        // Counted while it arrives: an answer in chunks does not say how long it is.
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(ApiError::Malformed("the answer is too large".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        if !(200..300).contains(&status) {
            return Err(ApiError::Status { status, body: ErrorBody::parse(&bytes) });
        }
        serde_json::from_slice(&bytes).map_err(|e| ApiError::Malformed(format!("{path}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use hunch_kernel::ManualClock;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn key() -> SigningKey {
        let der = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        SigningKey::from_pem(&format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")).unwrap()
    }

    /// Whoever stands at the exchange's address cannot fill our memory with an answer that never ends.
    #[tokio::test]
    async fn an_answer_without_a_length_is_bounded_while_it_is_read() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        let endless = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await.unwrap();
            socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
            let mut chunk = b"100000\r\n".to_vec();
            chunk.resize(chunk.len() + 0x10_0000, b' ');
            chunk.extend_from_slice(b"\r\n");
            // Four times what is allowed, then an end that would be believed.
            while counted.load(Ordering::SeqCst) < 4 * ANSWER_BYTES_MAX && socket.write_all(&chunk).await.is_ok() {
                counted.fetch_add(0x10_0000, Ordering::SeqCst);
            }
            let _ = socket.write_all(b"2\r\n{}\r\n0\r\n\r\n").await;
        });
        let wall = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let transport = Transport::new(base, "key".to_owned(), key(), wall).unwrap();
        let answer = transport.get::<serde_json::Value>("/anything", &[]).await;
        assert!(matches!(&answer, Err(ApiError::Malformed(why)) if why.contains("too large")), "{answer:?}");
        drop(transport);
        endless.await.unwrap();
        assert!(sent.load(Ordering::SeqCst) < 2 * ANSWER_BYTES_MAX, "the connection was left at the limit");
    }
}
