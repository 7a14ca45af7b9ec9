//! The pure core over random histories: whatever is asked in whatever order, the invariants hold.

use hunch_kernel::{HoldId, MemberId, MerchantId, Points};
use hunch_ledger::{
    AccountCode, Action, Command, Consumption, Decided, EarnBucket, Funder, HoldOwner, LotRange, MemberState, Outcome,
    Provenance, Reason, Refusal, Stake, State, decide_batch,
};
use proptest::prelude::*;
use std::collections::HashMap;
use uuid::Uuid;

/// What a history may do. Numbers choose among what exists.
#[derive(Clone, Debug)]
enum Op {
    Earn { member: u8, points: i64, provisional: bool },
    Mature { member: u8, points: i64 },
    Hold { member: u8, points: i64 },
    Close { which: usize, capture: i64 },
    Pay { which: usize, points: i64 },
    Return { which: usize },
    RepeatLast,
    ReuseLastKey,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u8..3, -5i64..200, prop::bool::weighted(0.1)).prop_map(|(member, points, provisional)| Op::Earn { member, points, provisional }),
        1 => (0u8..3, 0i64..100).prop_map(|(member, points)| Op::Mature { member, points }),
        4 => (0u8..3, 0i64..250).prop_map(|(member, points)| Op::Hold { member, points }),
        3 => (any::<usize>(), 0i64..260).prop_map(|(which, capture)| Op::Close { which, capture }),
        3 => (any::<usize>(), 0i64..500).prop_map(|(which, points)| Op::Pay { which, points }),
        2 => any::<usize>().prop_map(|which| Op::Return { which }),
        1 => Just(Op::RepeatLast),
        1 => Just(Op::ReuseLastKey),
    ]
}

/// Keeps what the database keeps, in the plainest way, and counts everything again from the entries.
#[derive(Default)]
struct Books {
    state: State,
    entries: Vec<hunch_ledger::Decided>,
    earned: Vec<(Uuid, MemberId)>,
    holds: Vec<(HoldId, MemberId)>,
    lots: HashMap<Uuid, (LotRange, AccountCode, Uuid)>,
    uses: HashMap<MemberId, Vec<Consumption>>,
    voids: HashMap<MemberId, Vec<LotRange>>,
    payouts: HashMap<HoldId, Vec<LotRange>>,
    last: Option<Command>,
    next_key: u128,
}

impl Books {
    fn new() -> Books {
        let mut books = Books::default();
        for n in 0..3 {
            books.state.members.insert(member(n), MemberState::default());
        }
        books
    }

    fn key(&mut self) -> Uuid {
        self.next_key += 1;
        Uuid::from_u128(self.next_key)
    }

    fn command(&mut self, op: &Op) -> Option<Command> {
        let key = self.key();
        let make = |member, action| Some(Command { key, request: 1, member, action });
        match op {
            Op::Earn { member: m, points, provisional } => {
                let bucket = if *provisional { EarnBucket::Provisional } else { EarnBucket::Available };
                let funder = Funder::Merchant(MerchantId(Uuid::from_u128(77)));
                let action =
                    Action::Earn { points: Points(*points), funder, source: key, bucket, reason: Reason::Purchase };
                make(member(*m), action)
            }
            Op::Mature { member: m, points } => {
                make(member(*m), Action::Mature { points: Points(*points), source: key })
            }
            Op::Hold { member: m, points } => {
                let action =
                    Action::PlaceHold { hold: HoldId(key), points: Points(*points), owner: HoldOwner::OrderDispatcher };
                make(member(*m), action)
            }
            Op::Close { which, capture } => {
                let (hold, m) = *pick(&self.holds, *which)?;
                let most = self.state.holds[&hold].amount.0;
                make(m, Action::CloseHold { hold, capture: Points((*capture).min(most + 1)) })
            }
            Op::Pay { which, points } => {
                let (hold, m) = *pick(&self.holds, *which)?;
                if self.state.holds[&hold].settled {
                    return None; // trading pays once per determination; its key says so
                }
                make(m, Action::Payout { hold, points: Points(*points), reason: Reason::StakeWon })
            }
            Op::Return { which } => {
                let (earned, m) = *pick(&self.earned, *which)?;
                let key = hunch_kernel::derived_uuid(&[b"return", earned.as_bytes()]);
                Some(Command { key, request: 1, member: m, action: Action::Clawback { earned } })
            }
            Op::RepeatLast => self.last.clone(),
            Op::ReuseLastKey => self.last.clone().map(|c| Command { request: 2, ..c }),
        }
    }

    fn run(&mut self, command: Command) -> Decided {
        if let Action::Clawback { earned } = &command.action {
            let provenance = self.provenance(*earned, command.member);
            self.state.provenance.insert(*earned, provenance);
        }
        let before = self.state.clone();
        let decided = decide_batch(&mut self.state, std::slice::from_ref(&command)).remove(0);
        if !matches!(decided.outcome, Outcome::Done(_)) {
            assert_eq!(before, self.state, "L3: without an effect nothing changes");
        }
        self.record(&command, &decided);
        self.last = Some(command);
        decided
    }

