//! The vault's SQL.

use hunch_kernel::MemberId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use std::collections::HashSet;
use uuid::Uuid;

use crate::identity::{Digest, Identity};
use crate::{LastChange, Person};

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

/// Which entry of a member digests are of: the one of now, or a former one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(i64);

impl Version {
    pub(crate) const NOW: Version = Version(0);
}

/// Writes digests, over those that were made of other data or by another key.
pub(crate) async fn write_identities(
    conn: &mut PgConnection,
    key_id: &[u8],
    identities: &[(MemberId, Version, Identity)],
) -> Result<()> {
    let column = |f: fn(&Identity) -> &Digest| identities.iter().map(|(_, _, i)| f(i).clone()).collect::<Vec<Digest>>();
    let maybe = |f: fn(&Identity) -> &Option<Digest>| {
        identities.iter().map(|(_, _, i)| f(i).clone()).collect::<Vec<Option<Digest>>>()
    };
    sqlx::query(
        "INSERT INTO vault.identity (member, version, key_id, name, birth_date, name_and_birth, email, phone)
         SELECT member, version, $2, name, birth_date, name_and_birth, email, phone
         FROM UNNEST($1::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $8::int8[])
              AS t(member, name, birth_date, name_and_birth, email, phone, version)
         ON CONFLICT ON CONSTRAINT identity_once DO UPDATE
         SET key_id = excluded.key_id, name = excluded.name, birth_date = excluded.birth_date,
             name_and_birth = excluded.name_and_birth, email = excluded.email, phone = excluded.phone",
    )
    .bind(identities.iter().map(|(m, _, _)| m.0).collect::<Vec<Uuid>>())
    .bind(key_id)
    .bind(column(|i| &i.name))
    .bind(column(|i| &i.birth_date))
    .bind(column(|i| &i.name_and_birth))
    .bind(maybe(|i| &i.email))
    .bind(maybe(|i| &i.phone))
    .bind(identities.iter().map(|(_, version, _)| version.0).collect::<Vec<i64>>())
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

/// All entries, former ones included, of whoever shares name and birth date, e-mail address or phone number with any of these;
/// those of one member follow each other.
pub(crate) async fn alike(
    pool: &PgPool,
    key_id: &[u8],
    wanted: &[(MemberId, Identity)],
) -> Result<Vec<(MemberId, Identity)>> {
    let rows = sqlx::query(
        "SELECT member, name, birth_date, name_and_birth, email, phone FROM vault.identity
         WHERE key_id = $1 AND member IN (SELECT member FROM vault.identity
                                          WHERE key_id = $1 AND (name_and_birth = ANY($2) OR email = ANY($3) OR phone = ANY($4)))
         ORDER BY member, version",
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

/// Some entries, former ones included, without digests of this key.
pub(crate) async fn without_identity(
    pool: &PgPool,
    key_id: &[u8],
    limit: i64,
) -> Result<Vec<(MemberId, Version, Person)>> {
    let rows = sqlx::query(
        "SELECT e.full_name, e.email, e.phone, e.birth_date, e.member, e.version
         FROM (SELECT member, 0 AS version, full_name, email, phone, birth_date::text FROM vault.person
               UNION ALL
               SELECT f.member, f.change, f.full_name, f.email, f.phone, p.birth_date::text
               FROM vault.former_person f JOIN vault.person p USING (member)) e
         LEFT JOIN vault.identity i USING (member, version)
         WHERE i.member IS NULL OR i.key_id <> $1 LIMIT $2",
    )
    .bind(key_id)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| Ok((MemberId(row.try_get(4)?), Version(row.try_get(5)?), read_person(row)?))).collect()
}

fn read_person(row: &PgRow) -> Result<Person> {
    let born: String = row.try_get(3)?;
    let birth_date = born.parse().map_err(|_| sqlx::Error::Decode("a birth date".into()))?;
    Ok(Person { full_name: row.try_get(0)?, email: row.try_get(1)?, phone: row.try_get(2)?, birth_date })
}

/// What is entered of a member. Nobody else changes it before the transaction ends.
pub(crate) async fn person(conn: &mut PgConnection, member: MemberId) -> Result<Option<Person>> {
    let row =
        sqlx::query("SELECT full_name, email, phone, birth_date::text FROM vault.person WHERE member = $1 FOR UPDATE")
            .bind(member.0)
            .fetch_optional(conn)
            .await?;
    row.as_ref().map(read_person).transpose()
}

/// Enters `after` in place of `before`, which is kept.
pub(crate) async fn replace_person(
    conn: &mut PgConnection,
    member: MemberId,
    before: &Person,
    after: &Person,
    by: &str,
    now: Timestamp,
) -> Result<Version> {
    let change: i64 = sqlx::query_scalar(
        "INSERT INTO vault.former_person (member, full_name, email, phone, replaced_by, replaced_at)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING change",
    )
    .bind(member.0)
    .bind(&before.full_name)
    .bind(&before.email)
    .bind(&before.phone)
    .bind(by)
    .bind(now.to_sqlx())
    .fetch_one(&mut *conn)
    .await?;
    sqlx::query("UPDATE vault.person SET full_name = $2, email = $3, phone = $4 WHERE member = $1")
        .bind(member.0)
        .bind(&after.full_name)
        .bind(&after.email)
        .bind(&after.phone)
        .execute(conn)
        .await?;
    Ok(Version(change))
}

/// Who changed a member's data last, and when.
pub(crate) async fn last_change(conn: &mut PgConnection, member: MemberId) -> Result<Option<LastChange>> {
    let row = sqlx::query(
        "SELECT replaced_by, replaced_at FROM vault.former_person WHERE member = $1 ORDER BY change DESC LIMIT 1",
    )
    .bind(member.0)
    .fetch_optional(conn)
    .await?;
    row.map(|r| Ok(LastChange { by: r.try_get(0)?, at: r.try_get::<jiff_sqlx::Timestamp, _>(1)?.to_jiff() }))
        .transpose()
}
