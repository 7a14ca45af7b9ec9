//! Seals a push message for one subscription: RFC 8291 over RFC 8188's aes128gcm.
//!
//! Invariants
//! - Every sealed message has the same length, so its size tells nothing about its text.
//! - Every message has its own key pair and salt; nothing is reused.

use ring::rand::{SecureRandom, SystemRandom};
use ring::{aead, agreement, hkdf};

/// What a plaintext is padded to, the delimiter byte included.
const RECORD_BYTES: usize = 1_000;
/// Longest plaintext that fits: one byte is the delimiter.
pub const PLAINTEXT_BYTES_MAX: usize = RECORD_BYTES - 1;
/// salt 16, record size 4, key length 1, key 65, then the record and its tag.
pub const SEALED_BYTES: usize = 16 + 4 + 1 + KEY_BYTES + RECORD_BYTES + 16;
const KEY_BYTES: usize = 65;
/// RFC 8291 section 4: one record of 4096 holds any message a push service must accept.
const RECORD_SIZE: u32 = 4096;

/// What a browser gave when it subscribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgentKeys {
    /// Uncompressed P-256 point: 0x04, x, y.
    p256dh: [u8; KEY_BYTES],
    auth: [u8; 16],
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("p256dh must be an uncompressed P-256 point of 65 bytes")]
    PublicKey,
    #[error("auth must be 16 bytes")]
    AuthSecret,
    #[error("a push message has at most {PLAINTEXT_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    #[error("the system gave no randomness")]
    Randomness,
    #[error("the message could not be encrypted")]
    Cipher,
}

impl UserAgentKeys {
    /// # Errors
    /// `PublicKey` or `AuthSecret` by shape. Whether the point lies on the curve is found when sealing.
    pub fn new(p256dh: &[u8], auth: &[u8]) -> Result<UserAgentKeys, SealError> {
        let p256dh: [u8; KEY_BYTES] = p256dh.try_into().map_err(|_| SealError::PublicKey)?;
        if p256dh[0] != 4 {
            return Err(SealError::PublicKey);
        }
        Ok(UserAgentKeys { p256dh, auth: auth.try_into().map_err(|_| SealError::AuthSecret)? })
    }

    pub fn p256dh(&self) -> &[u8] {
        &self.p256dh
    }

    pub fn auth(&self) -> &[u8] {
        &self.auth
    }

    /// Seals something once, so that a point off the curve is refused when a browser subscribes and
    /// not when the first message is due.
    ///
    /// # Errors
    /// `PublicKey` if nothing can be sealed for these keys.
    pub fn prove(&self) -> Result<(), SealError> {
        seal(self, b"").map(|_| ())
    }
}

/// The body of the request to the push service, `SEALED_BYTES` long.
///
/// The key pair is drawn from the system even in simulations: ring offers no other source, and no
/// result depends on it.
///
/// # Errors
/// `TooLong`, or `PublicKey` when the browser's key is not on the curve.
pub fn seal(to: &UserAgentKeys, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    let random = SystemRandom::new();
    let private =
        agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P256, &random).map_err(|_| SealError::Randomness)?;
    let public = private.compute_public_key().map_err(|_| SealError::Randomness)?;
    let mut salt = [0u8; 16];
    random.fill(&mut salt).map_err(|_| SealError::Randomness)?;
    let theirs = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, &to.p256dh);
    let secret: [u8; 32] = agreement::agree_ephemeral(private, &theirs, |shared| shared.try_into())
        .map_err(|_| SealError::PublicKey)?
        .map_err(|_| SealError::Cipher)?;
    seal_with(to, &Ours { public: public.as_ref(), secret: &secret, salt: &salt }, plaintext, RECORD_BYTES)
}

/// What the sender brings to one message.
struct Ours<'a> {
    /// The sender's uncompressed public point.
    public: &'a [u8],
    /// The shared ECDH secret of both key pairs.
    secret: &'a [u8],
    salt: &'a [u8; 16],
}

