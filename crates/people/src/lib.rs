//! Members by token: joining, signing in, sessions, and what sponsors may call them. Names nobody.

mod codes;
mod guesses;
mod sessions;
mod store;

pub use codes::{SignInKey, sign_in_code};
pub use sessions::{SESSIONS_MAX, Session, session_sha256};

use hunch_db::Database;
use hunch_kernel::{Clocks, MemberId, MerchantId, Shard, SharedEntropy, WallTime, lock, shard_of};
use hunch_log::{CommitError, LogError, ShardTx};
use hunch_messages::{MemberJoined, Message};
use hunch_vault::{IdentityKey, Person, Vault, VaultError};
use jiff::Timestamp;
use sqlx::PgPool;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

use crate::guesses::Guesses;

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

#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error("the time zone {0:?} is not known; use a name such as America/New_York")]
    Zone(String),
    #[error(transparent)]
    Person(VaultError),
    #[error("this sign-in code is not valid or was used; ask for a new one")]
    Code,
    #[error(
        "this sign-in code is not valid, and too many wrong ones came from your network; a right code works at once, and after a minute you can try others"
    )]
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

/// The server's keys for people.
#[derive(Clone)]
pub struct Keys {
    /// By which the vault knows people again.
    identity: IdentityKey,
    sign_in: SignInKey,
}

impl Keys {
    /// Both of one secret of the server.
    pub fn new(secret: &[u8]) -> Keys {
        Keys { identity: IdentityKey::new(secret), sign_in: SignInKey::new(secret) }
    }
}

#[derive(Clone)]
pub struct People {
    database: Database,
    vault: Vault,
    clocks: Clocks,
    entropy: SharedEntropy,
    shards: u16,
    sign_in_key: SignInKey,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    sessions: HashMap<Vec<u8>, (MemberId, WallTime)>,
    guesses: Guesses,
}

impl People {
    pub fn new(database: Database, clocks: Clocks, entropy: SharedEntropy, shards: u16, keys: Keys) -> People {
        let vault = Vault::new(database.vault().clone(), keys.identity);
        People { database, vault, clocks, entropy, shards, sign_in_key: keys.sign_in, memory: Arc::default() }
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

    /// An operator of this name takes people in: first the vault, then token and accounts in one transaction. A crash between leaves a person
    /// whom nobody knows, and repeating with the same tokens converges.
    ///
    /// # Errors
    /// `Zone`, `Person`, `Twice` or `Differs` says what is wrong, and nobody is taken in; `Storage`, when some may be in.
    pub async fn join(&self, people: Vec<NewMember>, by: &str) -> Result<Vec<MemberId>, PeopleError> {
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
            hunch_db::acts_as(tx.conn(), by).await?;
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

/// Whether this programme was made as a sandbox. That is said when its database is made, and never changes.
///
/// # Errors
/// When the database fails.
pub async fn is_sandbox(pool: &PgPool) -> Result<bool, sqlx::Error> {
    store::is_sandbox(pool).await
}
