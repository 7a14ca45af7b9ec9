//! Decides what a batch of commands does. Pure: no I/O, no clock, no randomness.

mod provisional;
mod reverse;

use hunch_kernel::{HoldId, MemberId, Points, seeded_bug};
use std::collections::HashMap;
use uuid::Uuid;

use crate::account::{AccountCode, MemberBalance};
use crate::command::{Action, Command, Done, EarnBucket, EarnPart, Funder, HoldOwner, Outcome, Reason, Refusal};
use crate::lots::{self, LotRange};
use crate::provenance::{self, Journey, Payback, Provenance, WalkTooLong, share, trace};
pub use provisional::{Provisional, ProvisionalEnd};

/// No single command moves more than this: far above any purchase, far below overflow.
const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// What the commands of a batch need to know, read under the shard's lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub members: HashMap<MemberId, MemberState>,
    pub holds: HashMap<HoldId, HoldState>,
    /// First answers of keys that were used before.
    pub answers: HashMap<Uuid, (i64, Done)>,
    /// Parts of stakes that belong to returned purchases.
    pub claims: HashMap<HoldId, Vec<Claim>>,
    /// For each clawback of the batch, by the key of what was earned.
    pub provenance: HashMap<Uuid, Provenance>,
    /// What was earned provisionally under the keys that the batch matures or takes back.
    pub provisional: HashMap<Uuid, Provisional>,
    /// For each payout that the batch reverses, what became of its points.
    pub journeys: HashMap<HoldId, Journey>,
    /// Sequence number of the last message before this batch.
    pub last_seq: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberState {
    pub balance: MemberBalance,
    /// End of the lot stream.
    pub credited: i64,
    /// Lots before this position are used.
    pub consumed: i64,
    /// Voided ranges that end beyond `consumed`, sorted.
    pub voids: Vec<LotRange>,
    /// Ranges of returned lots that were held at the return: charged already, still usable, sorted.
    pub owed: Vec<LotRange>,
    /// The message of the newest entry, 0 before the first.
    pub last_seq: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldState {
    pub member: MemberId,
    pub amount: Points,
    pub captured: Points,
    pub released: Points,
    pub open: bool,
    pub settled: bool,
    /// The lot of the payout that counts now: made, and not reversed.
    pub paid: Option<LotRange>,
    pub owner: HoldOwner,
    /// Placed by this very batch, so it has no row yet.
    pub fresh: bool,
}

/// The part of a stake that a returned purchase funded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// As points of the stake.
    pub part: LotRange,
    /// Points that the return charged for the part itself; what a payout brings beyond them is taken from the payout.
    pub charged: Points,
}

/// A payout that was taken back, and from where: all of its points are accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reversed {
    pub hold: HoldId,
    /// The lot that the payout had made.
    pub lot: LotRange,
    /// Unused points of the payout, or of what its points brought.
    pub voided: Points,
    /// Other points of the member.
    pub used: Points,
    /// Winnings that a return had taken.
    pub refunded: Points,
    /// What a return had charged with points that were none: owed again.
    pub owed: Points,
    /// Nobody has them any more.
    pub lost: Points,
}

/// A posting of a command, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub member: MemberId,
    pub debit: AccountCode,
    pub credit: AccountCode,
    pub house: Uuid,
    pub amount: Points,
    pub reason: Reason,
    pub source: Uuid,
    pub lot: Option<LotRange>,
}

/// One command's outcome and everything it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub outcome: Outcome,
    pub entries: Vec<Entry>,
    /// The message of the member's entry before these, 0 before the first.
    pub prior_seq: i64,
    pub payout: Option<(HoldId, Points, LotRange)>,
    pub reversed: Option<Reversed>,
    /// The key of an earning whose points were provisional until now, and what became of it.
    pub provisional: Option<(Uuid, Provisional)>,
    pub paybacks: Vec<Payback>,
    pub claims: Vec<(HoldId, Claim)>,
    pub voids: Vec<LotRange>,
    pub owed: Vec<LotRange>,
}

