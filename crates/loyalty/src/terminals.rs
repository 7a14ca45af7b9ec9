//! A till proves who it is: its secret opens a session, the session's key signs every request. The key is derived from a secret
//! of the server and the session's id, so that nobody finds it in the database.
//!
//! Whoever closes a till or a merchant ends their sessions: at once in this process, within seconds in every other.
//!
//! The signed text is the wall time in seconds, the method, the path and the SHA-256 of the body in hexadecimal,
//! one a line. A signature is accepted for five minutes. Replays inside them are harmless: a receipt has one effect.

use hunch_kernel::{Clocks, MerchantId, SharedEntropy, TerminalId, WallTime, read_lock, write_lock};
use jiff::SignedDuration;
use ring::{digest, hmac};
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use uuid::Uuid;

use crate::merchants::named;
use crate::spans::{clock, span};
use crate::{LoyaltyError, store};

pub const SESSION_HOURS: i64 = 24;
/// Sessions of one till at once; a new one ends the oldest. A till has one, and those of before a restart.
pub const SESSIONS_MAX: i64 = 4;
/// How long a session is believed without asking the database again.
const BELIEVED: SignedDuration = SignedDuration::from_secs(5);
/// How far a signature's time may be from ours, either way.
pub const SIGNATURE_SECONDS_MAX: u64 = 300;

/// What a till gets for its secret.
#[derive(Clone)]
pub struct TerminalSession {
    pub session: Uuid,
    pub terminal: TerminalId,
    pub merchant: MerchantId,
    pub key: Vec<u8>,
    pub expires_at: WallTime,
}

/// A request as its sender signed it.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    pub session: Uuid,
    /// Wall time in seconds, as sent.
    pub timestamp: i64,
    pub method: &'a str,
    pub path: &'a str,
    pub body: &'a [u8],
    pub signature: &'a [u8],
}

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("this terminal or its secret is not known")]
    UnknownTerminal,
    #[error("the session is unknown or has ended; open a new one")]
    UnknownSession,
    #[error(
        "this request was signed at {}, and here it is {}, {} later; a signature counts for five minutes, so sign each \
         request anew just before it is sent; if this one was signed just now, the till's clock is slow and must be set",
        clock(*signed, *now), clock(*now, *now), span(now.abs_diff(*signed))
    )]
    Old { signed: i64, now: i64 },
    #[error(
        "this request says that it was signed at {}, and here it is only {}; the till's clock is {} fast and must be set",
        clock(*signed, *now), clock(*now, *now), span(now.abs_diff(*signed))
    )]
    Early { signed: i64, now: i64 },
    #[error("the signature does not match the request")]
    Signature,
    #[error("terminal storage failed")]
    Storage(#[from] sqlx::Error),
}

/// The server's secret from which the keys of sessions are derived.
#[derive(Clone)]
pub struct SessionKeys(hmac::Key);