    fn record(&mut self, command: &Command, decided: &Decided) {
        if !matches!(decided.outcome, Outcome::Done(_)) {
            return;
        }
        match &command.action {
            Action::Earn { .. } => {
                let Some(entry) = decided.entries.first() else { return };
                self.earned.push((command.key, command.member));
                self.lots.insert(command.key, (entry.lot.unwrap(), entry.debit, entry.house));
            }
            Action::PlaceHold { hold, .. } => self.holds.push((*hold, command.member)),
            _ => {}
        }
        for entry in &decided.entries {
            let uses = matches!(entry.debit, AccountCode::Available | AccountCode::Held);
            if let (true, Some(range)) = (uses, entry.lot) {
                let stake = (entry.credit == AccountCode::Exchange).then_some(HoldId(entry.source));
                self.uses.entry(command.member).or_default().push(Consumption { range, stake });
            }
        }
        if let Some((hold, points, lot)) = decided.payout
            && points.is_positive()
        {
            self.payouts.entry(hold).or_default().push(lot);
        }
        let voids = self.voids.entry(command.member).or_default();
        voids.extend(&decided.voids);
        voids.sort();
        self.entries.push(decided.clone());
    }

    fn provenance(&self, earned: Uuid, m: MemberId) -> Provenance {
        let (range, funder_account, funder_house) = self.lots[&earned];
        let stakes = self.state.holds.iter().map(|(id, h)| {
            let payouts = self.payouts.get(id).cloned().unwrap_or_default();
            (*id, Stake { captured: h.captured, settled: h.settled, payouts })
        });
        Provenance {
            earned: range,
            funder_account,
            funder_house,
            source: earned,
            consumptions: self.uses.get(&m).cloned().unwrap_or_default(),
            stakes: stakes.collect(),
            voids: self.voids.get(&m).cloned().unwrap_or_default(),
        }
    }

    fn check(&self) {
        let mut house = 0i64;
        let mut sums: HashMap<(MemberId, AccountCode), i64> = HashMap::new();
        for entry in self.entries.iter().flat_map(|d| &d.entries) {
            assert!(entry.amount.is_positive());
            for (account, signed) in [(entry.debit, -entry.amount.0), (entry.credit, entry.amount.0)] {
                if account.is_house() {
                    house += signed;
                } else {
                    *sums.entry((entry.member, account)).or_default() += signed;
                }
            }
        }
        let mut total = house;
        for (id, m) in &self.state.members {
            let b = m.balance;
            total += b.total().0;
            for (account, stored) in [
                (AccountCode::Available, b.available),
                (AccountCode::Held, b.held),
                (AccountCode::Provisional, b.provisional),
                (AccountCode::Debt, b.debt),
            ] {
                assert_eq!(sums.get(&(*id, account)).copied().unwrap_or(0), stored.0, "L5 of {account:?}");
            }
            assert!(b.available.0 >= 0 && b.held.0 >= 0 && b.provisional.0 >= 0 && b.debt.0 <= 0, "L2");
            assert!(b.debt.0 == 0 || b.available.0 == 0, "what is owed is paid before anything is available");
            let unused = LotRange { lo: m.consumed, hi: m.credited };
            let voids = self.voids.get(id).cloned().unwrap_or_default();
            let left: i64 = unused.without(&voids).iter().map(|r| r.len()).sum();
            assert_eq!(left, (b.available + b.held + b.provisional).0, "unused lots are exactly what the member has");
            let open: i64 = self.state.holds.values().filter(|h| h.open && h.member == *id).map(|h| h.amount.0).sum();
            assert_eq!(open, b.held.0, "T1: what is held is the sum of the open holds");
        }
        assert_eq!(total, 0, "L1");
        for hold in self.state.holds.values().filter(|h| !h.open) {
            assert_eq!(hold.captured + hold.released, hold.amount, "T1");
        }
    }
}

fn member(n: u8) -> MemberId {
    MemberId(Uuid::from_u128(1000 + u128::from(n)))
}

fn pick<T>(from: &[T], which: usize) -> Option<&T> {
    (!from.is_empty()).then(|| &from[which % from.len()])
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
        for (hold, m) in books.holds.clone() {
            let state = books.state.holds[&hold].clone();
            if state.open {
                let key = books.key();
                let action = Action::CloseHold { hold, capture: Points(state.amount.0 / 2) };
                books.run(Command { key, request: 1, member: m, action });
            }
            if !state.settled {
                let key = books.key();
                let captured = books.state.holds[&hold].captured;
                let points = if captured.is_positive() { Points(last_pay) } else { Points::ZERO };
                books.run(Command { key, request: 1, member: m, action: Action::Payout { hold, points, reason: Reason::StakeWon } });
            }
        }
        for (earned, m) in books.earned.clone() {
            let key = hunch_kernel::derived_uuid(&[b"return", earned.as_bytes()]);
            books.run(Command { key, request: 1, member: m, action: Action::Clawback { earned } });
        }
        books.check();
        // Payouts on stakes that captured nothing came from nowhere a purchase could reach.
        let gifts = books.state.holds.iter().any(|(id, h)| !h.captured.is_positive() && books.payouts.contains_key(id));
        if !gifts {
            for m in books.state.members.values() {
                prop_assert!(m.balance.total().0 <= 0, "{:?}", m);
            }
        }
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
