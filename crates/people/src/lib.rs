//! Members by token: joining, signing in, sessions, and what sponsors may call them. Names nobody.

mod codes;
mod store;

pub use codes::sign_in_code;
pub use hunch_vault::IdentityKey;

use hunch_db::Database;
use hunch_kernel::{
    Clocks, MemberId, MerchantId, Shard, SharedEntropy, WallTime, lock, random_token, shard_of, within,
};
use hunch_log::{CommitError, LogError, ShardTx};
use hunch_messages::{MemberJoined, Message};
use hunch_vault::{Person, Vault, VaultError};
use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};
use sqlx::PgPool;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

const SESSION_DAYS: i64 = 30;
const CODE_HOURS: i64 = 24;
/// Wrong codes a minute that begin alike, before codes with that beginning have to wait. A code has 40 bits, so guessing
/// stays hopeless, and a guesser can make only few others wait.
const WRONG_CODES_A_MINUTE_MAX: u32 = 20;
const BEGINNING: usize = 2;
/// How long a session is believed without asking the database again.
const BELIEVED: SignedDuration = SignedDuration::from_secs(5);
const BELIEVED_SESSIONS_MAX: usize = 20_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: MemberId,
    pub shard: Shard,
    pub home_zone: String,
    pub joined_at: Timestamp,
}

/// Someone who joins.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// Chosen by the caller, so that a repeat adds nobody; `None` makes a new one.
    pub member: Option<MemberId>,
    pub person: Person,
    /// IANA name.
    pub home_zone: String,
}

