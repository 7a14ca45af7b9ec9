//! Merchants as the operator keeps them: added, changed, and given another earn rule from a day on.
//!
//! - What is sent again is the same, or refused: nothing is changed in silence.
//! - Earn rules are a history. A new one begins now or later and stands until the next; what was bought before keeps the rule of
//!   its day, and no rule is ever changed.

use hunch_kernel::MerchantId;
use jiff::{SignedDuration, Timestamp};
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use uuid::Uuid;

use crate::directory::Merchant;
use crate::earn_rule::{EarnRule, EarnTerms};
use crate::{LoyaltyError, store};

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

impl NewMerchant {
    fn terms(&self) -> EarnTerms {
        EarnTerms {
            points_per_unit: self.points_per_unit,
            per_cents: self.per_cents,
            points_per_visit: self.points_per_visit,
            points_max: self.points_max,
        }
    }
}

/// What can be changed of a merchant. What is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MerchantChange {
    pub name: Option<String>,
    /// Counts for what is bought from then on; what was bought before stays under the one of its time.
    pub category: Option<String>,
    pub zone: Option<String>,
}

/// An earn rule to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEarnRule {
    /// The caller's, so that sending it again makes no second one.
    pub id: Uuid,
    pub merchant: MerchantId,
    pub terms: EarnTerms,
    /// From now on, if none.
    pub valid_from: Option<Timestamp>,
}

/// How far ahead an earn rule may begin.
const RULE_DAYS_MAX: i64 = 3_660;

pub(crate) fn named(name: &str, most: usize, sentence: &'static str) -> Result<(), LoyaltyError> {
    let possible = !name.trim().is_empty() && name.chars().count() <= most && !name.chars().any(char::is_control);
    if possible { Ok(()) } else { Err(LoyaltyError::Invalid(sentence)) }
}

fn check_name(name: &str) -> Result<(), LoyaltyError> {
    named(name, 80, "name must have 1 to 80 characters, in one line")
}

fn check_category(category: &str) -> Result<(), LoyaltyError> {
    named(category, 40, "category must have 1 to 40 characters, in one line")
}

fn check_zone(zone: &str) -> Result<(), LoyaltyError> {
    let known = jiff::tz::TimeZone::get(zone).is_ok();
    if known {
        Ok(())
    } else {
        Err(LoyaltyError::Invalid("zone is not a known time zone; use a name such as America/New_York"))
    }
}

fn check_terms(terms: &EarnTerms) -> Result<(), LoyaltyError> {
    let bounds = [
        (0..=1_000_000_000, terms.points_per_unit, "points_per_unit must be from 0 to 1000000000"),
        (1..=1_000_000_000, terms.per_cents, "per_cents must be from 1 to 1000000000"),
        (0..=1_000_000_000, terms.points_per_visit, "points_per_visit must be from 0 to 1000000000"),
        (1..=1_000_000_000, terms.points_max, "points_max must be from 1 to 1000000000"),
    ];
    let wrong = bounds.into_iter().find(|(bounds, value, _)| !bounds.contains(value));
    wrong.map_or(Ok(()), |(_, _, sentence)| Err(LoyaltyError::Invalid(sentence)))
}

const OTHER_WAYS: &str = "change name, category or zone by PATCH, and the earn rule by a new one; the currency stays";

/// Adds a merchant with its first rule, by an operator of this name. Sent again with the same content, it adds nothing.
///
/// # Errors
/// `Invalid` names what is wrong; `Differs` when the id is there with other content; `Storage` when the database fails.
pub async fn add_merchant(pool: &PgPool, new: &NewMerchant, by: &str, now: Timestamp) -> Result<(), LoyaltyError> {
    check_name(&new.name)?;
    check_category(&new.category)?;
    if new.currency.len() != 3 || !new.currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(LoyaltyError::Invalid("currency must be three capital letters, such as USD"));
    }
    check_zone(&new.zone)?;
    let terms = new.terms();
    check_terms(&terms)?;
    if store::merchants::insert(pool, new, &terms, by, now).await? {
        return Ok(());
    }
    let stored = store::merchants::find(pool, new.id).await?.ok_or(sqlx::Error::RowNotFound)?;
    // The rule it was added with, or the one that stands now: either way nothing is asked for that is not so.
    let rules = [stored.rules.first(), crate::earn_rule::in_force(&stored.rules, now)];
    let terms_are = |same: fn(&EarnTerms, &EarnTerms) -> bool| rules.iter().flatten().any(|r| same(&r.terms, &terms));
    let fields = [
        ("name", stored.name == new.name),
        ("category", stored.category == new.category),
        ("zone", stored.zone == new.zone),
        ("currency", stored.currency == new.currency),
        ("points_per_unit", terms_are(|a, b| a.points_per_unit == b.points_per_unit)),
        ("per_cents", terms_are(|a, b| a.per_cents == b.per_cents)),
        ("points_per_visit", terms_are(|a, b| a.points_per_visit == b.points_per_visit)),
        ("points_max", terms_are(|a, b| a.points_max == b.points_max)),
        ("earn rule", terms_are(|a, b| a == b)),
    ];
    LoyaltyError::differing("merchant", &fields, OTHER_WAYS)
}

