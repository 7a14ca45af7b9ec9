//! The merchants, tills, rules and offers a purchase is checked against: read often, changed rarely, so kept in memory and
//! read again when something is asked for that memory does not know, or when it is a minute old; offers, when they are a
//! second old, because members are told of them.

use hunch_db::MemoryCopy;
use hunch_kernel::{MerchantId, SharedEntropy, SharedWallClock, TerminalId, random_token};
use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::Arc;

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
}

/// Offers that may still count, by merchant.
#[derive(Debug, Default)]
struct KnownOffers {
    by_merchant: HashMap<MerchantId, Vec<Offer>>,
}

/// The shared memory of all merchants and tills.
#[derive(Clone)]
pub struct Directory {
    pool: PgPool,
    wall: SharedWallClock,
    known: Arc<MemoryCopy<Known>>,
    offers: Arc<MemoryCopy<KnownOffers>>,
}

const FRESH: SignedDuration = SignedDuration::from_secs(60);
const OFFERS_FRESH: SignedDuration = SignedDuration::from_secs(1);
/// How soon an unknown id may make us read again: a flood of made-up ids must not become a flood of reads.
const RETRY: SignedDuration = SignedDuration::from_millis(500);

impl Directory {
    pub fn new(pool: PgPool, wall: SharedWallClock) -> Directory {
        Directory { pool, wall, known: Arc::default(), offers: Arc::default() }
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
        Ok(self.look(|known| Some(known.spellings)).await?.unwrap_or_default())
    }

    /// Offers that a sale like this may have. `now` is business time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn offers(&self, sale: &Sale, now: Timestamp) -> Result<Vec<Offer>, LoyaltyError> {
        let read = async {
            let mut fresh = KnownOffers::default();
            for offer in store::offers::ending_after(&self.pool, oldest_receipt(now)).await? {
                fresh.by_merchant.entry(offer.merchant).or_default().push(offer);
            }
            // In the order in which what they gave is read again.
            fresh.by_merchant.values_mut().for_each(|offers| offers.sort_by_key(|offer| offer.id));
            Ok(fresh)
        };
        let known = self.offers.get(self.wall.now(), OFFERS_FRESH, read).await?;
        let offers = known.by_merchant.get(&sale.merchant).map(Vec::as_slice).unwrap_or_default();
        Ok(offers.iter().filter(|offer| offer.counts(sale)).cloned().collect())
    }

    async fn look<T>(&self, find: impl Fn(&Known) -> Option<T>) -> Result<Option<T>, LoyaltyError> {
        let found = self.known.last().and_then(|known| find(&known));
        let due = if found.is_some() { FRESH } else { RETRY };
        let known = self.known.get(self.wall.now(), due, store::directory(&self.pool)).await?;
        Ok(find(&known))
    }

    /// Forgets what memory holds, after a change made through this process.
    pub fn forget(&self) {
        self.known.forget();
        self.offers.forget();
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
