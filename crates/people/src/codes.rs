//! Codes that people type: twelve characters without look-alikes, 60 bits of chance. They are kept as digests by a key that
//! is not in the database, so that who reads the table cannot find them by trying.

use hunch_kernel::Entropy;
use ring::hmac;

/// Crockford's alphabet: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LETTERS: usize = 12;
const GROUP: usize = 4;

/// The server's key for sign-in codes.
#[derive(Clone)]
pub struct SignInKey(hmac::Key);

impl SignInKey {
    /// `secret` may serve other purposes too.
    pub fn new(secret: &[u8]) -> SignInKey {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&secret, b"hunch sign-in codes");
        SignInKey(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    pub(crate) fn digest(&self, code: &str) -> Vec<u8> {
        hmac::sign(&self.0, code.as_bytes()).as_ref().to_vec()
    }
}

/// A new code, such as `7K2M-9PXQ-4TBN`.
pub fn sign_in_code(entropy: &dyn Entropy) -> String {
    let mut bytes = [0u8; LETTERS];
    entropy.fill(&mut bytes);
    let letters: String = bytes.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect();
    grouped(&letters)
}

fn grouped(letters: &str) -> String {
    let letters: Vec<char> = letters.chars().collect();
    letters.chunks(GROUP).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// As a person may have typed it: any case, with or without dashes, O for 0, I or L for 1.
pub(crate) fn normalise(typed: &str) -> String {
    let letters: String = typed
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .take(LETTERS + GROUP)
        .collect();
    grouped(&letters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_kernel::SeededEntropy;

    #[test]
    fn a_code_survives_being_typed() {
        let code = sign_in_code(SeededEntropy::shared(3).as_ref());
        assert_eq!(code.len(), 14);
        assert_eq!(normalise(&code.to_lowercase().replace('-', " ")), code);
        assert_eq!(normalise("oil0-abcd"), "0110-ABCD");
        assert_eq!(normalise("é"), "");
        assert_eq!(normalise(&code[..9]), code[..9]);
    }
}
