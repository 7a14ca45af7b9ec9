//! The pure core over random histories: whatever is asked in whatever order, the invariants hold.

use hunch_kernel::Points;
use hunch_ledger::testing::books::{Books, Op, member};
use hunch_ledger::{AccountCode, Action, Command, EarnBucket, Funder, Outcome, Reason, Refusal, decide_batch};
use proptest::prelude::*;
use uuid::Uuid;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u8..3, -5i64..200, prop::bool::weighted(0.2)).prop_map(|(member, points, provisional)| Op::Earn { member, points, provisional }),
        2 => (0u8..3, -1i64..200, -1i64..60).prop_map(|(member, points, extra)| Op::EarnBoth { member, points, extra }),
        1 => (0usize..50).prop_map(|which| Op::Mature { which }),
        1 => (0usize..50).prop_map(|which| Op::TakeBack { which }),
        4 => (0u8..3, 0i64..250).prop_map(|(member, points)| Op::Hold { member, points }),
        3 => (any::<usize>(), 0i64..260).prop_map(|(which, capture)| Op::Close { which, capture }),
        3 => (any::<usize>(), 0i64..500).prop_map(|(which, points)| Op::Pay { which, points }),
        2 => any::<usize>().prop_map(|which| Op::Reverse { which }),
        2 => (any::<usize>(), 0i64..500).prop_map(|(which, points)| Op::Repay { which, points }),
        2 => any::<usize>().prop_map(|which| Op::Return { which }),
        1 => Just(Op::RepeatLast),
        1 => Just(Op::ReuseLastKey),
    ]
}

proptest! {
    /// L1, L2, L3, L5, T1 and the lot stream, over any history, legal or not.
    #[test]
    fn invariants_hold_over_any_history(ops in prop::collection::vec(op(), 0..80)) {
        let mut books = Books::new();
        for op in &ops {
            if let Some(command) = books.command(op) {
                books.run(command);
                books.check();
            }
        }
    }

    /// L6: repeating any command gives its first answer and changes nothing; the same key with
    /// another request is refused.
    #[test]
    fn a_key_has_one_effect(ops in prop::collection::vec(op(), 1..60)) {
        let mut books = Books::new();
        let mut done = Vec::new();
        for op in &ops {
            if let Some(command) = books.command(op)
                && let Outcome::Done(first) = books.run(command.clone()).outcome
            {
                done.push((command, first));
            }
        }
        let before = books.state.clone();
        for (command, first) in done {
            let other = Command { request: command.request + 7, ..command.clone() };
            prop_assert_eq!(decide_batch(&mut books.state, &[command]).remove(0).outcome, Outcome::Repeated(first));
            prop_assert_eq!(decide_batch(&mut books.state, &[other]).remove(0).outcome, Outcome::Refused(Refusal::KeyReused));
        }
        prop_assert_eq!(before, books.state);
    }

    /// Row 77: buying, staking and returning is never worth anything. When every purchase has been
    /// returned and every stake has ended, nobody has a point more than nothing.
    #[test]
    fn returning_everything_leaves_nothing(ops in prop::collection::vec(op(), 0..80), last_pay in 0i64..400) {
        let mut books = Books::new();
        for op in &ops {
            if let Some(command) = books.command(op) {
                books.run(command);
            }
        }
        books.bring_everything_back(last_pay);
    }

    /// A batch answers as its commands would one by one, and a half-done batch repeated converges.
    #[test]
    fn a_batch_is_its_commands_in_order(points in prop::collection::vec((0u8..3, -3i64..50, 0u8..12), 1..40), half in any::<prop::sample::Index>()) {
        let commands: Vec<Command> = points.iter().map(|(m, p, key)| Command {
            key: Uuid::from_u128(u128::from(*key)),
            request: *p,
            member: member(*m),
            action: Action::Earn { points: Points(*p), funder: Funder::Operator, source: Uuid::nil(), bucket: EarnBucket::Available, reason: Reason::Welcome },
        }).collect();
        let mut together = Books::new().state;
        let all: Vec<Outcome> = decide_batch(&mut together, &commands).into_iter().map(|d| d.outcome).collect();
        let mut apart = Books::new().state;
        let one_by_one: Vec<Outcome> = commands.iter().map(|c| decide_batch(&mut apart, std::slice::from_ref(c)).remove(0).outcome).collect();
        prop_assert_eq!(&all, &one_by_one);
        prop_assert_eq!(&together, &apart);

        let mut halved = Books::new().state;
        decide_batch(&mut halved, &commands[..half.index(commands.len())]);
        decide_batch(&mut halved, &commands);
        prop_assert_eq!(&together, &halved);
    }
}

