//! The pure core over histories: commands drawn by whoever asks, and books kept in the plainest way.

use hunch_kernel::{HoldId, MemberId, MerchantId, Points, derived_uuid, seeded_bug};
use std::collections::HashMap;
use uuid::Uuid;

use crate::{
    AccountCode, Action, Command, Consumption, Decided, EarnBucket, EarnPart, Funder, HoldOwner, HoldState, Journey,
    LotRange, MemberState, Outcome, PaidLot, Payback, Provenance, Provisional, Reason, Stake, State, Use, decide_batch,
};

/// What a history may do. Numbers choose among what exists.
#[derive(Clone, Debug)]
pub enum Op {
    Earn {
        member: u8,
        points: i64,
        provisional: bool,
    },
    /// Points of a receipt and of an offer, as one earning.
    EarnBoth {
        member: u8,
        points: i64,
        extra: i64,
    },
    /// Decides for an earning whose points are provisional, or were.
    Mature {
        which: usize,
    },
    TakeBack {
        which: usize,
    },
    Hold {
        member: u8,
        points: i64,
    },
    Close {
        which: usize,
        capture: i64,
    },
    Pay {
        which: usize,
        points: i64,
    },
    /// Takes back what a stake was paid.
    Reverse {
        which: usize,
    },
    /// Pays a stake anew that was paid before and reversed.
    Repay {
        which: usize,
        points: i64,
    },
    Return {
        which: usize,
    },
    RepeatLast,
    ReuseLastKey,
}

/// Keeps what the database keeps, in the plainest way, and counts everything again from the entries.
#[derive(Default)]
pub struct Books {
    pub state: State,
    entries: Vec<Decided>,
    pub earned: Vec<(Uuid, MemberId)>,
    /// Those of the earnings whose points were provisional at first.
    provisional: Vec<(Uuid, MemberId)>,
    pub holds: Vec<(HoldId, MemberId)>,
    lots: HashMap<Uuid, (LotRange, AccountCode, Uuid)>,
    uses: HashMap<MemberId, Vec<Consumption>>,
    voids: HashMap<MemberId, Vec<LotRange>>,
    paybacks: HashMap<MemberId, Vec<Payback>>,
    pub payouts: HashMap<HoldId, Vec<PaidLot>>,
    last: Option<Command>,
    next_key: u128,
}

impl Books {
    /// Three members without anything.
    pub fn new() -> Books {
        let mut books = Books::default();
        for n in 0..3 {
            books.state.members.insert(member(n), MemberState::default());
        }
        books
    }

    /// A key that was not used before.
    pub fn key(&mut self) -> Uuid {
        self.next_key += 1;
        Uuid::from_u128(self.next_key)
    }

    /// The command for `op`, if there is anything to do it to.
    pub fn command(&mut self, op: &Op) -> Option<Command> {
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
            Op::EarnBoth { member: m, points, extra } => {
                let part = |points, reason| EarnPart { points: Points(points), reason };
                let parts = vec![part(*points, Reason::Purchase), part(*extra, Reason::Offer)];
                let funder = Funder::Merchant(MerchantId(Uuid::from_u128(77)));
                make(member(*m), Action::EarnParts { parts, funder, source: key, bucket: EarnBucket::Available })
            }
            Op::Mature { which } => {
                let (earned, m) = *pick(&self.provisional, *which)?;
                make(m, Action::Mature { earned })
            }
            Op::TakeBack { which } => {
                let (earned, m) = *pick(&self.provisional, *which)?;
                make(m, Action::TakeBack { earned })
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
            Op::Reverse { which } => {
                let (hold, m) = *pick(&self.holds, *which)?;
                let points = Points(self.state.holds[&hold].paid?.len());
                make(m, Action::ReversePayout { hold, points })
            }
            Op::Repay { which, points } => {
                let (hold, m) = *pick(&self.holds, *which)?;
                if !self.state.holds[&hold].settled || self.state.holds[&hold].paid.is_some() {
                    return None; // what counts now is reversed first
                }
                make(m, Action::Payout { hold, points: Points(*points), reason: Reason::Corrected })
            }
            Op::Return { which } => {
                let (earned, m) = *pick(&self.earned, *which)?;
                let key = derived_uuid(&[b"return", earned.as_bytes()]);
                Some(Command { key, request: 1, member: m, action: Action::Clawback { earned } })
            }
            Op::RepeatLast => self.last.clone(),
            Op::ReuseLastKey => self.last.clone().map(|c| Command { request: 2, ..c }),
        }
    }

