//! Joining, signing in, and that personal data is found in the vault and nowhere else.

use hunch_db::testing::{TestDb, find_canaries, find_in};
use hunch_kernel::{Clocks, ManualClock, MemberId, MerchantId, SeededEntropy};
use hunch_ledger::balance;
use hunch_people::{Keys, NewMember, People, PeopleError, SESSIONS_MAX, session_sha256};
use hunch_vault::{Agreement, Person, VaultError};
use jiff::SignedDuration;
use jiff::civil::date;
use sqlx::AssertSqlSafe;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

async fn people() -> (TestDb, People, Arc<ManualClock>) {
    let db = TestDb::new().await;
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let people = People::new(
        db.db().clone(),
        Clocks::manual(clock.clone()),
        SeededEntropy::shared(1),
        8,
        Keys::new(b"a key of tests"),
    );
    (db, people, clock)
}

fn person() -> Person {
    Person {
        full_name: "Canary Nightingale".to_owned(),
        email: "canary@nightingale.example".to_owned(),
        phone: "+1-555-0100-canary".to_owned(),
        birth_date: date(1971, 3, 17),
    }
}

fn newcomer(member: Option<MemberId>) -> NewMember {
    NewMember { member, person: person(), home_zone: "America/New_York".to_owned() }
}

#[tokio::test]
async fn joining_twice_is_joining_once() {
    let (db, people, _) = people().await;
    let id = MemberId(Uuid::from_u128(5));
    for _ in 0..2 {
        assert_eq!(people.join(vec![newcomer(Some(id))], "operator").await.unwrap(), [id]);
    }
    assert_eq!(people.member(id).await.unwrap().unwrap().shard, people.shard(id));
    assert!(balance(db.app(), id).await.unwrap().is_some());
    assert_eq!(people.vault().own_name(id).await.unwrap().as_deref(), Some("Canary Nightingale"));
    for (day, reached) in [(date(1989, 3, 17), 18), (date(1989, 3, 16), 0), (date(1992, 3, 17), 21)] {
        let stranger = MemberId(Uuid::from_u128(6));
        let ages = people.vault().ages_reached(&[(id, day), (stranger, day)], &[21, 18]).await.unwrap();
        assert_eq!(ages, [(id, reached)].into(), "{day}");
    }

    let bad_zone = NewMember { home_zone: "Mars/Base".to_owned(), ..newcomer(None) };
    assert!(matches!(people.join(vec![newcomer(None), bad_zone], "operator").await, Err(PeopleError::Zone(_))));
    let unborn = NewMember { person: Person { birth_date: date(2030, 1, 1), ..person() }, ..newcomer(None) };
    assert!(matches!(people.join(vec![unborn], "operator").await, Err(PeopleError::Person(VaultError::BirthDate))));
}

#[tokio::test]
async fn a_code_signs_in_once_and_a_session_ends() {
    let (db, people, clock) = people().await;
    let id = people.join(vec![newcomer(None)], "operator").await.unwrap()[0];
    let code = people.new_codes(&[id], false, "operator").await.unwrap().remove(0);
    let session = people.sign_in(&code.to_lowercase(), None).await.unwrap();
    assert_eq!(session.member, id);
    assert!(matches!(people.sign_in(&code, None).await, Err(PeopleError::Code)));
    assert_eq!(people.session(&session.token).await.unwrap(), Some(id));
    assert_eq!(people.session("another").await.unwrap(), None);
    people.sign_out(&session.token).await.unwrap();
    assert_eq!(people.session(&session.token).await.unwrap(), None);

    assert!(matches!(people.new_codes(&[id], true, "operator").await, Err(PeopleError::SandboxOnly)));
    sqlx::query("UPDATE people.programme SET sandbox = true").execute(db.owner()).await.unwrap();
    let sandbox = people.new_codes(&[id], true, "operator").await.unwrap().remove(0);
    people.sign_in(&sandbox, None).await.unwrap();
    people.sign_in(&sandbox, None).await.unwrap();
    clock.advance(SignedDuration::from_hours(25));
    assert!(matches!(people.sign_in(&sandbox, None).await, Err(PeopleError::Code)), "a day is over");
}

