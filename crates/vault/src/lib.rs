//! The only home of personal data.
//!
//! Invariants
//! - P1: what is entered here is found nowhere else: not in another schema, not in the log, not in a message, not in
//!   what the process prints. Types that hold it print nothing of it.
//! - The vault answers questions (is this member at least 18 on that day?); it hands out no birth date.
//! - It has a role and a pool of its own; the application's role cannot see into it.
//! - Whether somebody who is entered is known already is told by keyed digests, and by which facts agree, never by facts.
//! - What is changed of a person is kept as it was, so that the person is known again by the old data and by the new.

mod age;
mod identity;
mod store;

pub use identity::{Agreement, IdentityKey};

use age::is_at_least;
use identity::Identity;
use store::Version;

use hunch_kernel::MemberId;
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use sqlx::{PgPool, Postgres, Row, Transaction};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

/// How many people's digests are made in one statement.
const RENEWED_AT_ONCE: i64 = 1_000;

/// A person as entered. Prints nothing of what it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    pub full_name: String,
    pub email: String,
    pub phone: String,
    pub birth_date: Date,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person(…)")
    }
}

/// What is to be changed of a person. What is left out stays. Prints nothing of what it holds.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PersonChange {
    pub full_name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
}

impl PersonChange {
    fn of(&self, person: &Person) -> Person {
        let new = |wanted: &Option<String>, entered: &str| wanted.clone().unwrap_or_else(|| entered.to_owned());
        Person {
            full_name: new(&self.full_name, &person.full_name),
            email: new(&self.email, &person.email),
            phone: new(&self.phone, &person.phone),
            birth_date: person.birth_date,
        }
    }
}

impl fmt::Debug for PersonChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonChange(…)")
    }
}

/// Who changed a person's data last, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastChange {
    pub by: String,
    /// Business time.
    pub at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("a person needs a name of 1 to 120 characters")]
    Name,
    #[error("an e-mail address has at most 200 characters, a phone number at most 40")]
    Contact,
    #[error("the birth date is not possible")]
    BirthDate,
    #[error("people were entered under another identity key; start the programme anew, and only one at a time")]
    OtherKey,
    // Deliberately without the database's words: they may quote what was entered.
    #[error("the vault cannot be reached")]
    Storage,
}

impl From<sqlx::Error> for VaultError {
    fn from(error: sqlx::Error) -> VaultError {
        let code = error.as_database_error().and_then(|e| e.code().map(|c| c.into_owned()));
        tracing::error!(code = code.as_deref().unwrap_or("none"), "vault storage failed");
        VaultError::Storage
    }
}

/// The way in.
#[derive(Clone)]
pub struct Vault {
    pool: PgPool,
    key: IdentityKey,
    /// One at a time asks for its turn at the database, so that turns do not use up the pool.
    turns: Arc<Mutex<()>>,
}

/// Nobody else is looked up or entered while this is held, in any process. Ends when it is dropped.
pub struct Turn {
    _here: OwnedMutexGuard<()>,
    _everywhere: Transaction<'static, Postgres>,
}

/// A person of the vault who may be the one that was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub member: MemberId,
    pub agreement: Agreement,
}

impl Vault {
    /// `pool` must be the vault's own, see `hunch_db::Database::vault`.
    pub fn new(pool: PgPool, key: IdentityKey) -> Vault {
        Vault { pool, key, turns: Arc::default() }
    }