    /// Decides the command and keeps what it wrote.
    ///
    /// # Panics
    /// If it changed anything without an effect (L3).
    pub fn run(&mut self, command: Command) -> Decided {
        match &command.action {
            Action::Clawback { earned } => {
                let provenance = self.provenance(*earned, command.member);
                self.state.provenance.insert(*earned, provenance);
            }
            Action::ReversePayout { hold, .. } => {
                let journey = self.journey(command.member);
                self.state.journeys.insert(*hold, journey);
            }
            _ => {}
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
            Action::Earn { bucket: EarnBucket::Provisional, .. } => {
                let Some(entry) = decided.entries.first() else { return };
                self.earned.push((command.key, command.member));
                self.provisional.push((command.key, command.member));
                self.lots.insert(command.key, (LotRange { lo: 0, hi: 0 }, entry.debit, entry.house));
                let provisional = Provisional {
                    member: command.member,
                    points: entry.amount,
                    funder_account: entry.debit,
                    funder_house: entry.house,
                    source: entry.source,
                    ended: None,
                };
                self.state.provisional.insert(command.key, provisional);
            }
            Action::Earn { .. } | Action::EarnParts { .. } => {
                let mut parts = decided.entries.iter().filter(|entry| entry.debit.is_house() && entry.lot.is_some());
                let Some(first) = parts.next() else { return };
                let hi = parts.filter_map(|part| part.lot).map(|lot| lot.hi).max();
                let lot = first.lot.map(|lot| LotRange { lo: lot.lo, hi: hi.unwrap_or(lot.hi) }).unwrap();
                self.earned.push((command.key, command.member));
                self.lots.insert(command.key, (lot, first.debit, first.house));
            }
            Action::PlaceHold { hold, .. } => self.holds.push((*hold, command.member)),
            Action::Mature { earned } => {
                let made = decided.entries.iter().find(|entry| entry.debit == AccountCode::Provisional);
                let (lot, mine) = (made.and_then(|entry| entry.lot), self.lots.get_mut(earned));
                mine.unwrap().0 = lot.expect("what matured is a lot");
            }
            _ => {}
        }
        for entry in &decided.entries {
            let uses = matches!(entry.debit, AccountCode::Available | AccountCode::Held);
            if let (true, Some(range)) = (uses, entry.lot) {
                let by = match (entry.debit, entry.credit) {
                    (AccountCode::Held, AccountCode::Exchange) => Use::Stake(HoldId(entry.source)),
                    (_, AccountCode::Exchange) if seeded_bug("reversal-as-stake") => Use::Stake(HoldId(entry.source)),
                    (_, AccountCode::Exchange) => Use::Reversal(HoldId(entry.source)),
                    _ => Use::Other,
                };
                self.uses.entry(command.member).or_default().push(Consumption { range, by });
            }
        }
        if let Some((hold, points, lot)) = decided.payout
            && points.is_positive()
        {
            self.payouts.entry(hold).or_default().push(PaidLot { lot, reversed: false });
        }
        if let Some(reversed) = decided.reversed {
            let lots = self.payouts.entry(reversed.hold).or_default();
            lots.iter_mut().filter(|p| p.lot == reversed.lot).for_each(|p| p.reversed = true);
            let all = reversed.voided + reversed.used + reversed.refunded + reversed.owed + reversed.lost;
            assert_eq!(all.0, reversed.lot.len(), "all of a reversed payout is accounted for");
        }
        let paybacks = self.paybacks.entry(command.member).or_default();
        paybacks.extend(&decided.paybacks);
        paybacks.sort();
        for (hold, claim) in &decided.claims {
            let others = self.state.claims[hold].iter().filter(|c| !c.part.overlap(claim.part).is_empty());
            assert_eq!(others.count(), 1, "a part of a stake is claimed once");
        }
        let voids = self.voids.entry(command.member).or_default();
        voids.extend(&decided.voids);
        voids.sort();
        self.entries.push(decided.clone());
    }