#[tokio::test]
async fn a_code_is_good_for_a_quarter_of_an_hour_and_only_the_newest_is() {
    let (_db, people, clock) = people().await;
    let id = people.join(vec![newcomer(None)], "operator").await.unwrap()[0];
    let first = people.new_codes(&[id], false, "operator").await.unwrap().remove(0);
    let second = people.new_codes(&[id], false, "operator").await.unwrap().remove(0);
    assert!(matches!(people.sign_in(&first, None).await, Err(PeopleError::Code)));
    clock.advance(SignedDuration::from_mins(15));
    assert!(matches!(people.sign_in(&second, None).await, Err(PeopleError::Code)));
    let third = people.new_codes(&[id], false, "operator").await.unwrap().remove(0);
    assert_eq!(people.never_signed_in(&[id]).await.unwrap(), [id]);
    people.sign_in(&third, None).await.unwrap();
    assert_eq!(people.never_signed_in(&[id]).await.unwrap(), []);
}

/// What is kept of a code cannot be found again by trying all codes: the key is not there.
#[tokio::test]
async fn a_codes_digest_is_keyed() {
    let (db, people, _) = people().await;
    let id = people.join(vec![newcomer(None)], "operator").await.unwrap()[0];
    let code = people.new_codes(&[id], false, "operator").await.unwrap().remove(0);
    let kept: Vec<u8> =
        sqlx::query_scalar("SELECT code_hmac FROM people.sign_in_code").fetch_one(db.app()).await.unwrap();
    assert_eq!(kept.len(), 32);
    assert_ne!(kept, session_sha256(&code));
    let other = People::new(
        db.db().clone(),
        Clocks::manual(ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap())),
        SeededEntropy::shared(9),
        8,
        Keys::new(b"another key"),
    );
    assert!(matches!(other.sign_in(&code, None).await, Err(PeopleError::Code)));
    people.sign_in(&code, None).await.unwrap();
}

#[tokio::test]
async fn a_code_that_gave_no_session_is_not_used_up() {
    let (db, people, _) = people().await;
    let id = people.join(vec![newcomer(None)], "operator").await.unwrap()[0];
    let code = people.new_codes(&[id], false, "operator").await.unwrap().remove(0);
    sqlx::query("ALTER TABLE people.session RENAME TO gone").execute(db.owner()).await.unwrap();
    assert!(matches!(people.sign_in(&code, None).await, Err(PeopleError::Storage(_))));
    sqlx::query("ALTER TABLE people.gone RENAME TO session").execute(db.owner()).await.unwrap();
    people.sign_in(&code, None).await.unwrap();
}

/// Whoever guesses has to wait; whoever has the right code does not, wherever it comes from and however it begins.
#[tokio::test]
async fn a_guesser_makes_nobody_wait_who_has_a_code() {
    let (_db, people, clock) = people().await;
    let id = people.join(vec![newcomer(None)], "operator").await.unwrap()[0];
    let code = people.new_codes(&[id], false, "operator").await.unwrap().remove(0);
    let from = Some(IpAddr::from([203, 0, 113, 9]));
    for n in 0..20 {
        assert!(matches!(people.sign_in(&format!("{}{n:04}", &code[..8]), from).await, Err(PeopleError::Code)));
    }
    assert!(matches!(people.sign_in("0000-0000-0000", from).await, Err(PeopleError::TooManyTries)));
    let elsewhere = Some(IpAddr::from([203, 0, 113, 10]));
    assert!(matches!(people.sign_in("0000-0000-0000", elsewhere).await, Err(PeopleError::Code)));
    people.sign_in(&code, from).await.unwrap();
    clock.advance(SignedDuration::from_secs(61));
    assert!(matches!(people.sign_in("0000-0000-0000", from).await, Err(PeopleError::Code)));
}

#[tokio::test]
async fn sessions_end_when_idle_when_too_many_and_all_at_once() {
    let (db, people, clock) = people().await;
    let id = people.join(vec![newcomer(None)], "operator").await.unwrap()[0];
    let mut tokens = Vec::new();
    for _ in 0..=SESSIONS_MAX {
        let code = people.new_codes(&[id], false, "operator").await.unwrap().remove(0);
        tokens.push(people.sign_in(&code, None).await.unwrap().token);
        clock.advance(SignedDuration::from_hours(2));
        // The first one is used all along.
        assert_eq!(people.session(&tokens[0]).await.unwrap(), Some(id));
    }
    assert_eq!(people.session(&tokens[1]).await.unwrap(), None, "the one that was used longest ago");
    assert_eq!(people.session(&tokens[2]).await.unwrap(), Some(id));
    clock.advance(SignedDuration::from_hours(24 * 10));
    assert_eq!(people.session(&tokens[0]).await.unwrap(), Some(id));
    clock.advance(SignedDuration::from_hours(24 * 10));
    assert_eq!(people.session(&tokens[0]).await.unwrap(), Some(id), "used ten days ago");
    assert_eq!(people.session(&tokens[2]).await.unwrap(), None, "idle for twenty days");
    people.sign_out_everywhere(id).await.unwrap();
    assert_eq!(people.session(&tokens[0]).await.unwrap(), None);
    clock.advance(SignedDuration::from_hours(24 * 15));
    assert!(people.sweep(1_000).await.unwrap() > 0);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM people.session").fetch_one(db.app()).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn two_sponsors_know_a_member_by_different_names() {
    let (_db, people, _) = people().await;
    let id = people.join(vec![newcomer(None)], "operator").await.unwrap()[0];
    let (one, two) = (MerchantId(Uuid::from_u128(1)), MerchantId(Uuid::from_u128(2)));
    let first = people.sponsor_token(id, one).await.unwrap();
    assert_eq!(people.sponsor_token(id, one).await.unwrap(), first);
    let second = people.sponsor_token(id, two).await.unwrap();
    assert!(first != second && first != id.0 && second != id.0);
}