    /// Waits until nobody else looks people up to enter them.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn turn(&self) -> Result<Turn, VaultError> {
        let here = self.turns.clone().lock_owned().await;
        let mut everywhere = hunch_db::begin(&self.pool).await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('vault.identity', 0))")
            .execute(&mut *everywhere)
            .await?;
        Ok(Turn { _here: here, _everywhere: everywhere })
    }

    /// For each of these: who of the vault shares name and birth date, e-mail address or phone number, and of those
    /// before it in the list who does. Never itself.
    ///
    /// # Errors
    /// `OtherKey` when somebody could not be known again; `Storage`.
    pub async fn recognise(&self, people: &[(MemberId, Person)]) -> Result<Vec<Vec<Known>>, VaultError> {
        let wanted: Vec<(MemberId, Identity)> = people.iter().map(|(m, p)| (*m, self.key.identity(p))).collect();
        if store::has_other_keys(&self.pool, self.key.id()).await? {
            return Err(VaultError::OtherKey);
        }
        let stored = store::alike(&self.pool, self.key.id(), &wanted).await?;
        let known = |place: usize| {
            let (member, identity) = &wanted[place];
            known_of(*member, identity, stored.iter().chain(&wanted[..place]))
        };
        Ok((0..wanted.len()).map(known).collect())
    }

    /// Who else of the vault shares name and birth date, e-mail address or phone number with this member as it would be after a
    /// change; `None` if there is no such member.
    ///
    /// # Errors
    /// `Name` or `Contact` for what is not possible; else as [`Vault::recognise`].
    pub async fn recognise_changed(
        &self,
        member: MemberId,
        change: &PersonChange,
    ) -> Result<Option<Vec<Known>>, VaultError> {
        let mut conn = self.pool.acquire().await?;
        let Some(person) = store::person(&mut conn, member).await? else { return Ok(None) };
        drop(conn);
        let after = change.of(&person);
        check_words(&after)?;
        Ok(self.recognise(&[(member, after)]).await?.pop())
    }

    /// Changes what differs, and keeps what was there with `by` and `now`, business time. Safe to repeat: what is so already
    /// stays. Gives who changed this member's data last, if anybody ever did.
    ///
    /// # Errors
    /// `Name` or `Contact` for what is not possible; `Storage`, also when there is no such member.
    pub async fn change(
        &self,
        member: MemberId,
        change: &PersonChange,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<LastChange>, VaultError> {
        let mut tx = hunch_db::begin(&self.pool).await?;
        let before = store::person(&mut tx, member).await?.ok_or(VaultError::Storage)?;
        let after = change.of(&before);
        if after != before {
            check_words(&after)?;
            let former = store::replace_person(&mut tx, member, &before, &after, by, now).await?;
            let identities =
                [(member, former, self.key.identity(&before)), (member, Version::NOW, self.key.identity(&after))];
            store::write_identities(&mut tx, self.key.id(), &identities).await?;
        }
        let last = store::last_change(&mut tx, member).await?;
        tx.commit().await?;
        Ok(last)
    }

    /// Makes the digests of whoever has none, or some of another key. Gives how many. Safe to repeat and to stop.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn renew_identities(&self) -> Result<u64, VaultError> {
        let _turn = self.turn().await?;
        let mut renewed = 0;
        loop {
            let people = store::without_identity(&self.pool, self.key.id(), RENEWED_AT_ONCE).await?;
            if people.is_empty() {
                return Ok(renewed);
            }
            let identities: Vec<(MemberId, Version, Identity)> =
                people.iter().map(|(member, version, person)| (*member, *version, self.key.identity(person))).collect();
            let mut conn = self.pool.acquire().await?;
            store::write_identities(&mut conn, self.key.id(), &identities).await?;
            renewed += people.len() as u64;
        }
    }

    /// Enters people, all or none. Safe to repeat: a member entered before is left as it is.
    ///
    /// # Errors
    /// `Name` or `BirthDate` for the first that is not possible; `Storage`.
    pub async fn enter(&self, people: &[(MemberId, Person)], now: Timestamp) -> Result<(), VaultError> {
        let today = now.to_zoned(TimeZone::UTC).date();
        for (_, person) in people {
            check_words(person)?;
            if person.birth_date >= today || person.birth_date.year() < 1880 {
                return Err(VaultError::BirthDate);
            }
        }
        let mut tx = hunch_db::begin(&self.pool).await?;
        let mut new = store::insert_people(&mut tx, people, now).await?;
        // Whoever stands twice in the list was entered as the first says.
        let entered = people.iter().filter(|(member, _)| new.remove(member));
        let identities: Vec<(MemberId, Version, Identity)> =
            entered.map(|(member, person)| (*member, Version::NOW, self.key.identity(person))).collect();
        store::write_identities(&mut tx, self.key.id(), &identities).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What was sent of members that the vault knows and differs from what was entered: the member's place in the list and the
    /// field's name. Nobody learns what was entered.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn differing(&self, people: &[(MemberId, &Person)]) -> Result<Option<(usize, &'static str)>, VaultError> {
        let rows = sqlx::query(
            "SELECT member, full_name, email, phone, birth_date::text FROM vault.person WHERE member = ANY($1)",
        )
        .bind(people.iter().map(|(m, _)| m.0).collect::<Vec<Uuid>>())
        .fetch_all(&self.pool)
        .await?;
        let mut entered: HashMap<MemberId, [String; 4]> = HashMap::with_capacity(rows.len());
        for r in rows {
            let kept = [r.try_get(1)?, r.try_get(2)?, r.try_get(3)?, r.try_get(4)?];
            entered.insert(MemberId(r.try_get(0)?), kept);
        }
        let differs = |person: &Person, kept: &[String; 4]| {
            let sent = [&person.full_name, &person.email, &person.phone, &person.birth_date.to_string()];
            let names = ["full_name", "email", "phone", "birth_date"];
            names
                .into_iter()
                .zip(sent.into_iter().zip(kept))
                .find(|(_, (sent, kept))| sent != kept)
                .map(|(name, _)| name)
        };
        let mut found =
            people.iter().enumerate().filter_map(|(n, (m, person))| Some((n, differs(person, entered.get(m)?)?)));
        Ok(found.next())
    }

    /// For each member the vault knows: the greatest of `ages` (years) they have reached on their local day, 0 if none.
    /// Nobody learns more of a birthday than that.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn ages_reached(
        &self,
        members: &[(MemberId, Date)],
        ages: &[i16],
    ) -> Result<HashMap<MemberId, i16>, VaultError> {
        let rows = sqlx::query("SELECT member, birth_date::text FROM vault.person WHERE member = ANY($1)")
            .bind(members.iter().map(|(m, _)| m.0).collect::<Vec<Uuid>>())
            .fetch_all(&self.pool)
            .await?;
        let mut births: HashMap<MemberId, Date> = HashMap::with_capacity(rows.len());
        for row in rows {
            let born = row.try_get::<String, _>(1)?.parse().map_err(|_| VaultError::Storage)?;
            births.insert(MemberId(row.try_get(0)?), born);
        }
        let reached = |born: Date, on: Date| ages.iter().copied().filter(|a| is_at_least(born, *a, on)).max();
        let known =
            members.iter().filter_map(|(m, on)| births.get(m).map(|born| (*m, reached(*born, *on).unwrap_or(0))));
        Ok(known.collect())
    }

    /// The member's own name, for the member's own screen and nobody else's.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn own_name(&self, member: MemberId) -> Result<Option<String>, VaultError> {
        let row = sqlx::query("SELECT full_name FROM vault.person WHERE member = $1").bind(member.0);
        Ok(row.fetch_optional(&self.pool).await?.map(|r| r.try_get(0)).transpose()?)
    }
}

fn check_words(person: &Person) -> Result<(), VaultError> {
    if person.full_name.trim().is_empty() || person.full_name.chars().count() > 120 {
        return Err(VaultError::Name);
    }
    if person.email.chars().count() > 200 || person.phone.chars().count() > 40 {
        return Err(VaultError::Contact);
    }
    Ok(())
}

/// Those of `others` who may be this one, each once with all that agrees with any of the entries; entries of one member follow
/// each other.
fn known_of<'a>(
    member: MemberId,
    identity: &Identity,
    others: impl Iterator<Item = &'a (MemberId, Identity)>,
) -> Vec<Known> {
    let mut known: Vec<Known> = Vec::new();
    for (other, theirs) in others.filter(|(other, _)| *other != member) {
        let agreement = identity.agreement(theirs);
        match known.last_mut().filter(|k| k.member == *other) {
            Some(same) => same.agreement = same.agreement.or(agreement),
            None => known.push(Known { member: *other, agreement }),
        }
    }
    known.retain(|k| k.agreement.contact() || (k.agreement.name && k.agreement.birth_date));
    known
}
