//! The merchants, tills, rules and offers a purchase is checked against: read often, changed rarely, so kept in memory and
//! read again when something is asked for that memory does not know, or when it is a minute old; offers, when they are a
//! second old, because members are told of them.

use hunch_kernel::{
    MerchantId, SharedEntropy, SharedWallClock, TerminalId, WallTime, random_token, read_lock, within, write_lock,
};
use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use crate::credit::Sale;
use crate::earn_rule::{self, EarnRule};
use crate::merchants::named;
use crate::offers::Offer;
use crate::purchases::oldest_receipt;
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
    /// Neither it nor its merchant is closed.
    pub open: bool,
    /// The points of its purchases wait for an operator's decision.
    pub watched: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Known {
    pub merchants: HashMap<MerchantId, Merchant>,
    pub terminals: HashMap<TerminalId, Terminal>,
    /// Receipts were recorded while each spelling of a number had an id of its own.
    pub spellings: bool,
    read_at: Option<WallTime>,
}

/// Offers that may still count, by merchant.
#[derive(Debug, Default)]
struct KnownOffers {
    by_merchant: HashMap<MerchantId, Vec<Offer>>,
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
    offers: Arc<KnownOffers>,
    /// How often it was forgotten: what was read before the last time is out of date.
    forgotten: u64,
}

const FRESH: SignedDuration = SignedDuration::from_secs(60);
const OFFERS_FRESH: SignedDuration = SignedDuration::from_secs(1);
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

    pub(crate) async fn has_spellings(&self) -> Result<bool, LoyaltyError> {
        Ok(self.look(|known| known.read_at.map(|_| known.spellings)).await?.unwrap_or_default())
    }

    /// Offers that a sale like this may have. `now` is business time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn offers(&self, sale: &Sale, now: Timestamp) -> Result<Vec<Offer>, LoyaltyError> {
        let (known, forgotten) = {
            let memory = read_lock(&self.memory);
            (memory.offers.clone(), memory.forgotten)
        };
        let of_sale = |known: &KnownOffers| {
            let offers = known.by_merchant.get(&sale.merchant).map(Vec::as_slice).unwrap_or_default();
            offers.iter().filter(|offer| offer.counts(sale)).cloned().collect::<Vec<Offer>>()
        };
        if known.read_at.is_some_and(|at| within(self.wall.now(), at, OFFERS_FRESH)) {
            return Ok(of_sale(&known));
        }
        let mut fresh = KnownOffers { read_at: Some(self.wall.now()), ..KnownOffers::default() };
        for offer in store::offers::ending_after(&self.pool, oldest_receipt(now)).await? {
            fresh.by_merchant.entry(offer.merchant).or_default().push(offer);
        }
        // In the order in which what they gave is read again.
        fresh.by_merchant.values_mut().for_each(|offers| offers.sort_by_key(|offer| offer.id));
        let fresh = Arc::new(fresh);
        let mut memory = write_lock(&self.memory);
        if memory.forgotten == forgotten {
            memory.offers = fresh.clone();
        }
        Ok(of_sale(&fresh))
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
        memory.offers = Arc::default();
        memory.forgotten += 1;
    }
}

/// An operator of this name adds a till under a new id. Gives its secret, which is shown this once.
///
/// # Errors
/// `Invalid` for a name that is none; `Storage` when the database fails or the merchant does not exist.
pub async fn add_terminal(
    pool: &PgPool,
    entropy: &SharedEntropy,
    merchant: MerchantId,
    name: &str,
    by: &str,
    now: Timestamp,
) -> Result<(TerminalId, String), LoyaltyError> {
    let id = TerminalId(entropy.uuid());
    let secret = add_terminal_as(pool, entropy, id, merchant, name, by, now).await?;
    Ok((id, secret.ok_or(sqlx::Error::RowNotFound)?))
}

/// Adds a till under the caller's id. Sent again with the same content, it adds nothing and there is no secret: only its digest
/// is kept, and another secret would lock out a till that works with the first one.
///
/// # Errors
/// As [`add_terminal`]; `Differs` when the id is another till's.
pub async fn add_terminal_as(
    pool: &PgPool,
    entropy: &SharedEntropy,
    id: TerminalId,
    merchant: MerchantId,
    name: &str,
    by: &str,
    now: Timestamp,
) -> Result<Option<String>, LoyaltyError> {
    named(name, 80, "name must have 1 to 80 characters, in one line")?;
    let secret = random_token(entropy.as_ref());
    let sha256 = digest(&SHA256, secret.as_bytes());
    if store::terminals::insert(pool, id, merchant, name, sha256.as_ref(), by, now).await? {
        return Ok(Some(secret));
    }
    let (whose, named) = store::terminals::content(pool, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    let fields = [("merchant", whose == merchant), ("name", named == name)];
    LoyaltyError::differing("terminal", &fields, "add another one under a new id")?;
    Ok(None)
}
