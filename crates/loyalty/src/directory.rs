//! The merchants, tills and rules a purchase is checked against: read often, changed rarely, so kept in memory and
//! read again when something is asked for that memory does not know, or when it is a minute old.

use hunch_kernel::{
    MerchantId, SharedEntropy, SharedWallClock, TerminalId, WallTime, random_token, read_lock, within, write_lock,
};
use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use crate::earn_rule::{self, EarnRule};
use crate::{LoyaltyError, store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merchant {
    pub id: MerchantId,
    pub name: String,
    pub category: String,
    pub zone: String,
    pub currency: String,
    pub rules: Vec<EarnRule>,
}

impl Merchant {
    /// The rule that was in force then, if any.
    pub fn rule_at(&self, at: Timestamp) -> Option<&EarnRule> {
        earn_rule::in_force(&self.rules, at)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    pub id: TerminalId,
    pub merchant: MerchantId,
    pub name: String,
    pub active: bool,
}

/// A merchant to be, with its first earn rule.
#[derive(Clone, Debug)]
pub struct NewMerchant {
    pub id: MerchantId,
    pub name: String,
    pub category: String,
    pub zone: String,
    pub currency: String,
    pub points_per_unit: i64,
    pub per_cents: i64,
    pub points_per_visit: i64,
    pub points_max: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Known {
    pub merchants: HashMap<MerchantId, Merchant>,
    pub terminals: HashMap<TerminalId, Terminal>,
    read_at: Option<WallTime>,
}

/// The shared memory of all merchants and tills.
#[derive(Clone)]
pub struct Directory {
    pool: PgPool,
    wall: SharedWallClock,
    memory: Arc<RwLock<Memory>>,
}

#[derive(Default)]
struct Memory {
    known: Arc<Known>,
    /// How often it was forgotten: what was read before the last time is out of date.
    forgotten: u64,
}

const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// How soon an unknown id may make us read again: a flood of made-up ids must not become a flood of reads.
const RETRY: SignedDuration = SignedDuration::from_millis(500);

impl Directory {
    pub fn new(pool: PgPool, wall: SharedWallClock) -> Directory {
        Directory { pool, wall, memory: Arc::default() }
    }

    /// The till and its merchant, or `None`.
    ///
    /// # Errors
    /// When the database fails and memory has no answer.
    pub async fn terminal(&self, id: TerminalId) -> Result<Option<(Terminal, Merchant)>, LoyaltyError> {
        let found = |known: &Known| {
            let terminal = known.terminals.get(&id)?.clone();
            let merchant = known.merchants.get(&terminal.merchant)?.clone();
            Some((terminal, merchant))
        };
        self.look(found).await
    }

    /// # Errors
    /// When the database fails and memory has no answer.
    pub async fn merchant(&self, id: MerchantId) -> Result<Option<Merchant>, LoyaltyError> {
        self.look(|known| known.merchants.get(&id).cloned()).await
    }

    async fn look<T>(&self, find: impl Fn(&Known) -> Option<T>) -> Result<Option<T>, LoyaltyError> {
        let (known, forgotten) = {
            let memory = read_lock(&self.memory);
            (memory.known.clone(), memory.forgotten)
        };
        let found = find(&known);
        let due = if found.is_some() { FRESH } else { RETRY };
        if known.read_at.is_some_and(|at| within(self.wall.now(), at, due)) {
            return Ok(found);
        }
        let fresh = Arc::new(Known { read_at: Some(self.wall.now()), ..store::directory(&self.pool).await? });
        let mut memory = write_lock(&self.memory);
        if memory.forgotten == forgotten {
            memory.known = fresh.clone();
        }
        Ok(find(&fresh))
    }

    /// Forgets what memory holds, after a change made through this process.
    pub fn forget(&self) {
        let mut memory = write_lock(&self.memory);
        memory.known = Arc::default();
        memory.forgotten += 1;
    }
}

fn named(name: &str, most: usize, sentence: &'static str) -> Result<(), LoyaltyError> {
    let long = name.chars().count() > most;
    if name.trim().is_empty() || long { Err(LoyaltyError::Invalid(sentence)) } else { Ok(()) }
}

/// Adds a merchant with its first rule. Safe to repeat with the same id.
///
/// # Errors
/// `Invalid` names what is wrong; `Storage` when the database fails.
pub async fn add_merchant(pool: &PgPool, new: &NewMerchant, now: Timestamp) -> Result<(), LoyaltyError> {
    named(&new.name, 80, "a merchant's name has 1 to 80 characters")?;
    named(&new.category, 40, "a merchant's category has 1 to 40 characters")?;
    if new.currency.len() != 3 || !new.currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(LoyaltyError::Invalid("a currency is three capital letters, such as USD"));
    }
    if jiff::tz::TimeZone::get(&new.zone).is_err() {
        return Err(LoyaltyError::Invalid("the time zone is not known; use a name such as America/New_York"));
    }
    if new.points_per_unit < 0 || new.per_cents <= 0 || new.points_per_visit < 0 || new.points_max <= 0 {
        return Err(LoyaltyError::Invalid(
            "a rule's points cannot be negative, its unit and its maximum must be positive",
        ));
    }
    store::insert_merchant(pool, new, now).await?;
    Ok(())
}

/// Adds a till and gives its secret, which is shown this once.
///
/// # Errors
/// `Invalid` for a name that is none; `Storage` when the database fails or the merchant does not exist.
pub async fn add_terminal(
    pool: &PgPool,
    entropy: &SharedEntropy,
    merchant: MerchantId,
    name: &str,
    now: Timestamp,
) -> Result<(TerminalId, String), LoyaltyError> {
    named(name, 80, "a till's name has 1 to 80 characters")?;
    let id = TerminalId(entropy.uuid());
    let secret = random_token(entropy.as_ref());
    store::insert_terminal(pool, id, merchant, name, digest(&SHA256, secret.as_bytes()).as_ref(), now).await?;
    Ok((id, secret))
}

/// All merchants by name.
///
/// # Errors
/// `Storage` when the database fails.
pub async fn merchants(pool: &PgPool) -> Result<Vec<Merchant>, LoyaltyError> {
    let mut all: Vec<Merchant> = store::directory(pool).await?.merchants.into_values().collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}
