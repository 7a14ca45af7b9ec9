//! Signing in with a code, and sessions: they end when nobody uses them, after some months, when there are too many, and when the
//! member or an operator says so.

use hunch_kernel::{MemberId, WallTime, random_token};
use jiff::SignedDuration;
use ring::digest::{SHA256, digest};
use sqlx::PgConnection;
use std::net::IpAddr;

use crate::{People, PeopleError, codes, is_sandbox, sign_in_code, store};

const SESSION_DAYS: i64 = 90;
const IDLE_DAYS: i64 = 14;
/// Sessions of one member at once: a new one ends the one that was used longest ago.
pub const SESSIONS_MAX: i64 = 8;
const CODE_MINUTES: i64 = 15;
const SANDBOX_CODE_HOURS: i64 = 24;
/// How long a session is believed without asking the database again.
const BELIEVED: SignedDuration = SignedDuration::from_secs(5);
const BELIEVED_SESSIONS_MAX: usize = 20_000;
/// That a session was used is written this often.
const USED_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// Prints nothing of its token.
#[derive(Clone)]
pub struct Session {
    pub member: MemberId,
    /// Shown this once.
    pub token: String,
    pub expires_at: WallTime,
    /// Signed in with a code of a sandbox.
    pub sandbox: bool,
    /// Digests of the sessions that made room for it.
    pub ended: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("member", &self.member)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl People {
    /// An operator of this name gives each member a code to sign in with once, within a quarter of an hour; codes of before end.
    /// Reusable ones, for sandboxes only, last a day.
    ///
    /// # Errors
    /// `SandboxOnly` for reusable codes elsewhere; `Storage`, also for a member that is not there.
    pub async fn new_codes(&self, members: &[MemberId], reusable: bool, by: &str) -> Result<Vec<String>, PeopleError> {
        if reusable && !is_sandbox(self.database.app()).await? {
            return Err(PeopleError::SandboxOnly);
        }
        let mut tx = hunch_db::begin_as(self.database.app(), by).await?;
        let codes = self.replace_codes(&mut tx, members, reusable).await?;
        tx.commit().await?;
        Ok(codes)
    }

    async fn replace_codes(
        &self,
        conn: &mut PgConnection,
        members: &[MemberId],
        reusable: bool,
    ) -> Result<Vec<String>, PeopleError> {
        let codes: Vec<String> = members.iter().map(|_| sign_in_code(self.entropy.as_ref())).collect();
        let digests: Vec<Vec<u8>> = codes.iter().map(|code| self.sign_in_key.digest(code)).collect();
        let lasting = match reusable {
            true => SignedDuration::from_hours(SANDBOX_CODE_HOURS),
            false => SignedDuration::from_mins(CODE_MINUTES),
        };
        store::replace_codes(conn, &digests, members, reusable, self.clocks.wall.now() + lasting).await?;
        Ok(codes)
    }

    /// Whoever joined and never came in: no session, and no code that somebody used. A repeat of their joining may give them a
    /// code once more, which gives nobody a way in that was not there.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn never_signed_in(&self, members: &[MemberId]) -> Result<Vec<MemberId>, PeopleError> {
        Ok(store::never_signed_in(self.database.app(), members).await?)
    }

