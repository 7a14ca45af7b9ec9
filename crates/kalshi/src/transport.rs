//! One signed request and its answer.

use hunch_exchange::ANSWER_MAX;
use hunch_kernel::SharedClock;
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
    wall: SharedClock,
}

/// The three headers that prove who asks.
pub(crate) fn signed_headers(
    key_id: &str,
    key: &SigningKey,
    wall: &SharedClock,
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
    pub fn new(base: Url, key_id: String, key: SigningKey, wall: SharedClock) -> Result<Transport, reqwest::Error> {
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
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status().as_u16();
        if response.content_length().is_some_and(|n| n > ANSWER_BYTES_MAX as u64) {
            return Err(ApiError::Malformed("the answer is too large".to_owned()));
        }
        let bytes = response.bytes().await.map_err(no_answer)?;
        if !(200..300).contains(&status) {
            return Err(ApiError::Status { status, body: ErrorBody::parse(&bytes) });
        }
        serde_json::from_slice(&bytes).map_err(|e| ApiError::Malformed(format!("{path}: {e}")))
    }
}