impl Decided {
    fn without_effect(outcome: Outcome) -> Decided {
        Decided {
            outcome,
            entries: Vec::new(),
            prior_seq: 0,
            payout: None,
            reversed: None,
            provisional: None,
            paybacks: Vec::new(),
            claims: Vec::new(),
            voids: Vec::new(),
            owed: Vec::new(),
        }
    }
}

/// Applies `commands` one after another to `state`, which becomes what it is after them. Every
/// command is answered by itself; a refused one changes nothing (L3). Accepted commands take dense
/// sequence numbers from `state.last_seq + 1` on.
pub fn decide_batch(state: &mut State, commands: &[Command]) -> Vec<Decided> {
    commands.iter().map(|command| decide(state, command)).collect()
}

fn decide(state: &mut State, command: &Command) -> Decided {
    if let Some((request, first)) = state.answers.get(&command.key) {
        let outcome =
            if *request == command.request { Outcome::Repeated(*first) } else { Outcome::Refused(Refusal::KeyReused) };
        return Decided::without_effect(outcome);
    }
    let Some(member) = state.members.get(&command.member) else {
        return Decided::without_effect(Outcome::Refused(Refusal::UnknownMember));
    };
    let mut work = Work { member: member.clone(), id: command.member, ..Work::empty(command.member) };
    match work.run(state, &command.action) {
        Err(refusal) => Decided::without_effect(Outcome::Refused(refusal)),
        Ok(points) => {
            state.last_seq += 1;
            let done = Done { seq: state.last_seq, points, balance: work.member.balance };
            let prior_seq = work.member.last_seq;
            if !work.entries.is_empty() && !seeded_bug("entry-unlinked") {
                work.member.last_seq = done.seq;
            }
            state.members.insert(command.member, work.member);
            if let Some((id, hold)) = work.hold {
                state.holds.insert(id, hold);
            }
            for (id, part) in &work.claims {
                state.claims.entry(*id).or_default().push(*part);
            }
            if let Some((earned, provisional)) = work.provisional {
                state.provisional.insert(earned, provisional);
            }
            state.answers.insert(command.key, (command.request, done));
            Decided {
                outcome: Outcome::Done(done),
                entries: work.entries,
                prior_seq,
                payout: work.payout,
                reversed: work.reversed,
                provisional: work.provisional,
                paybacks: work.paybacks,
                claims: work.claims,
                voids: work.new_voids,
                owed: work.new_owed,
            }
        }
    }
}

/// One command at work on a copy of its member's state.
struct Work {
    id: MemberId,
    member: MemberState,
    hold: Option<(HoldId, HoldState)>,
    entries: Vec<Entry>,
    payout: Option<(HoldId, Points, LotRange)>,
    reversed: Option<Reversed>,
    provisional: Option<(Uuid, Provisional)>,
    paybacks: Vec<Payback>,
    claims: Vec<(HoldId, Claim)>,
    new_voids: Vec<LotRange>,
    new_owed: Vec<LotRange>,
}

impl Work {
    fn empty(id: MemberId) -> Work {
        Work {
            id,
            member: MemberState::default(),
            hold: None,
            entries: Vec::new(),
            payout: None,
            reversed: None,
            provisional: None,
            paybacks: Vec::new(),
            claims: Vec::new(),
            new_voids: Vec::new(),
            new_owed: Vec::new(),
        }
    }

