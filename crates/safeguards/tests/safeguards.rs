//! The gate, limits in a stake's own batch, and protections, on a real database with a moved clock.

use hunch_db::testing::TestDb;
use hunch_kernel::{Clocks, ManualClock, MemberId, OrderId, Points, SeededEntropy, shard_of};
use hunch_ledger::testing::{RunningBatcher, run_batcher};
use hunch_ledger::{Batcher, Door};
use hunch_log::{ShardTx, Tail};
use hunch_people::{Keys, NewMember, People};
use hunch_safeguards::{
    BreakTerm, Change, ChangeRefusal, Changed, Charges, Denial, DenialCode, ExclusionTerm, GiveError, HouseLimits,
    LimitRefusal, Protection, ReturnRefusal, Safeguards, StakePermit, StandingHandler, StandingRequest, Surface,
    give_prompts, note_losses, note_rejections, restore, still_holds,
};
use hunch_vault::Person;
use jiff::SignedDuration;
use jiff::civil::{Date, date};
use jiff_sqlx::ToSqlx;
use std::sync::Arc;
use uuid::Uuid;

const HOUSE: HouseLimits = HouseLimits { day: Points(1_000), week: Points(3_000) };
const NEW_YORK: (f64, f64) = (40.7484, -73.9857);
const BOSTON: (f64, f64) = (42.3601, -71.0589);
const LAS_VEGAS: (f64, f64) = (36.1699, -115.1398);

/// Charges stakes in one batch, as trading does.
async fn charge(
    tx: &mut ShardTx,
    stakes: &[(OrderId, &StakePermit, Points)],
    wall: hunch_kernel::WallTime,
) -> Vec<Result<(), Denial>> {
    let members: Vec<MemberId> = stakes.iter().map(|(_, permit, _)| permit.member()).collect();
    let mut charges = Charges::load(tx, &members, HOUSE, wall).await.unwrap();
    let answers = stakes.iter().map(|(order, permit, points)| charges.charge(*order, permit, *points)).collect();
    charges.write(tx).await.unwrap();
    answers
}

struct Bench {
    db: TestDb,
    clock: Arc<ManualClock>,
    people: People,
    gate: Safeguards,
    door: Door<StandingHandler>,
    _running: RunningBatcher,
}

impl Bench {
    async fn start() -> Bench {
        let db = TestDb::new().await;
        let clock = ManualClock::at("2026-11-23T17:00:00Z".parse().unwrap());
        let clocks = Clocks::manual(clock.clone());
        let people =
            People::new(db.db().clone(), clocks.clone(), SeededEntropy::shared(1), 8, Keys::new(b"a key of tests"));
        let gate = Safeguards::new(db.db().clone(), people.clone(), clocks.clone(), HOUSE);
        let mut builder = Batcher::builder(db.app().clone(), clocks, Tail::new(8));
        let door = builder.register(StandingHandler { house: HOUSE });
        let _running = run_batcher(&builder.build());
        Bench { db, clock, people, gate, door, _running }
    }

    async fn member(&self, birth_date: Date) -> MemberId {
        let person = Person { full_name: "A".into(), email: String::new(), phone: String::new(), birth_date };
        let new = NewMember { member: None, person, home_zone: "America/New_York".into() };
        self.people.join(vec![new], "operator").await.unwrap()[0]
    }

    async fn at(&self, member: MemberId, place: (f64, f64)) {
        self.gate.attest_place(member, place.0, place.1, 30.0).await.unwrap();
    }

    async fn ask(&self, member: MemberId, category: &str) -> Option<DenialCode> {
        self.gate.permit_stake(member, category).await.err().map(|d| d.0)
    }

    async fn prompt(&self, member: MemberId) -> Option<DenialCode> {
        self.gate.permit_prompt(member, None, Uuid::nil(), "sports").await.err().map(|d| d.0)
    }

    async fn change(&self, member: MemberId, change: Change) -> Result<Changed, ChangeRefusal> {
        let request = StandingRequest { member, home_zone: "America/New_York".into(), change };
        self.door.submit(shard_of(member, 8), request).await.unwrap()
    }

