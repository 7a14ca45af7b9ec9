//! Who sent a request: the three access headers, RSA-PSS or Ed25519 over
//! `timestamp ‖ METHOD ‖ path without query`. Key files come as PEM.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use hunch_kernel::Entropy;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

pub enum PublicKey {
    /// The inner PKCS #1 structure.
    Rsa(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the public key file is not PEM (-----BEGIN PUBLIC KEY----- or -----BEGIN RSA PUBLIC KEY-----)")]
    NotPem,
    #[error("the public key is neither RSA nor Ed25519")]
    UnknownKind,
}

const RSA_OID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ED25519_OID: &[u8] = &[0x2b, 0x65, 0x70];
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const ED25519_PKCS8: &[u8] =
    &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

impl PublicKey {
    /// # Errors
    /// `NotPem` when there is no PEM block, `UnknownKind` when it holds something else.
    pub fn from_pem(pem: &str) -> Result<PublicKey, KeyError> {
        let body: String = pem.lines().map(str::trim).filter(|l| !l.starts_with("-----")).collect();
        let der = STANDARD.decode(body).map_err(|_| KeyError::NotPem)?;
        if pem.contains("BEGIN RSA PUBLIC KEY") {
            return Ok(PublicKey::Rsa(der));
        }
        if !pem.contains("BEGIN PUBLIC KEY") {
            return Err(KeyError::NotPem);
        }
        let (algorithm, key) = subject_public_key(&der).ok_or(KeyError::UnknownKind)?;
        match algorithm {
            RSA_OID => Ok(PublicKey::Rsa(key.to_vec())),
            ED25519_OID => Ok(PublicKey::Ed25519(key.to_vec())),
            _ => Err(KeyError::UnknownKind),
        }
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        match self {
            PublicKey::Rsa(key) => {
                UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key).verify(text, signature).is_ok()
            }
            PublicKey::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(text, signature).is_ok(),
        }
    }
}

/// One DER element: (tag, contents, what follows).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let bytes = usize::from(first & 0x7f);
        if bytes == 0 || bytes > 3 || rest.len() < bytes {
            return None;
        }
        length = rest[..bytes].iter().fold(0, |n, b| n << 8 | usize::from(*b));
        rest = &rest[bytes..];
    }
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

/// Algorithm and key bits of a SubjectPublicKeyInfo.
fn subject_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (0x30, outer, _) = element(der)? else { return None };
    let (0x30, algorithm, rest) = element(outer)? else { return None };
    let (0x06, oid, _) = element(algorithm)? else { return None };
    let (0x03, bits, _) = element(rest)? else { return None };
    Some((oid, bits.split_first()?.1))
}

/// A key pair made on the spot, for tests and for a demo that plays both sides.
pub struct KeyPair {
    pub private_pem: String,
    pub public_pem: String,
}

impl KeyPair {
    pub fn ed25519(entropy: &dyn Entropy) -> Option<KeyPair> {
        let mut seed = [0u8; 32];
        entropy.fill(&mut seed);
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        let private = [ED25519_PKCS8, &seed].concat();
        let public = [ED25519_SPKI, pair.public_key().as_ref()].concat();
        Some(KeyPair { private_pem: pem("PRIVATE KEY", &private), public_pem: pem("PUBLIC KEY", &public) })
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

pub struct ApiKey {
    pub id: String,
    pub public: PublicKey,
    pub account: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum AuthFailure {
    Missing,
    Expired,
    UnknownKey,
    BadSignature,
}

/// The account a request speaks for. `path` is what was requested, without the query.
pub fn authenticate(
    keys: &[ApiKey],
    headers: &HeaderMap,
    method: &str,
    path: &str,
    wall_ms: i64,
    tolerance_ms: i64,
) -> Result<usize, AuthFailure> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    let id = header("kalshi-access-key").ok_or(AuthFailure::Missing)?;
    let stamp = header("kalshi-access-timestamp").ok_or(AuthFailure::Missing)?;
    let signature = header("kalshi-access-signature").ok_or(AuthFailure::Missing)?;
    let sent: i64 = stamp.parse().map_err(|_| AuthFailure::Expired)?;
    if sent.abs_diff(wall_ms) > tolerance_ms.unsigned_abs() {
        return Err(AuthFailure::Expired);
    }
    let key = keys.iter().find(|k| k.id == id).ok_or(AuthFailure::UnknownKey)?;
    let signature = STANDARD.decode(signature).map_err(|_| AuthFailure::BadSignature)?;
    let text = format!("{stamp}{method}{path}");
    if key.public.verify(text.as_bytes(), &signature) { Ok(key.account) } else { Err(AuthFailure::BadSignature) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_kernel::SeededEntropy;
    use proptest::prelude::*;

    fn signed(pair: &KeyPair, text: &str) -> String {
        let body: String = pair.private_pem.lines().filter(|l| !l.starts_with("-----")).collect();
        let der = STANDARD.decode(body).unwrap();
        let key = Ed25519KeyPair::from_seed_unchecked(&der[16..]).unwrap();
        STANDARD.encode(key.sign(text.as_bytes()))
    }

    #[test]
    fn each_failure_has_its_name() {
        let pair = KeyPair::ed25519(&*SeededEntropy::shared(1)).unwrap();
        let keys = [ApiKey { id: "k".into(), public: PublicKey::from_pem(&pair.public_pem).unwrap(), account: 7 }];
        let ask = |key: &str, stamp: i64, signature: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("KALSHI-ACCESS-KEY", key.parse().unwrap());
            headers.insert("KALSHI-ACCESS-TIMESTAMP", stamp.to_string().parse().unwrap());
            headers.insert("KALSHI-ACCESS-SIGNATURE", signature.parse().unwrap());
            authenticate(&keys, &headers, "GET", "/trade-api/v2/portfolio/orders", 1_000_000, 5_000)
        };
        let good = signed(&pair, "1000000GET/trade-api/v2/portfolio/orders");
        assert_eq!(ask("k", 1_000_000, &good), Ok(7));
        assert_eq!(ask("other", 1_000_000, &good), Err(AuthFailure::UnknownKey));
        assert_eq!(ask("k", 1_000_001, &good), Err(AuthFailure::BadSignature));
        assert_eq!(ask("k", 1_000_000, "%%%"), Err(AuthFailure::BadSignature));
        assert_eq!(ask("k", 990_000, &good), Err(AuthFailure::Expired));
        assert_eq!(authenticate(&keys, &HeaderMap::new(), "GET", "/", 0, 5_000), Err(AuthFailure::Missing));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_key_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
            let _ = subject_public_key(&bytes);
            let _ = PublicKey::from_pem(&text);
            let _ = PublicKey::from_pem(&pem("PUBLIC KEY", &bytes));
        }
    }
}