/// Changes what may be changed, and gives the merchant as it is then; `None` if there is none. What differs is kept with `by`
/// and `now`, business time; sent again, it changes nothing.
///
/// # Errors
/// `Invalid` names what is wrong; `Storage` when the database fails.
pub async fn change_merchant(
    pool: &PgPool,
    id: MerchantId,
    change: &MerchantChange,
    by: &str,
    now: Timestamp,
) -> Result<Option<Merchant>, LoyaltyError> {
    if *change == MerchantChange::default() {
        return Err(LoyaltyError::Invalid("nothing is to be changed; send name, category or zone"));
    }
    change.name.as_deref().map_or(Ok(()), check_name)?;
    change.category.as_deref().map_or(Ok(()), check_category)?;
    change.zone.as_deref().map_or(Ok(()), check_zone)?;
    store::merchants::change(pool, id, change, by, now).await?;
    Ok(store::merchants::find(pool, id).await?)
}

/// Gives a merchant another earn rule from a moment on, and answers with it. Part of a transaction of its caller, which says who
/// does it.
///
/// # Errors
/// `Invalid` names what is wrong, a beginning in the past above all; `Differs` when the id or the moment is another rule's;
/// `Storage` when the database fails or there is no such merchant.
pub async fn add_earn_rule(
    conn: &mut PgConnection,
    new: &NewEarnRule,
    now: Timestamp,
) -> Result<EarnRule, LoyaltyError> {
    if let Some((merchant, stored)) = store::merchants::rule(conn, new.id).await? {
        return same_rule(new, merchant, stored);
    }
    check_earn_rule(new, now)?;
    let from = new.valid_from.unwrap_or(now);
    let stored = store::merchants::insert_rule(conn, new, from, now).await?;
    if stored.rule == new.id {
        return Ok(stored);
    }
    // Another rule begins at this very moment.
    if stored.terms == new.terms {
        return Ok(stored);
    }
    let remedy = "let this one begin at another moment";
    Err(LoyaltyError::Differs { what: "earn rule of this moment", field: "content", remedy })
}

/// Whether a new earn rule is possible, before anybody is asked to approve it.
///
/// # Errors
/// `Invalid` names what is wrong, a beginning in the past above all.
pub fn check_earn_rule(new: &NewEarnRule, now: Timestamp) -> Result<(), LoyaltyError> {
    check_terms(&new.terms)?;
    let from = new.valid_from.unwrap_or(now);
    if from < now {
        let sentence = "valid_from must not be in the past: what was bought before keeps the rule of its day";
        return Err(LoyaltyError::Invalid(sentence));
    }
    if from.duration_since(now) > SignedDuration::from_hours(24 * RULE_DAYS_MAX) {
        return Err(LoyaltyError::Invalid("valid_from must be within ten years from now"));
    }
    Ok(())
}

fn same_rule(new: &NewEarnRule, merchant: MerchantId, stored: EarnRule) -> Result<EarnRule, LoyaltyError> {
    let begins = |at: Timestamp| at.as_microsecond() == stored.valid_from.as_microsecond();
    let fields = [
        ("merchant", merchant == new.merchant),
        ("points_per_unit", stored.terms.points_per_unit == new.terms.points_per_unit),
        ("per_cents", stored.terms.per_cents == new.terms.per_cents),
        ("points_per_visit", stored.terms.points_per_visit == new.terms.points_per_visit),
        ("points_max", stored.terms.points_max == new.terms.points_max),
        ("valid_from", new.valid_from.is_none_or(begins)),
    ];
    LoyaltyError::differing("earn rule", &fields, "add another under a new id")?;
    Ok(stored)
}

/// A merchant with all its earn rules, oldest first; `None` if there is none.
///
/// # Errors
/// `Storage` when the database fails.
pub async fn merchant(pool: &PgPool, id: MerchantId) -> Result<Option<Merchant>, LoyaltyError> {
    Ok(store::merchants::find(pool, id).await?)
}

/// What every merchant is called.
///
/// # Errors
/// When the database fails.
pub async fn merchant_names(pool: &PgPool) -> Result<HashMap<Uuid, String>, sqlx::Error> {
    store::merchants::names(pool).await
}