    /// One stake of `points` in a batch of its own.
    async fn stake(&self, member: MemberId, order: u128, points: i64) -> Result<(), Denial> {
        let permit = self.gate.permit_stake(member, "sports").await?;
        let mut tx = self.tx(member).await;
        let stakes = [(OrderId(Uuid::from_u128(order)), &permit, Points(points))];
        let answer = charge(&mut tx, &stakes, self.clock.wall()).await.remove(0);
        tx.commit().await.unwrap();
        answer
    }

    async fn tx(&self, member: MemberId) -> ShardTx {
        ShardTx::begin(self.db.app(), shard_of(member, 8), self.now()).await.unwrap()
    }

    fn now(&self) -> jiff::Timestamp {
        use hunch_kernel::Clock;
        self.clock.now()
    }

    fn hours(&self, hours: i64) {
        self.clock.advance(SignedDuration::from_hours(hours));
    }
}

const LIMIT: Result<(), Denial> = Err(Denial(DenialCode::DayLimit));

#[tokio::test]
async fn age_and_place_decide_by_rule() {
    let bench = Bench::start().await;
    let adult = bench.member(date(1990, 1, 1)).await;
    assert_eq!(bench.ask(adult, "sports").await, Some(DenialCode::PlaceUnknown));
    bench.at(adult, NEW_YORK).await;
    assert_eq!(bench.ask(adult, "sports").await, None);
    bench.at(adult, LAS_VEGAS).await;
    assert_eq!(bench.ask(adult, "sports").await, Some(DenialCode::PlaceNotAllowed));
    assert_eq!(bench.ask(adult, "weather").await, None);
    bench.clock.advance(SignedDuration::from_mins(20));
    assert_eq!(bench.ask(adult, "weather").await, Some(DenialCode::PlaceUnknown), "twenty minutes are over");
    assert!(bench.gate.attest_place(adult, 40.7484, -73.9857, 4_000.0).await.is_err(), "too close to a border");
    let stranger = MemberId(Uuid::from_u128(1));
    assert_eq!(bench.ask(stranger, "sports").await, Some(DenialCode::AgeUnproven));

    let young = bench.member(date(2006, 11, 24)).await;
    bench.at(young, NEW_YORK).await;
    assert_eq!(bench.ask(young, "sports").await, None);
    bench.at(young, BOSTON).await;
    assert_eq!(bench.ask(young, "sports").await, Some(DenialCode::UnderAge), "21 in Massachusetts");
}

#[tokio::test]
async fn the_birthday_begins_at_local_midnight() {
    let bench = Bench::start().await;
    let nearly = bench.member(date(2008, 11, 24)).await;
    // 17:00 UTC is noon in New York; the birthday begins twelve hours later.
    bench.clock.advance(SignedDuration::from_hours(12) - SignedDuration::from_secs(1));
    bench.at(nearly, NEW_YORK).await;
    assert_eq!(bench.ask(nearly, "sports").await, Some(DenialCode::UnderAge));
    bench.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(bench.ask(nearly, "sports").await, None);
}

#[tokio::test]
async fn stakes_in_flight_count_and_only_unfilled_stake_comes_back() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.stake(member, 1, 600).await, Ok(()));
    assert_eq!(bench.stake(member, 2, 401).await, LIMIT);
    assert_eq!(bench.stake(member, 3, 400).await, Ok(()));
    let mut tx = bench.tx(member).await;
    for _ in 0..3 {
        restore(&mut tx, OrderId(Uuid::from_u128(1)), Points(250)).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(bench.stake(member, 4, 251).await, LIMIT, "given back once, however often it is told");
    assert_eq!(bench.stake(member, 5, 250).await, Ok(()));
    bench.hours(13);
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.stake(member, 6, 1_000).await, Ok(()), "a new local day");
    bench.hours(24);
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.stake(member, 7, 1_000).await, Ok(()));
    bench.hours(24);
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.stake(member, 8, 1).await, Err(Denial(DenialCode::WeekLimit)), "3,000 in this week");
    bench.hours(24 * 4);
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.stake(member, 9, 1_000).await, Ok(()), "a new week");
}