    fn run(&mut self, state: &State, action: &Action) -> Result<Points, Refusal> {
        match action {
            Action::Earn { points: Points::ZERO, .. } => Ok(Points::ZERO),
            Action::Earn { points, funder, source, bucket, reason } => {
                self.earn(*bucket, *funder, EarnPart { points: positive(*points)?, reason: *reason }, *source);
                self.repay_debt(*source);
                Ok(*points)
            }
            Action::EarnParts { parts, funder, source, bucket } => self.earn_parts(parts, *funder, *source, *bucket),
            Action::Mature { earned } => self.mature(state, *earned),
            Action::TakeBack { earned } => {
                let provisional = self.own_provisional(state, *earned)?;
                self.give_back(*earned, provisional, ProvisionalEnd::TakenBack, Reason::TakenBack)
            }
            Action::PlaceHold { hold, points, owner } => self.place_hold(state, *hold, *points, *owner),
            Action::CloseHold { hold, capture } => self.close_hold(state, *hold, *capture),
            Action::Payout { hold, points, reason } => self.pay_out(state, *hold, *points, *reason),
            Action::ReversePayout { hold, points } => self.reverse_payout(state, *hold, *points),
            Action::Clawback { earned } => {
                if let Some(provisional) =
                    state.provisional.get(earned).filter(|p| p.ended.is_none() && p.member == self.id)
                {
                    return self.give_back(*earned, *provisional, ProvisionalEnd::Returned, Reason::PurchaseReturned);
                }
                let provenance = state.provenance.get(earned).ok_or(Refusal::UnknownEarning)?;
                self.claw_back(provenance)
            }
        }
    }

    /// The parts follow one another in the member's stream, so that together they are one range.
    fn earn_parts(
        &mut self,
        parts: &[EarnPart],
        funder: Funder,
        source: Uuid,
        bucket: EarnBucket,
    ) -> Result<Points, Refusal> {
        let mut total = Points::ZERO;
        for part in parts {
            total += positive(part.points)?;
        }
        if total == Points::ZERO {
            return Ok(total);
        }
        positive(total)?;
        for part in parts {
            self.earn(bucket, funder, *part, source);
        }
        self.repay_debt(source);
        Ok(total)
    }

    /// Provisional points get no place in the stream: whatever is first in it is used first, and nothing may use them.
    fn earn(&mut self, bucket: EarnBucket, funder: Funder, part: EarnPart, source: Uuid) {
        let EarnPart { points, reason } = part;
        let (account, house) = funder.account();
        match bucket {
            EarnBucket::Available => self.credit_lot(account, AccountCode::Available, house, points, reason, source),
            EarnBucket::Provisional if seeded_bug("provisional-in-the-stream") => {
                self.credit_lot(account, AccountCode::Provisional, house, points, reason, source);
            }
            EarnBucket::Provisional => {
                self.post(account, AccountCode::Provisional, house, points, reason, source, None);
            }
        }
    }

    fn place_hold(&mut self, state: &State, id: HoldId, points: Points, owner: HoldOwner) -> Result<Points, Refusal> {
        let points = positive(points)?;
        if state.holds.contains_key(&id) {
            return Err(Refusal::KeyReused);
        }
        let available = self.member.balance.available;
        if available < points {
            return Err(Refusal::InsufficientPoints { available, needed: points });
        }
        self.post(AccountCode::Available, AccountCode::Held, Uuid::nil(), points, Reason::StakeHeld, id.0, None);
        self.hold = Some((
            id,
            HoldState {
                member: self.id,
                amount: points,
                captured: Points::ZERO,
                released: Points::ZERO,
                open: true,
                settled: false,
                paid: None,
                owner,
                fresh: true,
            },
        ));
        Ok(points)
    }

