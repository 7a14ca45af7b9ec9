//! Signs requests: timestamp in milliseconds, upper-case method and path, without the query, one after another.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PSS_SHA256, RsaKeyPair};

/// The private half of an API key.
pub struct SigningKey(Kind);

enum Kind {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the key file holds no PEM block of a private key")]
    Pem,
    #[error("the private key is neither RSA of at least 2048 bits nor Ed25519, unencrypted")]
    Kind,
    #[error("the request could not be signed")]
    Sign,
}

impl SigningKey {
    /// Reads a PEM file: PKCS#8 (RSA or Ed25519) or PKCS#1 (RSA).
    ///
    /// # Errors
    /// `Pem` or `Kind`; the key's content is never part of the message.
    pub fn from_pem(pem: &str) -> Result<SigningKey, KeyError> {
        let begin = pem.find("-----BEGIN ").ok_or(KeyError::Pem)?;
        let body = &pem[begin..];
        let start = body.find("-----\n").or_else(|| body.find("-----\r\n")).ok_or(KeyError::Pem)?;
        let end = body.find("-----END ").ok_or(KeyError::Pem)?;
        let text: String = body.get(start + 5..end).ok_or(KeyError::Pem)?.split_whitespace().collect();
        let der = STANDARD.decode(text).map_err(|_| KeyError::Pem)?;
        if let Ok(key) = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)) {
            return Ok(SigningKey(Kind::Rsa(Box::new(key))));
        }
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
            .map(|k| SigningKey(Kind::Ed25519(k)))
            .map_err(|_| KeyError::Kind)
    }

    /// The signature in base64.
    ///
    /// # Errors
    /// `Sign` if the system gives no randomness.
    pub fn sign(&self, timestamp_ms: i64, method: &str, path: &str) -> Result<String, KeyError> {
        let text = format!("{timestamp_ms}{}{}", method.to_ascii_uppercase(), path.split('?').next().unwrap_or(path));
        let signature = match &self.0 {
            Kind::Rsa(key) => {
                // ring's PSS salt is as long as the digest, 32 bytes, as the exchange wants it.
                let mut signature = vec![0u8; key.public().modulus_len()];
                key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
                    .map_err(|_| KeyError::Sign)?;
                signature
            }
            Kind::Ed25519(key) => key.sign(text.as_bytes()).as_ref().to_vec(),
        };
        Ok(STANDARD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_without_a_word_of_it() {
        for text in [
            "",
            "hello",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let error = SigningKey::from_pem(text).err().unwrap();
            assert!(!error.to_string().contains("AAAA"));
        }
    }

    #[test]
    fn an_ed25519_signature_verifies_over_the_path_without_its_query() {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
        let key = SigningKey::from_pem(&pem).unwrap();
        let signature = STANDARD.decode(key.sign(17, "get", "/trade-api/v2/markets?limit=1").unwrap()).unwrap();
        use ring::signature::KeyPair;
        let public = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap().public_key().as_ref().to_vec();
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public)
            .verify(b"17GET/trade-api/v2/markets", &signature)
            .unwrap();
    }
}