#[tokio::test]
async fn a_later_stake_of_a_batch_sees_the_earlier_ones() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    let mut stakes = Vec::new();
    for n in 0..5u128 {
        let permit = bench.gate.permit_stake(member, "sports").await.unwrap();
        stakes.push((OrderId(Uuid::from_u128(n)), permit, Points(300)));
    }
    let stakes: Vec<_> = stakes.iter().map(|(order, permit, points)| (*order, permit, *points)).collect();
    let mut tx = bench.tx(member).await;
    let answers = charge(&mut tx, &stakes, bench.clock.wall()).await;
    assert_eq!(answers, [Ok(()), Ok(()), Ok(()), LIMIT, LIMIT]);
}

#[tokio::test]
async fn a_change_of_standing_voids_what_was_permitted_before() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    let permit = bench.gate.permit_stake(member, "sports").await.unwrap();
    let prompt = bench.gate.permit_prompt(member, None, Uuid::nil(), "sports").await.unwrap();
    bench.gate.prompt_still_holds(&prompt).await.unwrap();
    let version = permit.standing_version();
    bench.change(member, Change::Break(BreakTerm::Day)).await.unwrap();
    assert_eq!(bench.gate.prompt_still_holds(&prompt).await, Err(Denial(DenialCode::StandingChanged)));
    let mut tx = bench.tx(member).await;
    assert!(!still_holds(tx.conn(), member, version).await.unwrap());
    let answer = charge(&mut tx, &[(OrderId(Uuid::nil()), &permit, Points(10))], bench.clock.wall()).await;
    assert_eq!(answer, [Err(Denial(DenialCode::OnBreak))]);
    drop(tx);
    assert_eq!(bench.prompt(member).await, Some(DenialCode::OnBreak));
    bench.hours(24);
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.prompt(member).await, None, "a break ends by itself");

    let stale = bench.gate.permit_stake(member, "sports").await.unwrap();
    let later = bench.clock.wall() + SignedDuration::from_secs(6);
    let mut tx = bench.tx(member).await;
    let answer = charge(&mut tx, &[(OrderId(Uuid::nil()), &stale, Points(10))], later).await;
    assert_eq!(answer, [Err(Denial(DenialCode::PermitExpired))]);
}

#[tokio::test]
async fn a_permit_is_for_one_order() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    let permit = bench.gate.permit_stake(member, "sports").await.unwrap();
    let stake = |n: u128| (OrderId(Uuid::from_u128(n)), &permit, Points(10));
    let mut tx = bench.tx(member).await;
    let answers = charge(&mut tx, &[stake(1), stake(2)], bench.clock.wall()).await;
    assert_eq!(answers, [Ok(()), Err(Denial(DenialCode::PermitExpired))]);
}

#[tokio::test]
async fn an_exclusion_cannot_be_shortened_and_does_not_end_by_itself() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    let not_now = |refusal| Err(ChangeRefusal::Return(refusal));
    assert_eq!(bench.change(member, Change::AskToReturn).await, not_now(ReturnRefusal::NotExcluded));
    let first = bench.change(member, Change::Exclude(ExclusionTerm::FiveYears)).await.unwrap();
    let again = bench.change(member, Change::Exclude(ExclusionTerm::SixMonths)).await.unwrap();
    assert_eq!(first.protection, again.protection);
    let Some(Protection::Excluded { until }) = first.protection else { panic!("excluded") };
    assert_eq!(bench.change(member, Change::Limits { day: None, week: None }).await, Err(ChangeRefusal::Excluded));
    bench.hours(24 * 365 * 4);
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.ask(member, "sports").await, Some(DenialCode::Excluded));
    assert_eq!(bench.change(member, Change::AskToReturn).await, not_now(ReturnRefusal::TermRuns(until)));

    // The term is over, and over for long: nothing ends.
    for hours in [24 * 367, 24 * 365 * 3] {
        bench.hours(hours);
        bench.at(member, NEW_YORK).await;
        assert_eq!(bench.ask(member, "sports").await, Some(DenialCode::Excluded), "it goes on until the member asks");
        assert_eq!(bench.prompt(member).await, Some(DenialCode::Excluded));
        assert_eq!(bench.change(member, Change::ConfirmRaise).await, Err(ChangeRefusal::Excluded));
    }
    let asked = bench.change(member, Change::AskToReturn).await.unwrap();
    assert_eq!(asked.protection, Some(Protection::Returning { at: bench.now() + SignedDuration::from_hours(24) }));
    bench.hours(23);
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.ask(member, "sports").await, Some(DenialCode::Excluded), "24 hours are not over");
    assert_eq!(bench.change(member, Change::AskToReturn).await.unwrap(), asked, "asking again does not begin anew");
    bench.hours(1);
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.ask(member, "sports").await, None);

    bench.change(member, Change::Exclude(ExclusionTerm::Life)).await.unwrap();
    bench.hours(24 * 365 * 90);
    assert_eq!(bench.ask(member, "sports").await, Some(DenialCode::Excluded));
    assert_eq!(bench.change(member, Change::AskToReturn).await, not_now(ReturnRefusal::ForLife));
    let kept: (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM safeguards.protection), (SELECT count(*) FROM safeguards.return_request)",
    )
    .fetch_one(bench.db.auditor())
    .await
    .unwrap();
    assert_eq!(kept, (2, 1));
}