#[test]
fn a_return_follows_its_points_into_winnings() {
    let mut books = Books::new();
    let earn = books.command(&Op::Earn { member: 0, points: 100, provisional: false }).unwrap();
    let earned = earn.key;
    books.run(earn);
    let hold = books.command(&Op::Hold { member: 0, points: 80 }).unwrap();
    books.run(hold);
    let close = books.command(&Op::Close { which: 0, capture: 80 }).unwrap();
    books.run(close);
    let pay = books.command(&Op::Pay { which: 0, points: 200 }).unwrap();
    books.run(pay);
    assert_eq!(books.state.members[&member(0)].balance.available, Points(220));
    let key = books.key();
    let back = books.run(Command { key, request: 1, member: member(0), action: Action::Clawback { earned } });
    assert_eq!(back.outcome.effect().unwrap().points, Points(220), "20 unused and all 200 of the winnings");
    let merchant: i64 = back.entries.iter().filter(|e| e.credit == AccountCode::Issuance).map(|e| e.amount.0).sum();
    assert_eq!(merchant, 100, "the merchant gets back what it gave, the rest is the community's");
    books.check();
}

#[test]
fn a_return_after_a_lost_stake_is_owed_and_paid_from_the_next_earning() {
    let mut books = Books::new();
    let earn = books.command(&Op::Earn { member: 0, points: 100, provisional: false }).unwrap();
    let earned = earn.key;
    books.run(earn);
    for op in
        [Op::Hold { member: 0, points: 100 }, Op::Close { which: 0, capture: 100 }, Op::Pay { which: 0, points: 0 }]
    {
        let command = books.command(&op).unwrap();
        books.run(command);
    }
    let key = books.key();
    books.run(Command { key, request: 1, member: member(0), action: Action::Clawback { earned } });
    assert_eq!(books.state.members[&member(0)].balance.debt, Points(-100));
    let next = books.command(&Op::Earn { member: 0, points: 130, provisional: false }).unwrap();
    books.run(next);
    let balance = books.state.members[&member(0)].balance;
    assert_eq!((balance.available, balance.debt), (Points(30), Points(0)));
    books.check();
}

#[test]
fn provisional_points_are_used_by_nothing_and_their_return_is_no_debt() {
    let mut books = Books::new();
    for (points, provisional) in [(100, true), (50, false)] {
        let earn = books.command(&Op::Earn { member: 0, points, provisional }).unwrap();
        books.run(earn);
    }
    // The available ones came second, and are used all the same.
    for op in [Op::Hold { member: 0, points: 50 }, Op::Close { which: 0, capture: 50 }, Op::Pay { which: 0, points: 0 }]
    {
        let command = books.command(&op).unwrap();
        books.run(command);
    }
    let beyond = books.command(&Op::Hold { member: 0, points: 1 }).unwrap();
    assert!(matches!(books.run(beyond).outcome, Outcome::Refused(Refusal::InsufficientPoints { .. })));
    let back = books.command(&Op::Return { which: 0 }).unwrap();
    let back = books.run(back);
    assert_eq!(back.outcome.effect().unwrap().points, Points(100));
    let balance = books.state.members[&member(0)].balance;
    assert_eq!(balance.total(), Points(0), "{balance:?}");
    for op in [Op::Mature { which: 0 }, Op::TakeBack { which: 0 }] {
        let command = books.command(&op).unwrap();
        assert_eq!(
            books.run(command).outcome,
            Outcome::Refused(Refusal::NotProvisional),
            "what ended does not end again"
        );
    }
    books.check();
}

#[test]
fn what_matured_repays_debt_first_and_comes_back_like_any_other_points() {
    let mut books = Books::new();
    for (points, provisional) in [(40, false), (100, true)] {
        let earn = books.command(&Op::Earn { member: 0, points, provisional }).unwrap();
        books.run(earn);
    }
    for op in [
        Op::Hold { member: 0, points: 40 },
        Op::Close { which: 0, capture: 40 },
        Op::Pay { which: 0, points: 0 },
        Op::Return { which: 0 },
        Op::Mature { which: 0 },
    ] {
        let command = books.command(&op).unwrap();
        books.run(command);
    }
    let balance = books.state.members[&member(0)].balance;
    assert_eq!((balance.available, balance.provisional, balance.debt), (Points(60), Points(0), Points(0)));
    let back = books.command(&Op::Return { which: 1 }).unwrap();
    books.run(back);
    assert_eq!(books.state.members[&member(0)].balance.debt, Points(-40), "what repaid a debt is owed");
    books.check();
}

#[test]
fn nobody_decides_on_the_points_of_another() {
    let mut books = Books::new();
    let earn = books.command(&Op::Earn { member: 0, points: 100, provisional: true }).unwrap();
    let earned = earn.key;
    books.run(earn);
    for action in [Action::Mature { earned }, Action::TakeBack { earned }, Action::Clawback { earned }] {
        let key = books.key();
        books.state.provenance.clear();
        let command = Command { key, request: 1, member: member(1), action };
        let decided = decide_batch(&mut books.state, &[command]).remove(0);
        assert_eq!(decided.outcome, Outcome::Refused(Refusal::UnknownEarning));
    }
}