    fn close_hold(&mut self, state: &State, id: HoldId, capture: Points) -> Result<Points, Refusal> {
        let mut hold = self.own_hold(state, id)?;
        if !hold.open {
            return Err(Refusal::HoldClosed);
        }
        if capture < Points::ZERO || capture > hold.amount {
            return Err(Refusal::Amount(capture));
        }
        let release = hold.amount - capture;
        if capture.is_positive() {
            let (owed, voids) = (self.member.owed.clone(), self.member.voids.clone());
            let used = self.use_lots(capture);
            self.claims = owed
                .iter()
                .flat_map(|range| used.overlap(*range).without(&voids))
                .map(|slice| (slice, provenance::part_of(slice, used, &voids)))
                .map(|(slice, part)| (id, Claim { part, charged: Points(slice.len()) }))
                .collect();
            let (from, to) = (AccountCode::Held, AccountCode::Exchange);
            self.post(from, to, Uuid::nil(), capture, Reason::StakeCaptured, id.0, Some(used));
        }
        if release.is_positive() && !seeded_bug("release-forgotten") {
            let (from, to) = (AccountCode::Held, AccountCode::Available);
            self.post(from, to, Uuid::nil(), release, Reason::StakeReleased, id.0, None);
        }
        hold.open = false;
        hold.captured = capture;
        hold.released = release;
        self.hold = Some((id, hold));
        self.repay_debt(id.0);
        Ok(capture)
    }

    fn pay_out(&mut self, state: &State, id: HoldId, points: Points, reason: Reason) -> Result<Points, Refusal> {
        if points < Points::ZERO || points.0 > AMOUNT_MAX {
            return Err(Refusal::Amount(points));
        }
        let mut hold = self.own_hold(state, id)?;
        if hold.open {
            return Err(Refusal::HoldOpen);
        }
        let lo = self.member.credited;
        if points.is_positive() {
            self.credit_lot(AccountCode::Exchange, AccountCode::Available, Uuid::nil(), points, reason, id.0);
        }
        let lot = LotRange { lo, hi: lo + points.0 };
        self.payout = Some((id, points, lot));
        hold.paid = points.is_positive().then_some(lot);
        for claim in state.claims.get(&id).map(Vec::as_slice).unwrap_or_default() {
            // The part itself was charged at the return; what it brought beyond that goes now.
            let brought = share(lot, claim.part, hold.captured);
            let more = Points((brought.len() - claim.charged.0).max(0));
            self.mark_owed(LotRange { lo: brought.lo, hi: brought.hi - more.0 });
            if more.is_positive() {
                self.void(brought.tail(more));
                let (from, to) = (AccountCode::Available, AccountCode::CommunityPot);
                self.post(from, to, Uuid::nil(), more, Reason::WinningsReturned, id.0, None);
            }
        }
        hold.settled = true;
        self.hold = Some((id, hold));
        self.repay_debt(id.0);
        Ok(points)
    }

    fn claw_back(&mut self, provenance: &Provenance) -> Result<Points, Refusal> {
        let charge = trace(provenance.earned, self.member.consumed, &provenance.journey)?;
        let mut base_left = Points(provenance.earned.len());
        let available_before = self.member.balance.available;

        // What was not used yet is voided, newest positions first, as far as it is not held.
        let mut still_owed = charge.owed;
        let mut unused = charge.unused;
        unused.sort();
        for range in unused.into_iter().rev() {
            let voidable = Points(range.len()).min(self.member.balance.available);
            still_owed += Points(range.len()) - voidable;
            self.mark_owed(LotRange { lo: range.lo, hi: range.hi - voidable.0 });
            if !voidable.is_positive() {
                continue;
            }
            self.void(range.tail(voidable));
            let base = voidable.min(base_left);
            base_left -= base;
            let source = provenance.source;
            if base.is_positive() {
                let (from, to) = (AccountCode::Available, provenance.funder_account);
                self.post(from, to, provenance.funder_house, base, Reason::PurchaseReturned, source, None);
            }
            if voidable > base {
                let (from, to) = (AccountCode::Available, AccountCode::CommunityPot);
                self.post(from, to, Uuid::nil(), voidable - base, Reason::WinningsReturned, source, None);
            }
        }
        let base = still_owed.min(base_left);
        self.take(
            base,
            provenance.funder_account,
            provenance.funder_house,
            Reason::PurchaseReturned,
            provenance.source,
        );
        self.take(
            still_owed - base,
            AccountCode::CommunityPot,
            Uuid::nil(),
            Reason::WinningsReturned,
            provenance.source,
        );
        if !seeded_bug("return-leaves-no-claim") {
            self.claims = charge.claims;
        }
        Ok(available_before - self.member.balance.available)
    }