#[tokio::test]
async fn the_database_repeats_the_rules_of_limits_and_returns() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.change(member, Change::Exclude(ExclusionTerm::SixMonths)).await.unwrap();
    for (statement, constraint) in [
        ("UPDATE safeguards.standing SET day_points = 50, week_points = 20", "standing_limits_agree"),
        ("UPDATE safeguards.standing SET return_asked_at = excluded_until - interval '1 second'", "standing_return"),
        (
            "INSERT INTO safeguards.return_request (member, term_ended, asked_at, counts_from)
             SELECT member, excluded_until, excluded_until, excluded_until + interval '23 hours' FROM safeguards.standing",
            "return_request_waits",
        ),
    ] {
        let error = sqlx::query(statement).execute(bench.db.app()).await.unwrap_err();
        assert_eq!(error.as_database_error().and_then(|e| e.constraint()), Some(constraint), "{error}");
    }
    for table in ["return_request", "protection"] {
        let forget = sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM safeguards.{table}")));
        let error = forget.execute(bench.db.app()).await.unwrap_err();
        assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"), "{table}");
    }
}

#[tokio::test]
async fn a_raise_that_waited_is_not_confirmed_while_excluded_nor_after_the_return() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    let limit = |day| Change::Limits { day: Some(Points(day)), week: None };
    bench.change(member, limit(100)).await.unwrap();
    assert!(bench.change(member, limit(200)).await.unwrap().raise.is_some());
    bench.change(member, Change::Exclude(ExclusionTerm::SixMonths)).await.unwrap();
    bench.hours(24 * 10);
    assert_eq!(bench.change(member, Change::ConfirmRaise).await, Err(ChangeRefusal::Excluded));
    bench.hours(24 * 200);
    bench.change(member, Change::AskToReturn).await.unwrap();
    bench.hours(24);
    assert_eq!(
        bench.change(member, Change::ConfirmRaise).await,
        Err(ChangeRefusal::Limit(LimitRefusal::NothingToConfirm)),
        "the exclusion took the raise back"
    );
    assert_eq!(bench.gate.overview(member).await.unwrap().limits.day, Points(100));
}

#[tokio::test]
async fn lowering_counts_now_and_raising_waits_and_is_confirmed() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    let limit = |day| Change::Limits { day: Some(Points(day)), week: None };
    let refused = |refusal| Err(ChangeRefusal::Limit(refusal));
    assert_eq!(bench.change(member, limit(100)).await.unwrap().raise, None);
    assert_eq!(bench.stake(member, 1, 101).await, LIMIT);
    let raise = bench.change(member, limit(200)).await.unwrap().raise.unwrap();
    assert_eq!((raise.day, raise.week), (Points(200), HOUSE.week));
    assert_eq!(raise.after, bench.now() + SignedDuration::from_hours(72), "72 hours since it was set");
    assert_eq!(bench.gate.overview(member).await.unwrap().raise, Some(raise), "what waits is to be seen");
    let until = raise.after;
    assert_eq!(bench.change(member, Change::ConfirmRaise).await, refused(LimitRefusal::TooEarly(until)));
    assert_eq!(bench.stake(member, 2, 101).await, LIMIT);
    bench.clock.set(until);
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.stake(member, 3, 101).await, LIMIT, "not before it is confirmed");
    bench.change(member, Change::ConfirmRaise).await.unwrap();
    assert_eq!(bench.stake(member, 4, 101).await, Ok(()));
    assert_eq!(bench.change(member, Change::ConfirmRaise).await, refused(LimitRefusal::NothingToConfirm));
    bench.change(member, limit(400)).await.unwrap();
    bench.change(member, limit(50)).await.unwrap();
    bench.hours(24 * 30);
    assert_eq!(
        bench.change(member, Change::ConfirmRaise).await,
        refused(LimitRefusal::NothingToConfirm),
        "lowering drops a waiting raise"
    );
}