    /// Lets a member in again, within a transaction of the caller, which says who does it: all sessions end, codes of before are
    /// void, and there is a new code. Afterwards [`People::forget_sessions`] makes it so in this process at once.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn recover(&self, conn: &mut PgConnection, member: MemberId) -> Result<String, PeopleError> {
        store::revoke_all(conn, member, self.clocks.wall.now()).await?;
        Ok(self.replace_codes(conn, &[member], false).await?.remove(0))
    }

    /// Signs in with a code that came from this address. A right code always works.
    ///
    /// # Errors
    /// `Code` for a wrong, used or old code alike; `TooManyTries` the same, for a source of many wrong codes.
    pub async fn sign_in(&self, code: &str, from: Option<IpAddr>) -> Result<Session, PeopleError> {
        // Credentials live by the wall clock, as signatures do: a town that runs fast must not sign everyone out.
        let now = self.clocks.wall.now();
        let digest = self.sign_in_key.digest(&codes::normalise(code));
        // Looked for before anything is written: a guess costs one look into an index.
        if !store::has_code(self.database.app(), &digest).await? {
            return Err(self.wrong_code(from, now));
        }
        // The code is used up only together with the session that it gives.
        let mut tx = hunch_db::begin(self.database.app()).await?;
        let Some((member, sandbox)) = store::use_code(&mut tx, &digest, now).await? else {
            return Err(self.wrong_code(from, now));
        };
        let token = random_token(self.entropy.as_ref());
        let expires_at = now + SignedDuration::from_hours(24 * SESSION_DAYS);
        let ended = store::insert_session(&mut tx, &session_sha256(&token), member, expires_at, now).await?;
        tx.commit().await?;
        let mut memory = self.lock();
        ended.iter().for_each(|sha256| {
            memory.sessions.remove(sha256);
        });
        drop(memory);
        Ok(Session { member, token, expires_at, sandbox, ended })
    }

    fn wrong_code(&self, from: Option<IpAddr>, now: WallTime) -> PeopleError {
        let counted = self.lock().guesses.wrong(from, now);
        metrics::counter!("hunch_sign_in_wrong_codes_total").increment(1);
        if counted.alarm {
            tracing::error!("somebody guesses sign-in codes: more wrong ones come than people mistype");
        }
        if counted.wait { PeopleError::TooManyTries } else { PeopleError::Code }
    }

    /// Whose session this is, if it holds.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn session(&self, token: &str) -> Result<Option<MemberId>, PeopleError> {
        let now = self.clocks.wall.now();
        let key = session_sha256(token);
        if let Some((member, until)) = self.lock().sessions.get(&key)
            && *until > now
        {
            return Ok(Some(*member));
        }
        let Some(found) = store::session(self.database.app(), &key, now, IDLE_DAYS).await? else {
            self.lock().sessions.remove(&key);
            return Ok(None);
        };
        if now.duration_since(found.used_at) > USED_EVERY {
            store::session_used(self.database.app(), &key, now).await?;
        }
        let mut memory = self.lock();
        if memory.sessions.len() >= BELIEVED_SESSIONS_MAX {
            memory.sessions.clear();
        }
        memory.sessions.insert(key, (found.member, found.expires_at.min(now + BELIEVED)));
        Ok(Some(found.member))
    }

    /// Whether somebody used this session here lately: no stranger's.
    pub fn remembers(&self, token: &str) -> bool {
        self.lock().sessions.contains_key(&session_sha256(token))
    }

    /// When a session ends at the latest, read anew; `None` when it has ended.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn session_ends(&self, token: &str) -> Result<Option<WallTime>, PeopleError> {
        let now = self.clocks.wall.now();
        let found = store::session(self.database.app(), &session_sha256(token), now, IDLE_DAYS).await?;
        Ok(found.map(|found| found.expires_at))
    }

    /// Ends a session. Safe to repeat.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn sign_out(&self, token: &str) -> Result<(), PeopleError> {
        let key = session_sha256(token);
        store::revoke_session(self.database.app(), &key, self.clocks.wall.now()).await?;
        self.lock().sessions.remove(&key);
        Ok(())
    }

    /// Ends all sessions of a member. Safe to repeat.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn sign_out_everywhere(&self, member: MemberId) -> Result<(), PeopleError> {
        let mut conn = self.database.app().acquire().await?;
        store::revoke_all(&mut conn, member, self.clocks.wall.now()).await?;
        self.forget_sessions(member);
        Ok(())
    }

    /// Asks the database again about this member's sessions.
    pub fn forget_sessions(&self, member: MemberId) {
        self.lock().sessions.retain(|_, (whose, _)| *whose != member);
    }

    /// Deletes codes and sessions that ended, at most so many of each.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn sweep(&self, most: i64) -> Result<u64, PeopleError> {
        let now = self.clocks.wall.now();
        let (ended, idle) = (now - SignedDuration::from_hours(24), now - SignedDuration::from_hours(24 * IDLE_DAYS));
        Ok(store::sweep(self.database.app(), ended, idle, most).await?)
    }
}

/// The digest by which a session is kept.
pub fn session_sha256(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}