    /// Takes `points` from what is available, the rest becomes debt.
    fn take(&mut self, points: Points, to: AccountCode, house: Uuid, reason: Reason, source: Uuid) {
        let now = points.min(self.member.balance.available);
        if now.is_positive() {
            let used = self.use_lots(now);
            self.post(AccountCode::Available, to, house, now, reason, source, Some(used));
        }
        if points > now && !seeded_bug("debt-forgiven") {
            self.post(AccountCode::Debt, to, house, points - now, Reason::DebtCharged, source, None);
        }
    }

    /// What is owed is paid from what is available before anything else.
    fn repay_debt(&mut self, source: Uuid) {
        let repay = (-self.member.balance.debt).min(self.member.balance.available);
        if repay.is_positive() {
            let used = self.use_lots(repay);
            let (from, to) = (AccountCode::Available, AccountCode::Debt);
            self.post(from, to, Uuid::nil(), repay, Reason::DebtRepaid, source, Some(used));
        }
    }

    fn own_hold(&self, state: &State, id: HoldId) -> Result<HoldState, Refusal> {
        let hold = state.holds.get(&id).ok_or(Refusal::UnknownHold)?;
        if hold.member == self.id { Ok(hold.clone()) } else { Err(Refusal::UnknownHold) }
    }

    fn credit_lot(
        &mut self,
        from: AccountCode,
        to: AccountCode,
        house: Uuid,
        points: Points,
        reason: Reason,
        source: Uuid,
    ) {
        let lot = LotRange { lo: self.member.credited, hi: self.member.credited + points.0 };
        self.member.credited = lot.hi;
        self.post(from, to, house, points, reason, source, Some(lot));
    }

    fn void(&mut self, range: LotRange) {
        self.member.voids.push(range);
        self.member.voids.sort();
        self.new_voids.push(range);
    }

    fn mark_owed(&mut self, range: LotRange) {
        if !range.is_empty() {
            self.member.owed.push(range);
            self.member.owed.sort();
            self.new_owed.push(range);
        }
    }

    /// The next `points` of the stream, first in, first out.
    fn use_lots(&mut self, points: Points) -> LotRange {
        let lo = self.member.consumed;
        let hi = lots::consume(lo, points, &self.member.voids);
        self.member.consumed = hi;
        self.member.voids.retain(|v| v.hi > hi);
        self.member.owed.retain(|v| v.hi > hi);
        LotRange { lo, hi }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one posting has this many parts, and this is the only place that makes one"
    )]
    fn post(
        &mut self,
        debit: AccountCode,
        credit: AccountCode,
        house: Uuid,
        amount: Points,
        reason: Reason,
        source: Uuid,
        lot: Option<LotRange>,
    ) {
        if let Some(bucket) = self.member.balance.bucket_mut(debit) {
            *bucket -= amount;
        }
        if let Some(bucket) = self.member.balance.bucket_mut(credit) {
            *bucket += amount;
        }
        self.entries.push(Entry { member: self.id, debit, credit, house, amount, reason, source, lot });
    }
}

impl From<WalkTooLong> for Refusal {
    fn from(_: WalkTooLong) -> Refusal {
        Refusal::WalkTooLong
    }
}

fn positive(points: Points) -> Result<Points, Refusal> {
    if points.0 > 0 && points.0 <= AMOUNT_MAX { Ok(points) } else { Err(Refusal::Amount(points)) }
}

impl Funder {
    /// The house account that pays, and the merchant behind it.
    pub fn account(self) -> (AccountCode, Uuid) {
        match self {
            Funder::Merchant(merchant) => (AccountCode::Issuance, merchant.0),
            Funder::Operator => (AccountCode::OperatorIssuance, Uuid::nil()),
        }
    }
}