/// Prints nothing of its token.
#[derive(Clone)]
pub struct Session {
    pub member: MemberId,
    /// Shown this once.
    pub token: String,
    pub expires_at: WallTime,
    /// Signed in with a code of a sandbox.
    pub sandbox: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("member", &self.member)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error("the time zone {0:?} is not known; use a name such as America/New_York")]
    Zone(String),
    #[error(transparent)]
    Person(VaultError),
    #[error("this sign-in code is not valid or was used; ask for a new one")]
    Code,
    #[error("too many wrong codes were tried; wait a minute")]
    TooManyTries,
    #[error("sign-in codes that work again and again are for a sandbox; this programme was not made as one")]
    SandboxOnly,
    #[error("members[{second}] has the member_token of members[{first}]; each person needs a token of their own")]
    Twice { first: usize, second: usize },
    #[error(
        "members[{place}].member_token is a member with another {field}, and nobody was taken in; what was entered stays, so \
         send it as it was, or take the person out of the list; name, e-mail address and phone number are changed by PATCH"
    )]
    Differs { place: usize, field: &'static str },
    #[error("people storage failed")]
    Storage(#[from] sqlx::Error),
    #[error("the log of members could not be written")]
    Log(#[from] LogError),
    #[error("new members could not be committed; send them again")]
    Commit(#[from] CommitError),
}

impl From<VaultError> for PeopleError {
    fn from(e: VaultError) -> PeopleError {
        PeopleError::Person(e)
    }
}

#[derive(Clone)]
pub struct People {
    database: Database,
    vault: Vault,
    clocks: Clocks,
    entropy: SharedEntropy,
    shards: u16,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    sessions: HashMap<Vec<u8>, (MemberId, WallTime)>,
    /// By the beginning of the code, in this minute of wall time.
    wrong_codes: HashMap<String, u32>,
    wrong_since: Option<WallTime>,
}

impl People {
    /// `identity` is the key by which the vault knows people again.
    pub fn new(
        database: Database,
        clocks: Clocks,
        entropy: SharedEntropy,
        shards: u16,
        identity: IdentityKey,
    ) -> People {
        let vault = Vault::new(database.vault().clone(), identity);
        People { database, vault, clocks, entropy, shards, memory: Arc::default() }
    }

    /// How many members there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count(&self) -> Result<i64, PeopleError> {
        Ok(store::count(self.database.app()).await?)
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Gives a token to each who has none.
    pub fn name_them(&self, people: &mut [NewMember]) -> Vec<MemberId> {
        people.iter_mut().map(|p| *p.member.get_or_insert_with(|| MemberId(self.entropy.uuid()))).collect()
    }

    /// Which of these are members.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn members_among(&self, members: &[MemberId]) -> Result<HashSet<MemberId>, PeopleError> {
        Ok(store::members_among(self.database.app(), members).await?)
    }

    /// Takes people in: first the vault, then token and accounts in one transaction. A crash between leaves a person
    /// whom nobody knows, and repeating with the same tokens converges.
    ///
    /// # Errors
    /// `Zone`, `Person`, `Twice` or `Differs` says what is wrong, and nobody is taken in; `Storage`, when some may be in.
    pub async fn join(&self, people: Vec<NewMember>) -> Result<Vec<MemberId>, PeopleError> {
        if let Some(bad) = people.iter().find(|p| jiff::tz::TimeZone::get(&p.home_zone).is_err()) {
            return Err(PeopleError::Zone(bad.home_zone.clone()));
        }
        self.check_again(&people).await?;
        let now = self.clocks.business.now();
        let ids: Vec<MemberId> =
            people.iter().map(|p| p.member.unwrap_or_else(|| MemberId(self.entropy.uuid()))).collect();
        let zones: Vec<String> = people.iter().map(|p| p.home_zone.clone()).collect();
        let persons: Vec<(MemberId, Person)> = ids.iter().copied().zip(people.into_iter().map(|p| p.person)).collect();
        self.vault.enter(&persons, now).await?;
        let mut by_shard: BTreeMap<Shard, Vec<usize>> = BTreeMap::new();
        for (n, id) in ids.iter().enumerate() {
            by_shard.entry(shard_of(*id, self.shards)).or_default().push(n);
        }
        for (shard, places) in by_shard {
            let members: Vec<MemberId> = places.iter().map(|n| ids[*n]).collect();
            let zones: Vec<String> = places.iter().map(|n| zones[*n].clone()).collect();
            let mut tx = ShardTx::begin(self.database.app(), shard, now).await?;
            let new = store::insert_members(tx.conn(), &members, &zones, self.shards, now).await?;
            hunch_ledger::open_members(tx.conn(), &members, self.shards).await?;
            for member in new {
                tx.announce(Message::MemberJoined(MemberJoined { v: 1, member: member.0, at: now }));
            }
            tx.commit().await?;
        }
        Ok(ids)
    }

    /// One token is one person: twice in a request it is a mistake, and with other data than before as well.
    async fn check_again(&self, people: &[NewMember]) -> Result<(), PeopleError> {
        let mut places: HashMap<MemberId, usize> = HashMap::new();
        for (second, token) in people.iter().enumerate().filter_map(|(n, p)| Some((n, p.member?))) {
            if let Some(first) = places.insert(token, second) {
                return Err(PeopleError::Twice { first, second });
            }
        }
        let named: Vec<(usize, MemberId)> =
            people.iter().enumerate().filter_map(|(n, p)| Some((n, p.member?))).collect();
        let persons: Vec<(MemberId, &Person)> = named.iter().map(|(n, id)| (*id, &people[*n].person)).collect();
        if let Some((at, field)) = self.vault.differing(&persons).await? {
            return Err(PeopleError::Differs { place: named[at].0, field });
        }
        let ids: Vec<MemberId> = named.iter().map(|(_, id)| *id).collect();
        let zones = store::home_zones(self.database.app(), &ids).await?;
        let moved = named.iter().find(|(n, id)| zones.get(id).is_some_and(|zone| *zone != people[*n].home_zone));
        moved.map_or(Ok(()), |(place, _)| Err(PeopleError::Differs { place: *place, field: "home_zone" }))
    }

    /// # Errors
    /// `Storage`.
    pub async fn member(&self, id: MemberId) -> Result<Option<Member>, PeopleError> {
        Ok(store::member(self.database.app(), id).await?)
    }

    /// A code for each member to sign in with once; reusable ones are for sandboxes only.
    ///
    /// # Errors
    /// `SandboxOnly` for reusable codes elsewhere; `Storage`, also for a member that is not there.
    pub async fn new_codes(&self, members: &[MemberId], reusable: bool) -> Result<Vec<String>, PeopleError> {
        if reusable && !is_sandbox(self.database.app()).await? {
            return Err(PeopleError::SandboxOnly);
        }
        let codes: Vec<String> = members.iter().map(|_| sign_in_code(self.entropy.as_ref())).collect();
        let digests: Vec<Vec<u8>> = codes.iter().map(|c| sha(c)).collect();
        let expires = self.clocks.wall.now() + SignedDuration::from_hours(CODE_HOURS);
        store::insert_codes(self.database.app(), &digests, members, reusable, expires).await?;
        Ok(codes)
    }

    /// # Errors
    /// `Code` for a wrong, used or old code alike; `TooManyTries` slows guessing down.
    pub async fn sign_in(&self, code: &str) -> Result<Session, PeopleError> {
        // Credentials live by the wall clock, as signatures do: a town that runs fast must not sign everyone out.
        let now = self.clocks.wall.now();
        let code = codes::normalise(code);
        let beginning: String = code.chars().take(BEGINNING).collect();
        self.count_try(&beginning)?;
        let Some((member, sandbox)) = store::use_code(self.database.app(), &sha(&code), now).await? else {
            return Err(PeopleError::Code);
        };
        self.lock().wrong_codes.remove(&beginning);
        let token = random_token(self.entropy.as_ref());
        let expires_at = now + SignedDuration::from_hours(24 * SESSION_DAYS);
        store::insert_session(self.database.app(), &sha(&token), member, expires_at).await?;
        Ok(Session { member, token, expires_at, sandbox })
    }

    /// Counts before it is known whether the code is right, so that parallel guesses count too.
    fn count_try(&self, beginning: &str) -> Result<(), PeopleError> {
        let wall = self.clocks.wall.now();
        let mut memory = self.lock();
        if !memory.wrong_since.is_some_and(|since| within(wall, since, SignedDuration::from_secs(60))) {
            memory.wrong_since = Some(wall);
            memory.wrong_codes.clear();
        }
        let tries = memory.wrong_codes.entry(beginning.to_owned()).or_default();
        *tries += 1;
        if *tries > WRONG_CODES_A_MINUTE_MAX { Err(PeopleError::TooManyTries) } else { Ok(()) }
    }

    /// Whose session this is, if it holds.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn session(&self, token: &str) -> Result<Option<MemberId>, PeopleError> {
        let now = self.clocks.wall.now();
        let key = sha(token);
        if let Some((member, until)) = self.lock().sessions.get(&key)
            && *until > now
        {
            return Ok(Some(*member));
        }
        let Some((member, expires_at)) = store::session(self.database.app(), &key, now).await? else {
            self.lock().sessions.remove(&key);
            return Ok(None);
        };
        let mut memory = self.lock();
        if memory.sessions.len() >= BELIEVED_SESSIONS_MAX {
            memory.sessions.clear();
        }
        memory.sessions.insert(key, (member, expires_at.min(now + BELIEVED)));
        Ok(Some(member))
    }

    /// Whether somebody used this session here lately: no stranger's.
    pub fn remembers(&self, token: &str) -> bool {
        self.lock().sessions.contains_key(&sha(token))
    }

    /// When a session ends at the latest, read anew; `None` when it has ended.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn session_ends(&self, token: &str) -> Result<Option<WallTime>, PeopleError> {
        let found = store::session(self.database.app(), &sha(token), self.clocks.wall.now()).await?;
        Ok(found.map(|(_, expires_at)| expires_at))
    }

    /// Ends a session. Safe to repeat.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn sign_out(&self, token: &str) -> Result<(), PeopleError> {
        let key = sha(token);
        store::revoke_session(self.database.app(), &key, self.clocks.wall.now()).await?;
        self.lock().sessions.remove(&key);
        Ok(())
    }

    /// What this sponsor calls this member: random, and another one for each sponsor.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn sponsor_token(&self, member: MemberId, merchant: MerchantId) -> Result<Uuid, PeopleError> {
        Ok(store::sponsor_token(self.database.app(), member, merchant, self.entropy.uuid()).await?)
    }

    /// The member's shard.
    pub fn shard(&self, member: MemberId) -> Shard {
        shard_of(member, self.shards)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        // Single inserts and counts: a panic elsewhere leaves nothing half done.
        lock(&self.memory)
    }
}

/// The digest by which a session is kept.
pub fn session_sha256(token: &str) -> Vec<u8> {
    sha(token)
}

/// Whether this programme was made as a sandbox. That is said when its database is made, and never changes.
///
/// # Errors
/// When the database fails.
pub async fn is_sandbox(pool: &PgPool) -> Result<bool, sqlx::Error> {
    store::is_sandbox(pool).await
}

fn sha(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}
