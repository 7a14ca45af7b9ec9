//! Looks for planted strings where personal data must not be (P1).

use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::testing::TestDb;

/// A place where a canary was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub canary: String,
    /// `schema.table.column`
    pub column: String,
    pub rows: i64,
}

/// Searches every column that can hold text (text, varchar, json, jsonb, bytea, arrays and whatever else
/// PostgreSQL can print) of every table in every schema but `vault`, and the plain bytes of compressed and
/// binary columns as far as they are stored plainly. Case does not matter; `bytea` is searched for the canary's bytes.
///
/// Log batches are compressed: decompress those you want searched and use [`find_in`].
///
/// # Panics
/// If the database is gone: a search that did not happen must not look like a clean one.
pub async fn find_canaries(db: &TestDb, canaries: &[&str]) -> Vec<Sighting> {
    let mut connection = db.superuser().await;
    let columns = columns(&mut connection).await.unwrap_or_else(|error| panic!("no list of columns: {error}"));
    assert!(!columns.is_empty(), "there is nothing to search");
    let mut found = Vec::new();
    for column in &columns {
        let rows = search(&mut connection, column, canaries).await;
        found.extend(rows.unwrap_or_else(|error| panic!("{} cannot be searched: {error}", column.name)));
    }
    found
}

/// The canaries that `text` holds, such as a program's output or a decompressed log batch.
pub fn find_in(text: &[u8], canaries: &[&str]) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    let holds = |canary: &str| {
        let wanted = canary.to_ascii_lowercase();
        lower.windows(wanted.len().max(1)).any(|window| window == wanted.as_bytes())
    };
    canaries.iter().filter(|canary| holds(canary)).map(|canary| (*canary).to_owned()).collect()
}

struct Column {
    name: String,
    is_bytes: bool,
    /// The quoted `schema.table` and column.
    table: String,
    quoted: String,
}

async fn columns(connection: &mut PgConnection) -> Result<Vec<Column>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT format('%I.%I', n.nspname, c.relname) AS tbl, format('%I', a.attname) AS col,
                format('%s.%s.%s', n.nspname, c.relname, a.attname) AS name, t.typname = 'bytea' AS is_bytes
           FROM pg_attribute a
           JOIN pg_class c ON c.oid = a.attrelid
           JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_type t ON t.oid = a.atttypid
          WHERE c.relkind IN ('r', 'p', 'm') AND a.attnum > 0 AND NOT a.attisdropped AND NOT c.relispartition
            AND n.nspname NOT IN ('vault', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
            AND t.typname NOT IN ('bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'timestamptz', 'uuid')
          ORDER BY 3",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Column {
                name: row.try_get("name")?,
                is_bytes: row.try_get("is_bytes")?,
                table: row.try_get("tbl")?,
                quoted: row.try_get("col")?,
            })
        })
        .collect()
}

async fn search(
    connection: &mut PgConnection,
    column: &Column,
    canaries: &[&str],
) -> Result<Vec<Sighting>, sqlx::Error> {
    let Column { table, quoted, .. } = column;
    let holds = if column.is_bytes {
        format!("position(convert_to(canary, 'UTF8') IN {quoted}) > 0")
    } else {
        format!("position(lower(canary) IN lower({quoted}::text)) > 0")
    };
    let sql = format!(
        "SELECT canary, count(*) AS n FROM {table}, UNNEST($1::text[]) AS canary WHERE {holds} GROUP BY canary ORDER BY 1"
    );
    let wanted: Vec<String> = canaries.iter().map(|canary| (*canary).to_owned()).collect();
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(wanted).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok(Sighting { canary: row.try_get(0)?, column: column.name.clone(), rows: row.try_get(1)? }))
        .collect()
}