#[tokio::test]
async fn nobody_is_prompted_against_their_wish_or_near_a_limit() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    bench.change(member, Change::Prompts(false)).await.unwrap();
    assert_eq!(bench.prompt(member).await, Some(DenialCode::OptedOut));
    assert_eq!(bench.ask(member, "sports").await, None, "staking by oneself is another thing");
    bench.change(member, Change::Prompts(true)).await.unwrap();
    assert_eq!(bench.prompt(member).await, None);
    bench.stake(member, 1, 800).await.unwrap();
    assert_eq!(bench.prompt(member).await, Some(DenialCode::DayLimit));
}

impl Bench {
    async fn offer(&self, member: MemberId) -> Option<DenialCode> {
        self.gate.permit_offer(member, None).await.err().map(|d| d.0)
    }

    /// Gives a prompt as messaging does: permitted, then written.
    async fn give(&self, member: MemberId, cause: u128) -> Result<(), DenialCode> {
        let cause = Uuid::from_u128(cause);
        let permit = self.gate.permit_prompt(member, None, cause, "sports").await.map_err(|d| d.0)?;
        let mut conn = self.db.app().acquire().await.unwrap();
        match give_prompts(&mut conn, vec![permit], Surface::Push, self.now()).await {
            Ok(()) => Ok(()),
            Err(GiveError::Overtaken(denial)) => Err(denial.0),
            Err(GiveError::Storage(error)) => panic!("{error}"),
        }
    }

    /// Another gate of the same programme, as another process or a restart has it: nothing is kept but the rows.
    fn restarted(&self) -> Bench2<'_> {
        let clocks = Clocks::manual(self.clock.clone());
        Bench2(Safeguards::new(self.db.db().clone(), self.people.clone(), clocks, HOUSE), self)
    }
}

struct Bench2<'a>(Safeguards, &'a Bench);

impl Bench2<'_> {
    async fn prompt(&self, member: MemberId) -> Option<DenialCode> {
        self.1.at(member, NEW_YORK).await;
        self.0.permit_prompt(member, None, Uuid::from_u128(999), "sports").await.err().map(|d| d.0)
    }
}

#[tokio::test]
async fn a_loss_a_refusal_and_the_prompts_given_outlive_a_restart() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.restarted().prompt(member).await, None);

    let mut tx = bench.tx(member).await;
    note_losses(&mut tx, &[member, member]).await.unwrap();
    assert_eq!(bench.restarted().prompt(member).await, None, "not booked yet");
    tx.commit().await.unwrap();
    assert_eq!(bench.restarted().prompt(member).await, Some(DenialCode::AfterLoss));
    bench.clock.advance(SignedDuration::from_mins(239));
    assert_eq!(bench.restarted().prompt(member).await, Some(DenialCode::AfterLoss));
    bench.clock.advance(SignedDuration::from_mins(1));
    assert_eq!(bench.restarted().prompt(member).await, None);

    let mut tx = bench.tx(member).await;
    note_rejections(&mut tx, &[member]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(bench.restarted().prompt(member).await, Some(DenialCode::AfterRejection));
    bench.hours(4);

    bench.at(member, NEW_YORK).await;
    assert_eq!(bench.give(member, 1).await, Ok(()));
    assert_eq!(bench.restarted().prompt(member).await, Some(DenialCode::PromptGap));
    for n in 2..=3 {
        bench.hours(1);
        bench.at(member, NEW_YORK).await;
        assert_eq!(bench.give(member, n).await, Ok(()));
    }
    bench.hours(21);
    assert_eq!(bench.restarted().prompt(member).await, Some(DenialCode::PromptCapDay));
    bench.hours(1);
    assert_eq!(bench.restarted().prompt(member).await, None, "the first is a day old");
    let stranger = bench.member(date(1990, 1, 1)).await;
    assert_eq!(bench.restarted().prompt(stranger).await, None, "everybody has a history of their own");
}

