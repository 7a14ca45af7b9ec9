//! Roles, schemas and transactions on a real server.

use hunch_db::{
    migrate,
    testing::{TestDb, find_canaries, find_in},
};

#[tokio::test]
async fn every_role_connects_and_migrating_twice_changes_nothing() {
    let db = TestDb::new().await;
    for (pool, name) in [
        (db.app(), "hunch_app"),
        (db.vault(), "hunch_vault"),
        (db.owner(), "hunch_owner"),
        (db.auditor(), "hunch_audit"),
    ] {
        let who: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(pool).await.unwrap();
        assert_eq!(who, name);
    }
    migrate(db.owner(), 8, true).await.unwrap();
    let sandbox: bool = sqlx::query_scalar("SELECT sandbox FROM people.programme").fetch_one(db.app()).await.unwrap();
    assert!(!sandbox, "what was not made as a sandbox never becomes one");
}

/// What the migration says to a database that came to it with members, and to one that came without.
#[tokio::test]
async fn a_database_with_members_keeps_its_shards() {
    let db = TestDb::new().await;
    let asked_for_two = concat!("SET hunch.shards = '2';", include_str!("../../../migrations/0132_shards.sql"));
    let shards = async || {
        sqlx::raw_sql(asked_for_two).execute(db.owner()).await.unwrap();
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM log.shard_head").fetch_one(db.owner()).await.unwrap()
    };
    let member = "INSERT INTO people.member VALUES (gen_random_uuid(), 5, 'America/New_York', now())";
    sqlx::query(member).execute(db.owner()).await.unwrap();
    assert_eq!(shards().await, 8);
    sqlx::query("DELETE FROM people.member").execute(db.owner()).await.unwrap();
    assert_eq!(shards().await, 2);
}

/// Books written before entries named the one before them: of two members in turn, a message of two lines among them.
#[tokio::test]
async fn books_from_before_are_linked() {
    let db = TestDb::new().await;
    let as_before = "ALTER TABLE ledger.entry DROP COLUMN prior_seq;
         ALTER TABLE ledger.member_account DROP COLUMN last_seq;
         CREATE INDEX entry_of_member ON ledger.entry (member, seq DESC, line DESC);
         INSERT INTO ledger.member_account (member, shard)
         SELECT lpad(n::text, 32, '0')::uuid, 3 FROM generate_series(1, 3) n;
         INSERT INTO ledger.entry
         SELECT 3, seq, line, lpad(member::text, 32, '0')::uuid, 10, 1, gen_random_uuid(), 5, 1, gen_random_uuid(), 0, 5, now()
         FROM (VALUES (2, 0, 1), (3, 0, 2), (5, 0, 1), (5, 1, 1), (6, 0, 2), (9, 0, 1)) AS t(seq, line, member);";
    sqlx::raw_sql(as_before).execute(db.owner()).await.unwrap();
    sqlx::raw_sql(include_str!("../../../migrations/0133_statement.sql")).execute(db.owner()).await.unwrap();
    let linked: Vec<(i64, i64)> = sqlx::query_as("SELECT seq, prior_seq FROM ledger.entry ORDER BY seq, line")
        .fetch_all(db.owner())
        .await
        .unwrap();
    assert_eq!(linked, [(2, 0), (3, 0), (5, 2), (5, 2), (6, 3), (9, 5)]);
    let newest: Vec<i64> = sqlx::query_scalar("SELECT last_seq FROM ledger.member_account ORDER BY member")
        .fetch_all(db.owner())
        .await
        .unwrap();
    assert_eq!(newest, [9, 6, 0]);
}

#[tokio::test]
async fn the_auditor_sees_every_schema_but_the_vault_and_writes_nothing() {
    let db = TestDb::new().await;
    for sql in [
        "CREATE TABLE ledger.probe (n int)",
        "CREATE TABLE vault.probe (n int)",
        "GRANT SELECT ON vault.probe TO hunch_vault",
    ] {
        sqlx::query(sql).execute(db.owner()).await.unwrap();
    }
    sqlx::query("SELECT * FROM ledger.probe").execute(db.auditor()).await.unwrap();
    let refused = |error: sqlx::Error| error.as_database_error().and_then(|e| e.code().map(|c| c.into_owned()));
    let vault = sqlx::query("SELECT * FROM vault.probe").execute(db.auditor()).await.unwrap_err();
    assert_eq!(refused(vault).as_deref(), Some("42501"));
    let write = sqlx::query("INSERT INTO ledger.probe VALUES (1)").execute(db.auditor()).await.unwrap_err();
    assert!(matches!(refused(write).as_deref(), Some("42501" | "25006")));

    let app = sqlx::query("SELECT * FROM vault.probe").execute(db.app()).await.unwrap_err();
    assert_eq!(refused(app).as_deref(), Some("42501"));
    let app = sqlx::query("SELECT * FROM ledger.probe").execute(db.app()).await.unwrap_err();
    assert_eq!(refused(app).as_deref(), Some("42501"), "nothing is granted by default");
    sqlx::query("SELECT * FROM vault.probe").execute(db.vault()).await.unwrap();
    let out = sqlx::query("SELECT * FROM ledger.probe").execute(db.vault()).await.unwrap_err();
    assert_eq!(refused(out).as_deref(), Some("42501"));
}

