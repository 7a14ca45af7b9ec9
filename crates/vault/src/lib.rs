//! The only home of personal data.
//!
//! Invariants
//! - P1: what is entered here is found nowhere else: not in another schema, not in the log, not in a message, not in
//!   what the process prints. Types that hold it print nothing of it.
//! - The vault answers questions (is this member at least 18 on that day?); it hands out no birth date.
//! - It has a role and a pool of its own; the application's role cannot see into it.

mod age;

use age::is_at_least;

use hunch_kernel::MemberId;
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use jiff_sqlx::ToSqlx;
use sqlx::{PgPool, Row};
use std::collections::HashMap;
use std::fmt;
use uuid::Uuid;

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

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("a person needs a name of 1 to 120 characters")]
    Name,
    #[error("an e-mail address has at most 200 characters, a phone number at most 40")]
    Contact,
    #[error("the birth date is not possible")]
    BirthDate,
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
}

impl Vault {
    /// `pool` must be the vault's own, see `hunch_db::Database::vault`.
    pub fn new(pool: PgPool) -> Vault {
        Vault { pool }
    }

    /// Enters people, all or none. Safe to repeat: a member entered before is left as it is.
    ///
    /// # Errors
    /// `Name` or `BirthDate` for the first that is not possible; `Storage`.
    pub async fn enter(&self, people: &[(MemberId, Person)], now: Timestamp) -> Result<(), VaultError> {
        let today = now.to_zoned(TimeZone::UTC).date();
        for (_, person) in people {
            if person.full_name.trim().is_empty() || person.full_name.chars().count() > 120 {
                return Err(VaultError::Name);
            }
            if person.email.chars().count() > 200 || person.phone.chars().count() > 40 {
                return Err(VaultError::Contact);
            }
            if person.birth_date >= today || person.birth_date.year() < 1880 {
                return Err(VaultError::BirthDate);
            }
        }
        let column = |f: fn(&Person) -> &str| people.iter().map(|(_, p)| f(p).to_owned()).collect::<Vec<String>>();
        sqlx::query(
            "INSERT INTO vault.person (member, full_name, email, phone, birth_date, entered_at)
             SELECT member, full_name, email, phone, birth_date::date, $6
             FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) AS t(member, full_name, email, phone, birth_date)
             ON CONFLICT ON CONSTRAINT person_once DO NOTHING",
        )
        .bind(people.iter().map(|(m, _)| m.0).collect::<Vec<Uuid>>())
        .bind(column(|p| &p.full_name))
        .bind(column(|p| &p.email))
        .bind(column(|p| &p.phone))
        .bind(people.iter().map(|(_, p)| p.birth_date.to_string()).collect::<Vec<String>>())
        .bind(now.to_sqlx())
        .execute(&self.pool)
        .await?;
        Ok(())
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