/// Whoever stores a prompt judges again by what is stored then, one after the other for each member.
#[tokio::test]
async fn a_permit_that_is_overtaken_gives_no_prompt() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    let permit =
        async |cause: u128| bench.gate.permit_prompt(member, None, Uuid::from_u128(cause), "sports").await.unwrap();
    let give = async |permits| {
        let mut tx = hunch_db::begin(bench.db.app()).await.unwrap();
        match give_prompts(&mut tx, permits, Surface::Card, bench.now()).await {
            Ok(()) => {
                tx.commit().await.unwrap();
                None
            }
            Err(GiveError::Overtaken(denial)) => Some(denial.0),
            Err(GiveError::Storage(error)) => panic!("{error}"),
        }
    };
    // Two that were permitted by one reading: together they are one too many, and neither is kept.
    let both = vec![permit(1).await, permit(2).await];
    assert_eq!(give(both).await, Some(DenialCode::PromptGap));
    assert_eq!(give(vec![permit(1).await]).await, None);

    // Many at once: the lock lets one through.
    bench.hours(1);
    bench.at(member, NEW_YORK).await;
    let mut permits = Vec::new();
    for cause in 10..20 {
        permits.push(permit(cause).await);
    }
    let given = futures_util::future::join_all(permits.into_iter().map(|permit| give(vec![permit]))).await;
    assert_eq!(given.iter().filter(|answer| answer.is_none()).count(), 1, "{given:?}");

    bench.hours(1);
    bench.at(member, NEW_YORK).await;
    let early = permit(30).await;
    let mut tx = bench.tx(member).await;
    note_losses(&mut tx, &[member]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(bench.gate.prompt_still_holds(&early).await, Err(Denial(DenialCode::AfterLoss)), "the last look");
    assert_eq!(give(vec![early]).await, Some(DenialCode::AfterLoss));

    bench.hours(5);
    bench.at(member, NEW_YORK).await;
    let early = permit(31).await;
    bench.change(member, Change::Prompts(false)).await.unwrap();
    assert_eq!(give(vec![early]).await, Some(DenialCode::StandingChanged));
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM safeguards.prompt").fetch_one(bench.db.auditor()).await.unwrap();
    assert_eq!(kept, 2);
    for sql in [
        "DELETE FROM safeguards.prompt",
        "UPDATE safeguards.prompt SET at = '2000-01-01'",
        "DELETE FROM safeguards.setback",
    ] {
        assert!(sqlx::query(sql).execute(bench.db.app()).await.is_err(), "{sql}");
    }
}

/// An offer has no word of betting: it is for those, too, who may not stake, but not for those who want none.
#[tokio::test]
async fn offers_are_for_everybody_who_wants_them() {
    let bench = Bench::start().await;
    let child = bench.member(date(2015, 1, 1)).await;
    assert_eq!(bench.prompt(child).await, Some(DenialCode::UnderAge));
    assert_eq!(bench.offer(child).await, None, "under age, and who knows where");
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    bench.change(member, Change::Prompts(false)).await.unwrap();
    assert_eq!((bench.prompt(member).await, bench.offer(member).await), (Some(DenialCode::OptedOut), None));
    bench.change(member, Change::Exclude(ExclusionTerm::Life)).await.unwrap();
    assert_eq!((bench.prompt(member).await, bench.offer(member).await), (Some(DenialCode::Excluded), None));
    let early = bench.gate.permit_offer(member, None).await.unwrap();
    bench.gate.offer_still_holds(&early).await.unwrap();
    bench.change(member, Change::Offers(false)).await.unwrap();
    assert_eq!(bench.offer(member).await, Some(DenialCode::OffersOff));
    assert_eq!(bench.gate.offer_still_holds(&early).await, Err(Denial(DenialCode::StandingChanged)));
    assert_eq!(bench.offer(MemberId(Uuid::from_u128(1))).await, Some(DenialCode::Unavailable), "nobody we know");
    bench.change(member, Change::Offers(true)).await.unwrap();
    assert_eq!(bench.offer(member).await, None);
}