#[tokio::test]
async fn personal_data_is_in_the_vault_and_nowhere_else() {
    let (db, people, _) = people().await;
    let id = people.join(vec![newcomer(None)], "operator").await.unwrap()[0];
    people.new_codes(&[id], false, "operator").await.unwrap().remove(0);
    let canaries = ["Nightingale", "nightingale.example", "0100-canary", "1971-03-17"];
    let seen = find_canaries(&db, &canaries).await;
    assert!(seen.is_empty(), "{seen:?}");
    for pool in [db.app(), db.auditor()] {
        for table in ["person", "identity"] {
            let look = sqlx::query(AssertSqlSafe(format!("SELECT * FROM vault.{table}")));
            let error = look.fetch_all(pool).await.unwrap_err();
            assert_eq!(
                error.as_database_error().and_then(|e| e.code().map(|c| c.into_owned())).as_deref(),
                Some("42501")
            );
        }
    }
    let kept: Vec<(Vec<u8>, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT name || birth_date || name_and_birth, email FROM vault.identity")
            .fetch_all(db.vault())
            .await
            .unwrap();
    assert_eq!(kept.len(), 1);
    assert!(find_in(&kept[0].0, &canaries).is_empty(), "digests only");
    let everything = sqlx::query("SELECT * FROM people.member").fetch_all(db.vault()).await;
    assert!(everything.is_err(), "the vault's role sees nothing but the vault");
    let printed = format!("{:?} {:?}", person(), newcomer(Some(id)));
    assert!(canaries.iter().all(|c| !printed.contains(c)), "{printed}");
}

#[tokio::test]
async fn people_are_known_again_by_digests_and_by_no_other_key() {
    let (db, people, clock) = people().await;
    let id = people.join(vec![newcomer(None)], "operator").await.unwrap()[0];
    let asked = |person: Person| [(MemberId(Uuid::from_u128(9)), person)];
    let known = people.vault().recognise(&asked(person())).await.unwrap().remove(0);
    assert_eq!(known.len(), 1);
    assert!(known[0].member == id && known[0].agreement.contact() && known[0].agreement.name);
    let written_otherwise =
        Person { full_name: "nightingale, CANARY".to_owned(), email: String::new(), phone: String::new(), ..person() };
    let known = people.vault().recognise(&asked(written_otherwise)).await.unwrap().remove(0);
    assert_eq!(known[0].agreement, Agreement { name: true, birth_date: true, email: false, phone: false });
    let stranger =
        Person { full_name: "Wren Canary".to_owned(), email: String::new(), phone: String::new(), ..person() };
    assert_eq!(people.vault().recognise(&asked(stranger)).await.unwrap(), [vec![]], "a birthday is shared by many");
    let itself = [(id, person())];
    assert_eq!(people.vault().recognise(&itself).await.unwrap(), [vec![]]);

    // Another key, as after a rotation: nobody joins until the digests are made anew, and everybody is known afterwards.
    let rotated =
        People::new(db.db().clone(), Clocks::manual(clock), SeededEntropy::shared(2), 8, Keys::new(b"another"));
    assert!(matches!(rotated.vault().recognise(&asked(person())).await, Err(VaultError::OtherKey)));
    assert_eq!(rotated.vault().renew_identities().await.unwrap(), 1);
    assert_eq!(rotated.vault().renew_identities().await.unwrap(), 0);
    assert_eq!(rotated.vault().recognise(&asked(person())).await.unwrap()[0].len(), 1);
    // Members of before digests were kept are known after the start.
    sqlx::query("DELETE FROM vault.identity").execute(db.owner()).await.unwrap();
    assert_eq!(rotated.vault().renew_identities().await.unwrap(), 1);
    assert_eq!(rotated.vault().recognise(&asked(person())).await.unwrap()[0].len(), 1);
}
