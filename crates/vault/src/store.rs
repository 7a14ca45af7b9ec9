//! The vault's SQL.

use hunch_kernel::MemberId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use std::collections::HashSet;
use uuid::Uuid;

use crate::Person;
use crate::identity::{Digest, Identity};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Enters those who are not there yet, and gives them.
pub(crate) async fn insert_people(
    conn: &mut PgConnection,
    people: &[(MemberId, Person)],
    now: Timestamp,
) -> Result<HashSet<MemberId>> {
    let column = |f: fn(&Person) -> &str| people.iter().map(|(_, p)| f(p).to_owned()).collect::<Vec<String>>();
    let new: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO vault.person (member, full_name, email, phone, birth_date, entered_at)
         SELECT member, full_name, email, phone, birth_date::date, $6
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) AS t(member, full_name, email, phone, birth_date)
         ON CONFLICT ON CONSTRAINT person_once DO NOTHING RETURNING member",
    )
    .bind(people.iter().map(|(m, _)| m.0).collect::<Vec<Uuid>>())
    .bind(column(|p| &p.full_name))
    .bind(column(|p| &p.email))
    .bind(column(|p| &p.phone))
    .bind(people.iter().map(|(_, p)| p.birth_date.to_string()).collect::<Vec<String>>())
    .bind(now.to_sqlx())
    .fetch_all(conn)
    .await?;
    Ok(new.into_iter().map(MemberId).collect())
}

/// Writes digests, over those that were made by another key.
pub(crate) async fn write_identities(
    conn: &mut PgConnection,
    key_id: &[u8],
    identities: &[(MemberId, Identity)],
) -> Result<()> {
    let column = |f: fn(&Identity) -> &Digest| identities.iter().map(|(_, i)| f(i).clone()).collect::<Vec<Digest>>();
    let maybe = |f: fn(&Identity) -> &Option<Digest>| {
        identities.iter().map(|(_, i)| f(i).clone()).collect::<Vec<Option<Digest>>>()
    };
    sqlx::query(
        "INSERT INTO vault.identity (member, key_id, name, birth_date, name_and_birth, email, phone)
         SELECT member, $2, name, birth_date, name_and_birth, email, phone
         FROM UNNEST($1::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
              AS t(member, name, birth_date, name_and_birth, email, phone)
         ON CONFLICT ON CONSTRAINT identity_once DO UPDATE
         SET key_id = excluded.key_id, name = excluded.name, birth_date = excluded.birth_date,
             name_and_birth = excluded.name_and_birth, email = excluded.email, phone = excluded.phone",
    )
    .bind(identities.iter().map(|(m, _)| m.0).collect::<Vec<Uuid>>())
    .bind(key_id)
    .bind(column(|i| &i.name))
    .bind(column(|i| &i.birth_date))
    .bind(column(|i| &i.name_and_birth))
    .bind(maybe(|i| &i.email))
    .bind(maybe(|i| &i.phone))
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether there are digests that this key did not make: then nobody can say who is known.
pub(crate) async fn has_other_keys(pool: &PgPool, key_id: &[u8]) -> Result<bool> {
    // Each half is one look into the index.
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM vault.identity WHERE key_id < $1) OR EXISTS (SELECT FROM vault.identity WHERE key_id > $1)",
    )
    .bind(key_id)
    .fetch_one(pool)
    .await
}

/// Whoever shares name and birth date, e-mail address or phone number with any of these.
pub(crate) async fn alike(
    pool: &PgPool,
    key_id: &[u8],
    wanted: &[(MemberId, Identity)],
) -> Result<Vec<(MemberId, Identity)>> {
    let rows = sqlx::query(
        "SELECT member, name, birth_date, name_and_birth, email, phone FROM vault.identity
         WHERE key_id = $1 AND (name_and_birth = ANY($2) OR email = ANY($3) OR phone = ANY($4))
         ORDER BY member",
    )
    .bind(key_id)
    .bind(wanted.iter().map(|(_, i)| i.name_and_birth.clone()).collect::<Vec<Digest>>())
    .bind(wanted.iter().filter_map(|(_, i)| i.email.clone()).collect::<Vec<Digest>>())
    .bind(wanted.iter().filter_map(|(_, i)| i.phone.clone()).collect::<Vec<Digest>>())
    .fetch_all(pool)
    .await?;
    let read = |row: &PgRow| {
        let identity = Identity {
            name: row.try_get(1)?,
            birth_date: row.try_get(2)?,
            name_and_birth: row.try_get(3)?,
            email: row.try_get(4)?,
            phone: row.try_get(5)?,
        };
        Ok((MemberId(row.try_get(0)?), identity))
    };
    rows.iter().map(read).collect()
}

/// Some people without digests of this key.
pub(crate) async fn without_identity(pool: &PgPool, key_id: &[u8], limit: i64) -> Result<Vec<(MemberId, Person)>> {
    let rows = sqlx::query(
        "SELECT p.member, p.full_name, p.email, p.phone, p.birth_date::text
         FROM vault.person p LEFT JOIN vault.identity i USING (member)
         WHERE i.member IS NULL OR i.key_id <> $1 LIMIT $2",
    )
    .bind(key_id)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let read = |row: &PgRow| {
        let born: String = row.try_get(4)?;
        let birth_date = born.parse().map_err(|_| sqlx::Error::Decode("a birth date".into()))?;
        let person = Person { full_name: row.try_get(1)?, email: row.try_get(2)?, phone: row.try_get(3)?, birth_date };
        Ok((MemberId(row.try_get(0)?), person))
    };
    rows.iter().map(read).collect()
}