/// Pure: the same parts give the same bytes, so the RFC's example can be checked byte by byte.
fn seal_with(to: &UserAgentKeys, ours: &Ours<'_>, plaintext: &[u8], record: usize) -> Result<Vec<u8>, SealError> {
    if plaintext.len() >= record {
        return Err(SealError::TooLong(plaintext.len()));
    }
    let mut key_info = b"WebPush: info\0".to_vec();
    key_info.extend_from_slice(&to.p256dh);
    key_info.extend_from_slice(ours.public);
    let ikm: [u8; 32] = expand(&to.auth, ours.secret, &key_info)?;
    let content_key: [u8; 16] = expand(ours.salt, &ikm, b"Content-Encoding: aes128gcm\0")?;
    let nonce: [u8; 12] = expand(ours.salt, &ikm, b"Content-Encoding: nonce\0")?;

    let mut sealed = plaintext.to_vec();
    sealed.push(2); // the delimiter of the last record (RFC 8188, section 2); zeros after it are padding
    sealed.resize(record, 0);
    let key = aead::UnboundKey::new(&aead::AES_128_GCM, &content_key).map_err(|_| SealError::Cipher)?;
    aead::LessSafeKey::new(key)
        .seal_in_place_append_tag(aead::Nonce::assume_unique_for_key(nonce), aead::Aad::empty(), &mut sealed)
        .map_err(|_| SealError::Cipher)?;

    let mut body = Vec::with_capacity(SEALED_BYTES);
    body.extend_from_slice(ours.salt);
    body.extend_from_slice(&RECORD_SIZE.to_be_bytes());
    body.push(ours.public.len() as u8);
    body.extend_from_slice(ours.public);
    body.append(&mut sealed);
    Ok(body)
}

fn expand<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<[u8; N], SealError> {
    let mut out = [0u8; N];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], Bytes(N))
        .and_then(|okm| okm.fill(&mut out))
        .map_err(|_| SealError::Cipher)?;
    Ok(out)
}

struct Bytes(usize);

impl hkdf::KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use proptest::prelude::*;
    use web_push_native::p256::SecretKey;
    use web_push_native::{Auth, decrypt};

    fn bytes(text: &str) -> Vec<u8> {
        BASE64.decode(text).unwrap()
    }

    /// RFC 8291, section 5 and appendix A, byte by byte.
    #[test]
    fn the_published_example_comes_out() {
        let to = UserAgentKeys::new(
            &bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
            &bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        )
        .unwrap();
        let ours = Ours {
            public: &bytes("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"),
            secret: &bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs"),
            salt: &bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap(),
        };
        let text = b"When I grow up, I want to be a watermelon";
        let body = seal_with(&to, &ours, text, text.len() + 1).unwrap();
        let published = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(BASE64.encode(body), published);
    }

    fn browser(scalar: [u8; 32]) -> Option<(SecretKey, UserAgentKeys, [u8; 16])> {
        let secret = SecretKey::from_slice(&scalar).ok()?;
        let point = secret.public_key().to_sec1_bytes();
        let auth: [u8; 16] = scalar[..16].try_into().unwrap();
        // to_sec1_bytes is compressed or not as the crate likes; the uncompressed form is what browsers give.
        let keys = UserAgentKeys::new(&point, &auth).unwrap();
        Some((secret, keys, auth))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// An independent implementation reads what we sealed, and the length never depends on the text.
        #[test]
        fn an_independent_decryptor_reads_it(scalar in any::<[u8; 32]>(), text in prop::collection::vec(any::<u8>(), 0..=PLAINTEXT_BYTES_MAX)) {
            let Some((secret, keys, auth)) = browser(scalar) else { return Ok(()) };
            let body = seal(&keys, &text).unwrap();
            prop_assert_eq!(body.len(), SEALED_BYTES);
            let opened = decrypt(body, &secret, &Auth::clone_from_slice(&auth)).unwrap();
            prop_assert_eq!(opened, text);
        }
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let good = browser([7; 32]).unwrap().1;
        assert_eq!(good.prove(), Ok(()));
        let mut off_curve = good.p256dh;
        off_curve[64] ^= 1;
        assert_eq!(UserAgentKeys::new(&off_curve, &good.auth).unwrap().prove(), Err(SealError::PublicKey));
        assert_eq!(UserAgentKeys::new(&off_curve[..64], &good.auth), Err(SealError::PublicKey));
        assert_eq!(UserAgentKeys::new(&good.p256dh, &[0; 15]), Err(SealError::AuthSecret));
        assert_eq!(seal(&good, &[0; PLAINTEXT_BYTES_MAX + 1]), Err(SealError::TooLong(PLAINTEXT_BYTES_MAX + 1)));
    }
}
