//! Says who is sending: RFC 8292, one ES256 token per push service, kept for hours.
//!
//! The audience is the service's origin with its port when that is not the scheme's own. The times in
//! the token are wall time: push services live in the real world even when the demo's day is minutes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hunch_kernel::{SharedWallClock, lock};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use std::collections::HashMap;
use std::sync::Mutex;

/// How long a token is valid. RFC 8292 allows at most 24 hours.
const VALID_SECONDS: i64 = 12 * 3600;
/// A token this close to its end is replaced.
const RENEW_SECONDS: i64 = 3600;
/// Origins remembered; a stranger who subscribes at endless origins cannot fill memory.
const ORIGINS_MAX: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum VapidError {
    #[error("the VAPID key is not a P-256 key in PKCS#8")]
    Key,
    #[error("the VAPID subject must be a mailto: or https: address")]
    Subject,
    #[error("the VAPID token could not be signed")]
    Sign,
}

/// The application server's key pair. Browsers subscribe with its public half, so it must stay the same.
pub struct VapidKey {
    pair: EcdsaKeyPair,
}

impl VapidKey {
    /// A new key as PKCS#8, for the operator to keep.
    ///
    /// # Errors
    /// `Key` if the system gives no randomness.
    pub fn generate_pkcs8() -> Result<Vec<u8>, VapidError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Ok(document.map_err(|_| VapidError::Key)?.as_ref().to_vec())
    }

    /// # Errors
    /// `Key` if `pkcs8` is no P-256 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<VapidKey, VapidError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new());
        Ok(VapidKey { pair: pair.map_err(|_| VapidError::Key)? })
    }

    /// What the page passes as `applicationServerKey`: the uncompressed point, base64url.
    pub fn public_base64(&self) -> String {
        BASE64.encode(self.pair.public_key().as_ref())
    }
}

/// Gives the `Authorization` header for an origin.
pub struct VapidSigner {
    key: VapidKey,
    subject: String,
    wall: SharedWallClock,
    made: Mutex<HashMap<String, Made>>,
}

struct Made {
    header: String,
    ends: i64,
}

impl VapidSigner {
    /// `subject` is where a push service may complain: `mailto:…` or `https://…`.
    ///
    /// # Errors
    /// `Subject`.
    pub fn new(key: VapidKey, subject: &str, wall: SharedWallClock) -> Result<VapidSigner, VapidError> {
        if !subject.starts_with("mailto:") && !subject.starts_with("https://") {
            return Err(VapidError::Subject);
        }
        Ok(VapidSigner { key, subject: subject.to_owned(), wall, made: Mutex::default() })
    }

    pub fn public_base64(&self) -> String {
        self.key.public_base64()
    }

    /// `vapid t=…, k=…` for this origin, from memory while it has more than an hour to live.
    ///
    /// # Errors
    /// `Sign` if the system gives no randomness.
    pub fn authorization(&self, origin: &str) -> Result<String, VapidError> {
        let now = self.wall.now().as_second();
        let mut made = lock(&self.made);
        // A clock that went back must not keep a token that is too long for the standard.
        let fresh = |m: &&Made| m.ends - now > RENEW_SECONDS && m.ends - now <= VALID_SECONDS;
        if let Some(known) = made.get(origin).filter(fresh) {
            return Ok(known.header.clone());
        }
        let ends = now + VALID_SECONDS;
        let header = format!("vapid t={}, k={}", self.token(origin, ends)?, self.public_base64());
        if made.len() >= ORIGINS_MAX {
            made.clear();
        }
        made.insert(origin.to_owned(), Made { header: header.clone(), ends });
        Ok(header)
    }

    fn token(&self, origin: &str, ends: i64) -> Result<String, VapidError> {
        let claims = serde_json::json!({ "aud": origin, "exp": ends, "sub": self.subject });
        let signed =
            format!("{}.{}", BASE64.encode(r#"{"typ":"JWT","alg":"ES256"}"#), BASE64.encode(claims.to_string()));
        let signature = self.key.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| VapidError::Sign)?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_kernel::ManualClock;
    use jiff::SignedDuration;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    fn signer() -> (std::sync::Arc<ManualClock>, VapidSigner) {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let key = VapidKey::from_pkcs8(&VapidKey::generate_pkcs8().unwrap()).unwrap();
        (clock.clone(), VapidSigner::new(key, "mailto:ops@hunch.example", clock).unwrap())
    }

    /// Takes the header apart as a push service does, and verifies the raw parts.
    fn verified_claims(header: &str) -> serde_json::Value {
        let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let signed = format!("{}.{}", parts[0], parts[1]);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, BASE64.decode(key).unwrap())
            .verify(signed.as_bytes(), &BASE64.decode(parts[2]).unwrap())
            .unwrap();
        let head: serde_json::Value = serde_json::from_slice(&BASE64.decode(parts[0]).unwrap()).unwrap();
        assert_eq!(head["alg"], "ES256");
        serde_json::from_slice(&BASE64.decode(parts[1]).unwrap()).unwrap()
    }

    /// The same token by another implementation of ECDSA than the one that signed it.
    #[test]
    fn another_implementation_verifies_the_token() {
        use web_push_native::p256::ecdsa::signature::Verifier as _;
        use web_push_native::p256::ecdsa::{Signature, VerifyingKey};
        let header = signer().1.authorization("https://push.example").unwrap();
        let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        VerifyingKey::from_sec1_bytes(&BASE64.decode(key).unwrap())
            .unwrap()
            .verify(signed.as_bytes(), &Signature::from_slice(&BASE64.decode(signature).unwrap()).unwrap())
            .unwrap();
    }

    #[test]
    fn a_token_names_origin_end_and_subject() {
        let (clock, signer) = signer();
        let claims = verified_claims(&signer.authorization("http://127.0.0.1:8099").unwrap());
        assert_eq!(claims["aud"], "http://127.0.0.1:8099");
        assert_eq!(claims["sub"], "mailto:ops@hunch.example");
        let life = claims["exp"].as_i64().unwrap() - hunch_kernel::Clock::now(&*clock).as_second();
        assert!(life > 0 && life <= 24 * 3600);
    }

    #[test]
    fn a_token_is_kept_for_hours_and_then_renewed() {
        let (clock, signer) = signer();
        let first = signer.authorization("https://push.example").unwrap();
        assert_ne!(first, signer.authorization("https://other.example").unwrap());
        clock.advance(SignedDuration::from_hours(10));
        assert_eq!(first, signer.authorization("https://push.example").unwrap());
        clock.advance(SignedDuration::from_hours(2));
        assert_ne!(first, signer.authorization("https://push.example").unwrap());
    }

    #[test]
    fn a_subject_nobody_can_write_to_is_refused() {
        let (clock, _) = signer();
        let key = VapidKey::from_pkcs8(&VapidKey::generate_pkcs8().unwrap()).unwrap();
        assert!(matches!(VapidSigner::new(key, "ops", clock), Err(VapidError::Subject)));
        assert!(matches!(VapidKey::from_pkcs8(b"no key"), Err(VapidError::Key)));
    }
}