impl SessionKeys {
    pub fn new(secret: &[u8]) -> SessionKeys {
        SessionKeys(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    fn of(&self, session: Uuid, terminal: TerminalId) -> Vec<u8> {
        let text = [b"terminal-session".as_slice(), session.as_bytes(), terminal.0.as_bytes()].concat();
        hmac::sign(&self.0, &text).as_ref().to_vec()
    }
}

/// Opens and checks sessions. Those that were used lately are kept in memory for seconds.
#[derive(Clone)]
pub struct TerminalSessions {
    pool: PgPool,
    clocks: Clocks,
    entropy: SharedEntropy,
    keys: SessionKeys,
    known: Arc<RwLock<HashMap<Uuid, Known>>>,
}

#[derive(Clone)]
struct Known {
    session: TerminalSession,
    until: WallTime,
}

const KNOWN_MAX: usize = 10_000;

impl TerminalSessions {
    pub fn new(pool: PgPool, clocks: Clocks, entropy: SharedEntropy, keys: SessionKeys) -> TerminalSessions {
        TerminalSessions { pool, clocks, entropy, keys, known: Arc::default() }
    }

    /// Opens a session. A till has [`SESSIONS_MAX`] at once: one more ends the oldest.
    ///
    /// # Errors
    /// `UnknownTerminal` for a wrong id, a wrong secret, a closed till or a closed merchant alike.
    pub async fn open(&self, terminal: TerminalId, secret: &str) -> Result<TerminalSession, SessionError> {
        let sent = digest::digest(&digest::SHA256, secret.as_bytes());
        let Some((merchant, stored)) = store::terminals::secret(&self.pool, terminal).await? else {
            return Err(SessionError::UnknownTerminal);
        };
        // Digests of a random secret: how far two of them agree tells a guesser nothing.
        if sent.as_ref() != stored {
            return Err(SessionError::UnknownTerminal);
        }
        let (id, now) = (self.entropy.uuid(), self.clocks.wall.now());
        let session = TerminalSession {
            session: id,
            terminal,
            merchant,
            key: self.keys.of(id, terminal),
            expires_at: now + SignedDuration::from_hours(SESSION_HOURS),
        };
        let ended = store::terminals::insert_session(&self.pool, &session, SESSIONS_MAX).await?;
        write_lock(&self.known).retain(|id, _| !ended.contains(id));
        Ok(session)
    }

    /// The till that signed this request.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn verify(&self, request: &SignedRequest<'_>) -> Result<(TerminalId, MerchantId), SessionError> {
        self.in_time(request.timestamp)?;
        let session = self.find(request.session).await?;
        let text = signed_text(request.timestamp, request.method, request.path, request.body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &session.key);
        hmac::verify(&key, text.as_bytes(), request.signature).map_err(|_| SessionError::Signature)?;
        Ok((session.terminal, session.merchant))
    }

    /// Whether what was signed then counts now. Asks nobody, so it is the first thing to look at.
    ///
    /// # Errors
    /// `Old` or `Early`.
    pub fn in_time(&self, signed: i64) -> Result<(), SessionError> {
        let now = self.clocks.wall.now().as_second();
        if now.abs_diff(signed) <= SIGNATURE_SECONDS_MAX {
            return Ok(());
        }
        Err(if signed > now { SessionError::Early { signed, now } } else { SessionError::Old { signed, now } })
    }

    /// Whether the session was used here lately, so that [`TerminalSessions::find`] need not ask the database.
    pub fn remembers(&self, session: Uuid) -> bool {
        read_lock(&self.known).contains_key(&session)
    }

    /// # Errors
    /// `UnknownSession` for one that has ended, too.
    pub async fn find(&self, session: Uuid) -> Result<TerminalSession, SessionError> {
        let now = self.clocks.wall.now();
        let found = self.session(session).await?.filter(|found| found.expires_at > now);
        found.ok_or(SessionError::UnknownSession)
    }

    async fn session(&self, id: Uuid) -> Result<Option<TerminalSession>, SessionError> {
        let now = self.clocks.wall.now();
        if let Some(known) = read_lock(&self.known).get(&id).filter(|known| known.until > now) {
            return Ok(Some(known.session.clone()));
        }
        let Some((terminal, merchant, expires_at)) = store::terminals::session(&self.pool, id).await? else {
            write_lock(&self.known).remove(&id);
            return Ok(None);
        };
        let session = TerminalSession { session: id, terminal, merchant, key: self.keys.of(id, terminal), expires_at };
        let mut known = write_lock(&self.known);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(id, Known { session: session.clone(), until: now + BELIEVED });
        Ok(Some(session))
    }

    /// An operator closes a till, with its sessions, or opens it again. False if there is none. Safe to repeat.
    ///
    /// # Errors
    /// `Invalid` for a reason that is none; `Storage` when the database fails.
    pub async fn set_terminal(
        &self,
        terminal: TerminalId,
        open: bool,
        why: &str,
        by: &str,
    ) -> Result<bool, LoyaltyError> {
        named(why, 200, WHY)?;
        let found = store::terminals::set_terminal(&self.pool, terminal, open, why, by).await?;
        self.forget(|session| session.terminal == terminal);
        Ok(found)
    }

    /// As [`TerminalSessions::set_terminal`], for a merchant with all its tills. A till that was closed by itself stays closed when
    /// its merchant is opened.
    ///
    /// # Errors
    /// As [`TerminalSessions::set_terminal`].
    pub async fn set_merchant(
        &self,
        merchant: MerchantId,
        open: bool,
        why: &str,
        by: &str,
    ) -> Result<bool, LoyaltyError> {
        named(why, 200, WHY)?;
        let now = self.clocks.business.now();
        let found = store::terminals::set_merchant(&self.pool, merchant, open, why, by, now).await?;
        self.forget(|session| session.merchant == merchant);
        Ok(found)
    }

    fn forget(&self, which: impl Fn(&TerminalSession) -> bool) {
        write_lock(&self.known).retain(|_, known| !which(&known.session));
    }

    /// Deletes sessions that ended by themselves, at most `most`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self, most: i64) -> Result<u64, LoyaltyError> {
        Ok(store::terminals::delete_expired(&self.pool, self.clocks.wall.now(), most).await?)
    }
}

const WHY: &str = "say why, in 1 to 200 characters and one line";

fn signed_text(timestamp: i64, method: &str, path: &str, body: &[u8]) -> String {
    format!("{timestamp}\n{method}\n{path}\n{}", hex::encode(digest::digest(&digest::SHA256, body)))
}

/// Signs as a till does. For clients and tests.
pub fn sign(key: &[u8], timestamp: i64, method: &str, path: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hex::encode(hmac::sign(&key, signed_text(timestamp, method, path, body).as_bytes()))
}