/// Two transactions that lock two rows in opposite order: PostgreSQL ends one, and it is run again.
#[tokio::test]
async fn a_deadlock_is_tried_again() {
    let db = TestDb::new().await;
    for sql in [
        "CREATE TABLE trading.probe (id int PRIMARY KEY, n int NOT NULL)",
        "INSERT INTO trading.probe VALUES (1, 0), (2, 0)",
        "GRANT SELECT, UPDATE ON trading.probe TO hunch_app",
    ] {
        sqlx::query(sql).execute(db.owner()).await.unwrap();
    }
    let both_hold_one = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let mut tasks = Vec::new();
    for (first, second) in [(1, 2), (2, 1)] {
        let (database, barrier) = (db.db().clone(), both_hold_one.clone());
        tasks.push(tokio::spawn(async move {
            let (barrier, met) = (&barrier, &std::sync::atomic::AtomicBool::new(false));
            database
                .transaction("probe", |mut tx| async move {
                    let add = "UPDATE trading.probe SET n = n + 1 WHERE id = $1";
                    sqlx::query(add).bind(first).execute(&mut *tx).await?;
                    if !met.swap(true, std::sync::atomic::Ordering::Relaxed) {
                        barrier.wait().await;
                    }
                    sqlx::query(add).bind(second).execute(&mut *tx).await?;
                    Ok::<_, sqlx::Error>((tx, ()))
                })
                .await
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let all: Vec<i32> = sqlx::query_scalar("SELECT n FROM trading.probe").fetch_all(db.owner()).await.unwrap();
    assert_eq!(all, [2, 2]);
}

#[tokio::test]
async fn canaries_are_found_in_every_kind_of_column_but_not_in_the_vault() {
    let db = TestDb::new().await;
    for sql in [
        "CREATE TABLE people.probe (a text, b jsonb, c bytea, d text[], e varchar(40), \"Odd name\" text, n int)",
        "CREATE TABLE vault.probe (a text)",
        "INSERT INTO vault.probe VALUES ('Wren-Canary-7')",
        "INSERT INTO people.probe VALUES ('x wren-canary-7 y', NULL, NULL, NULL, NULL, NULL, 1)",
        "INSERT INTO people.probe VALUES (NULL, '{\"k\": [\"Wren-Canary-7\"]}', NULL, NULL, NULL, NULL, 2)",
        "INSERT INTO people.probe VALUES (NULL, NULL, convert_to('..Wren-Canary-7..', 'UTF8'), NULL, NULL, NULL, 3)",
        "INSERT INTO people.probe VALUES (NULL, NULL, NULL, ARRAY['a', 'WREN-CANARY-7'], NULL, NULL, 4)",
        "INSERT INTO people.probe VALUES (NULL, NULL, NULL, NULL, 'Wren-Canary-7', 'Wren-Canary-7', 5)",
    ] {
        sqlx::query(sql).execute(db.owner()).await.unwrap();
    }
    let found = find_canaries(&db, &["Wren-Canary-7", "never-planted"]).await;
    let columns: Vec<&str> = found.iter().map(|sighting| sighting.column.as_str()).collect();
    let expected = ["Odd name", "a", "b", "c", "d", "e"].map(|column| format!("people.probe.{column}"));
    assert_eq!(
        {
            let mut sorted = columns.clone();
            sorted.sort_unstable();
            sorted
        },
        expected
    );
    assert!(found.iter().all(|sighting| sighting.canary == "Wren-Canary-7" && sighting.rows == 1));
    assert_eq!(find_in(b"say wren-CANARY-7 aloud", &["Wren-Canary-7", "never-planted"]), ["Wren-Canary-7"]);
}

#[tokio::test]
async fn a_lost_connection_is_tried_again_and_a_broken_rule_is_not() {
    let db = TestDb::new().await;
    for sql in [
        "CREATE TABLE trading.probe (id int CONSTRAINT probe_once PRIMARY KEY)",
        "GRANT INSERT ON trading.probe TO hunch_app",
    ] {
        sqlx::query(sql).execute(db.owner()).await.unwrap();
    }
    let (database, runs) = (db.db(), &std::sync::atomic::AtomicU32::new(0));
    let insert = |mut tx: hunch_db::Tx| async move {
        sqlx::query("INSERT INTO trading.probe VALUES (1)").execute(&mut *tx).await?;
        if runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            let me: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *tx).await?;
            sqlx::query("SELECT pg_terminate_backend($1)").bind(me).execute(database.app()).await?;
        }
        Ok::<_, sqlx::Error>((tx, ()))
    };
    database.transaction("probe", insert).await.unwrap();
    assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 2);
    let error = database.transaction("probe", insert).await.unwrap_err();
    assert_eq!(error.as_database_error().and_then(|e| e.constraint()), Some("probe_once"));
    assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 2, "the second call stopped at its first statement");
}

/// A caller that stops waiting anywhere inside `begin` leaves no transaction behind for the next user of its connection.
#[tokio::test]
async fn whoever_hangs_up_while_a_transaction_begins_leaves_nothing_open() {
    let db = TestDb::new().await;
    let mut root = db.superuser().await;
    for waits in 0..24u32 {
        let mut begun = Box::pin(hunch_db::begin(db.app()));
        for _ in 0..=waits {
            let over = std::future::poll_fn(|cx| std::task::Poll::Ready(begun.as_mut().poll(cx).is_ready())).await;
            if over {
                break;
            }
            // Long enough for the next answer to be there.
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        }
        drop(begun);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        // Everything was given back: what is open now was left behind. Only a superuser sees the state of others.
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
        )
        .fetch_one(&mut root)
        .await
        .unwrap();
        assert_eq!(open, 0, "after {waits} more waits");
    }
}
