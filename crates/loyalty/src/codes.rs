//! The code a member shows at the till: a random pseudonym signed by the server, good once, for a minute.
//!
//! It says nothing about the member. A photographed code is worthless after its first use; the same receipt may
//! present it again, so that a till can repeat a request whose answer it lost. It is used up in the transaction
//! that records the purchase, so a refused receipt leaves it good for the next one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hunch_kernel::{MemberId, PurchaseId, SharedEntropy, WallTime};
use jiff::SignedDuration;
use ring::hmac;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{LoyaltyError, store};

/// How long a code lives.
pub const CODE_SECONDS: i64 = 60;

/// The server's key for codes.
#[derive(Clone)]
pub struct CodeKey(hmac::Key);

impl CodeKey {
    pub fn new(secret: &[u8]) -> CodeKey {
        CodeKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// `H1.` and 48 bytes in URL-safe base64: pseudonym and signature.
    pub fn text(&self, code: Uuid) -> String {
        let mut bytes = code.as_bytes().to_vec();
        bytes.extend_from_slice(hmac::sign(&self.0, code.as_bytes()).as_ref());
        format!("H1.{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The pseudonym, if we signed this text.
    ///
    /// # Errors
    /// `Foreign` for every other text.
    pub fn read(&self, text: &str) -> Result<Uuid, CodeError> {
        let body = text.trim().strip_prefix("H1.").ok_or(CodeError::Foreign)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| CodeError::Foreign)?;
        let (id, signature) = bytes.split_at_checked(16).ok_or(CodeError::Foreign)?;
        let code = Uuid::from_slice(id).map_err(|_| CodeError::Foreign)?;
        hmac::verify(&self.0, id, signature).map_err(|_| CodeError::Foreign)?;
        Ok(code)
    }
}

/// A code to show, as text and for a QR picture alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberCode {
    pub text: String,
    pub expires_at: WallTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    #[error("this is not a member code of this programme")]
    Foreign,
    #[error("this member code has expired; ask the member to show a new one")]
    Expired,
    #[error("this member code was used already; ask the member to show a new one")]
    Used,
}

impl CodeError {
    pub(crate) fn word(self) -> &'static str {
        match self {
            CodeError::Foreign => "foreign",
            CodeError::Expired => "expired",
            CodeError::Used => "used",
        }
    }
}

/// A code as it is stored.
pub(crate) struct CodeRow {
    pub member: MemberId,
    pub expires_at: WallTime,
    pub used_for: Option<PurchaseId>,
}

impl CodeRow {
    /// Whose code it is, if it may be presented for `purchase` now.
    pub(crate) fn presented(&self, purchase: PurchaseId, now: WallTime) -> Result<MemberId, CodeError> {
        match self.used_for {
            Some(other) if other != purchase => Err(CodeError::Used),
            None if self.expires_at <= now => Err(CodeError::Expired),
            Some(_) | None => Ok(self.member),
        }
    }
}

/// Makes a new code for a member. It lives by the wall clock: a person has to hold up the screen meanwhile.
///
/// # Errors
/// When the database fails.
pub async fn issue_code(
    pool: &PgPool,
    key: &CodeKey,
    entropy: &SharedEntropy,
    member: MemberId,
    now: WallTime,
) -> Result<MemberCode, LoyaltyError> {
    let code = entropy.uuid();
    let expires_at = now + SignedDuration::from_secs(CODE_SECONDS);
    store::insert_code(pool, code, member, expires_at).await?;
    Ok(MemberCode { text: key.text(code), expires_at })
}

/// How long a used code is known, so that its receipt may present it again, and a refusal, for whoever looks into fraud.
const KNOWN_DAYS: i64 = 90;

/// Deletes codes and refusals that nobody asks for any more, at most `most` of each.
///
/// # Errors
/// When the database fails.
pub async fn sweep_codes(pool: &PgPool, now: WallTime, most: i64) -> Result<u64, LoyaltyError> {
    let days = |days: i64| now - SignedDuration::from_hours(24 * days);
    Ok(store::sweep_codes(pool, days(1), days(KNOWN_DAYS), most).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_reads_back_and_a_changed_one_does_not() {
        let key = CodeKey::new(b"one");
        let code = Uuid::from_u128(7);
        let text = key.text(code);
        assert_eq!(key.read(&text), Ok(code));
        assert_eq!(CodeKey::new(b"two").read(&text), Err(CodeError::Foreign));
        let other = format!("H1.{}", text[3..].chars().rev().collect::<String>());
        assert_eq!(key.read(&other), Err(CodeError::Foreign));
    }

    proptest! {
        /// No text crashes the reader, and none but our own is believed.
        #[test]
        fn any_text_is_answered(text in ".{0,80}") {
            prop_assert_eq!(CodeKey::new(b"one").read(&text), Err(CodeError::Foreign));
        }
    }
}