/// Whatever the gate cannot read denies: each of its tables is taken away in turn.
#[tokio::test]
async fn who_cannot_be_judged_is_denied() {
    let bench = Bench::start().await;
    let member = bench.member(date(1990, 1, 1)).await;
    bench.at(member, NEW_YORK).await;
    let prompt = bench.gate.permit_prompt(member, None, Uuid::nil(), "sports").await.unwrap();
    let offer = bench.gate.permit_offer(member, None).await.unwrap();
    for (table, offers_too) in [
        ("safeguards.standing", true),
        ("safeguards.place", true),
        ("safeguards.usage", true),
        ("safeguards.rule", false),
        ("safeguards.setback", false),
        ("safeguards.prompt", false),
        ("people.member", true),
        ("vault.person", false),
    ] {
        let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
        let (_, name) = table.split_once('.').unwrap();
        let gone = sqlx::AssertSqlSafe(rename(table, "gone"));
        sqlx::query(gone).execute(bench.db.owner()).await.unwrap();
        assert_eq!(bench.prompt(member).await, Some(DenialCode::Unavailable), "{table}");
        assert_eq!(bench.offer(member).await, offers_too.then_some(DenialCode::Unavailable), "{table}");
        if ["safeguards.standing", "safeguards.setback"].contains(&table) {
            assert_eq!(bench.gate.prompt_still_holds(&prompt).await, Err(Denial(DenialCode::Unavailable)), "{table}");
            assert_eq!(bench.gate.offer_still_holds(&offer).await, Err(Denial(DenialCode::Unavailable)), "{table}");
        }
        let back = sqlx::AssertSqlSafe(rename(&table.replace(name, "gone"), name));
        sqlx::query(back).execute(bench.db.owner()).await.unwrap();
        assert_eq!((bench.prompt(member).await, bench.offer(member).await), (None, None));
    }
}

/// What happened before losses, refusals and prompts were kept is taken over by the migration that brings them.
#[tokio::test]
async fn a_loss_of_before_the_rows_counts() {
    let bench = Bench::start().await;
    let (lost, won, prompted) = (
        bench.member(date(1990, 1, 1)).await,
        bench.member(date(1990, 1, 1)).await,
        bench.member(date(1990, 1, 1)).await,
    );
    let owner = bench.db.owner();
    for (n, (member, paid)) in (1..).zip([(lost, 0), (lost, 300), (won, 30)]) {
        sqlx::query(
            "INSERT INTO trading.position (position, order_id, member, shard, market, category, side, count, cost_points,
                 rate_micros, opened_at, paid_revision, result, gross_micros, paid_points, paid_at, paid_wall)
             VALUES ($1, $1, $2, 0, 'M', 'sports', 'yes', 100, 20, 10000, $4, 1, 'no', 0, $3, $4, $4)",
        )
        .bind(Uuid::from_u128(n))
        .bind(member.0)
        .bind(paid)
        .bind(bench.now().to_sqlx())
        .execute(owner)
        .await
        .unwrap();
    }
    for (n, hours) in (1..).zip([1, 24 * 20]) {
        sqlx::query(
            "INSERT INTO engage.decision (member, cause, channel, shard, seq, action, reference, propensity_ppm, policy, seed,
                 candidates_hash, candidates, reason, at)
             VALUES ($1, $2, 'push', 0, $3, 'market', 'M', 1000, 1, 1, decode(repeat('00', 16), 'hex'), 2, 'best', $4)",
        )
        .bind(prompted.0)
        .bind(Uuid::from_u128(n))
        .bind(n as i64)
        .bind((bench.now() - SignedDuration::from_hours(hours)).to_sqlx())
        .execute(owner)
        .await
        .unwrap();
    }
    let migration = include_str!("../../../migrations/0155_prompt_rules.sql");
    let (_, taken_over) = migration.split_once("-- What happened before this was kept.").unwrap();
    sqlx::raw_sql(taken_over).execute(owner).await.unwrap();
    assert_eq!(bench.restarted().prompt(lost).await, Some(DenialCode::AfterLoss));
    assert_eq!(bench.restarted().prompt(won).await, None);
    assert_eq!(bench.restarted().prompt(prompted).await, None, "an hour is more than half an hour");
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM safeguards.prompt").fetch_one(owner).await.unwrap();
    assert_eq!(kept, 1, "of the last days");
}