    fn provenance(&self, earned: Uuid, m: MemberId) -> Provenance {
        let (range, funder_account, funder_house) = self.lots[&earned];
        Provenance { earned: range, funder_account, funder_house, source: earned, journey: self.journey(m) }
    }

    fn journey(&self, m: MemberId) -> Journey {
        let stakes = self.state.holds.iter().map(|(id, h)| {
            let payouts = self.payouts.get(id).cloned().unwrap_or_default();
            (*id, Stake { captured: h.captured, payouts })
        });
        Journey {
            uses: self.uses.get(&m).cloned().unwrap_or_default(),
            stakes: stakes.collect(),
            voids: self.voids.get(&m).cloned().unwrap_or_default(),
            paybacks: self.paybacks.get(&m).cloned().unwrap_or_default(),
        }
    }

    /// Ends what is open, pays `last_pay` for what was not paid, and brings back everything that was ever bought. Nobody
    /// keeps a point then, and nobody has lost more than was staked.
    ///
    /// # Panics
    /// When somebody did.
    pub fn bring_everything_back(&mut self, last_pay: i64) {
        for (hold, m) in self.holds.clone() {
            let state = self.state.holds[&hold].clone();
            if state.open {
                let key = self.key();
                let action = Action::CloseHold { hold, capture: Points(state.amount.0 / 2) };
                self.run(Command { key, request: 1, member: m, action });
            }
            if !state.settled {
                let (key, captured) = (self.key(), self.state.holds[&hold].captured);
                let points = if captured.is_positive() { Points(last_pay) } else { Points::ZERO };
                let action = Action::Payout { hold, points, reason: Reason::StakeWon };
                self.run(Command { key, request: 1, member: m, action });
            }
        }
        for (earned, m) in self.earned.clone() {
            let key = derived_uuid(&[b"return", earned.as_bytes()]);
            self.run(Command { key, request: 1, member: m, action: Action::Clawback { earned } });
        }
        self.check();
        // Payouts on stakes that captured nothing came from nowhere a purchase could reach.
        let gifts = self.state.holds.iter().any(|(id, h)| !h.captured.is_positive() && self.payouts.contains_key(id));
        if gifts {
            return;
        }
        for (id, m) in &self.state.members {
            let (left, of_theirs) = (m.balance.total().0, |h: &&HoldState| h.member == *id);
            assert!(left <= 0, "everything came back, and {left} points are left");
            let staked: i64 = self.state.holds.values().filter(of_theirs).map(|h| h.captured.0).sum();
            assert!(left >= -staked, "everything came back: {staked} were staked, and {left} are left");
        }
    }

    /// Counts everything again.
    ///
    /// # Panics
    /// With the invariant that does not hold.
    pub fn check(&self) {
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
            assert_eq!(left, (b.available + b.held).0, "unused lots are exactly what the member has");
            let waiting = self.state.provisional.values().filter(|p| p.member == *id && p.ended.is_none());
            assert_eq!(
                waiting.map(|p| p.points).sum::<Points>(),
                b.provisional,
                "every provisional point waits for its end"
            );
            let open: i64 = self.state.holds.values().filter(|h| h.open && h.member == *id).map(|h| h.amount.0).sum();
            assert_eq!(open, b.held.0, "T1: what is held is the sum of the open holds");
        }
        assert_eq!(total, 0, "L1");
        for hold in self.state.holds.values().filter(|h| !h.open) {
            assert_eq!(hold.captured + hold.released, hold.amount, "T1");
        }
    }
}

pub fn member(n: u8) -> MemberId {
    MemberId(Uuid::from_u128(1000 + u128::from(n)))
}

fn pick<T>(from: &[T], which: usize) -> Option<&T> {
    (!from.is_empty()).then(|| &from[which % from.len()])
}
