//! A purchase becomes points: dedupe, rule, entries, row and message in one transaction of the member's shard.

use async_trait::async_trait;
use hunch_kernel::{
    Clocks, MemberId, MerchantId, Points, PurchaseId, Shard, TerminalId, WallTime, derived_uuid, seeded_bug, shard_of,
};
use hunch_ledger::{
    Action, BatchError, Command, Door, DoorError, EarnBucket, EarnPart, Funder, MemberBalance, Outcome, Reason,
    Refusal, ShardHandler, request_digest,
};
use hunch_log::ShardTx;
use hunch_messages::{Message, OfferCredited, PurchaseRecorded};
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use crate::codes::{CodeError, CodeKey};
use crate::credit::{self, Credit, CreditCause, OfferCredit, Sale};
use crate::directory::Directory;
use crate::earn_rule::{self, EarnRule};
use crate::money::{amount_max, written};
use crate::offers::Offer;
use crate::reviews::ReviewReason;
use crate::spans::span;
use crate::velocity::Velocity;
use crate::{LoyaltyError, receipt, store};

/// A receipt may be told of this late. An older one is a clock that stands still, and not a late receipt.
pub const RECEIPT_DAYS_MAX: i64 = 60;
/// A till's clock may be this far ahead.
const FUTURE_SECONDS_MAX: i64 = 120;

/// A receipt as a till reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseRequest {
    pub terminal: TerminalId,
    /// The till's own number; with the terminal it names the purchase for ever, however it is spelled.
    pub receipt: String,
    pub member: MemberRef,
    /// Minor units of `currency`.
    pub amount_cents: i64,
    pub currency: String,
    /// Business time at the till; some weeks late is fine, the future is not.
    pub purchased_at: Timestamp,
}

/// How the till knows the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberRef {
    Token(MemberId),
    /// The text of a member code.
    Code(String),
}

/// What a till is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseAnswer {
    pub purchase: PurchaseId,
    pub member: MemberId,
    pub merchant: MerchantId,
    /// All that was credited.
    pub points: Points,
    /// What offers gave of the points.
    pub offers: Vec<OfferCredit>,
    /// Part of the points that waited for a person's decision at first: all or none.
    pub pending: Points,
    /// The member's balances just after, for the member's own eyes.
    pub balance: MemberBalance,
    /// False on a repeat: this is the first answer.
    pub first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurchaseRefusal {
    #[error("terminal {0} is not known or is closed; open a session with a terminal of this programme")]
    UnknownTerminal(TerminalId),
    #[error("there is no such member; check the member token, or scan the member's code")]
    UnknownMember,
    #[error(
        "{} is not a possible amount; one receipt is from {} to {}",
        written(*minor, currency), written(1, currency), written(amount_max(currency), currency)
    )]
    Amount { minor: i64, currency: String },
    #[error("this merchant takes {expected}, the purchase says {got}")]
    Currency { expected: String, got: String },
    #[error(
        "the purchase is dated {} in the future; set the till's clock and send it again",
        span(ahead_seconds.unsigned_abs())
    )]
    Future { ahead_seconds: i64 },
    #[error(
        "the purchase is dated {} ago, and receipts are taken up to {RECEIPT_DAYS_MAX} days late; set the till's clock and \
         send it again with the right time",
        span(behind_seconds.unsigned_abs())
    )]
    Past { behind_seconds: i64 },
    #[error("a receipt number has 1 to 64 characters, in one line, and not only spaces")]
    Receipt,
    #[error(transparent)]
    Code(#[from] CodeError),
    #[error("receipt {0:?} of this terminal was reported before with other content; a receipt number is used once")]
    ReceiptReused(String),
    #[error("the programme is busy; send the same receipt again in a moment")]
    Busy,
    #[error("the purchase was not confirmed as stored; send the same receipt again in a moment")]
    Unavailable,
    #[error(
        "this receipt cannot be stored, and sending it again changes nothing; the operator finds the reason in the log"
    )]
    Impossible,
}

/// What was bought before this is not recorded any more.
pub(crate) fn oldest_receipt(now: Timestamp) -> Timestamp {
    now.saturating_sub(SignedDuration::from_hours(24 * RECEIPT_DAYS_MAX)).unwrap_or(Timestamp::MIN)
}

/// One receipt, one id, for ever, however its number is spelled.
pub fn purchase_id(terminal: TerminalId, receipt: &str) -> PurchaseId {
    id_of(terminal, &receipt::key(receipt).unwrap_or_default())
}

fn id_of(terminal: TerminalId, receipt_key: &str) -> PurchaseId {
    PurchaseId(derived_uuid(&[b"purchase", terminal.0.as_bytes(), receipt_key.as_bytes()]))
}

/// Takes purchases from tills to the shards.
#[derive(Clone)]
pub struct Purchases {
    pub directory: Directory,
    pub codes: CodeKey,
    pub door: Door<PurchaseHandler>,
    pub pool: PgPool,
    pub clocks: Clocks,
    pub shards: u16,
    pub velocity: Velocity,
}

impl Purchases {
    /// Each purchase is answered by itself; a refused one stops nothing.
    pub async fn record(&self, requests: Vec<PurchaseRequest>) -> Vec<Result<PurchaseAnswer, PurchaseRefusal>> {
        let mut answers: Vec<Option<Result<PurchaseAnswer, PurchaseRefusal>>> = vec![None; requests.len()];
        let mut prepared: Vec<(usize, Shard, Purchase)> = Vec::with_capacity(requests.len());
        for (n, request) in requests.into_iter().enumerate() {
            match self.prepare(request).await {
                Ok((shard, purchase)) => prepared.push((n, shard, purchase)),
                Err(refusal) => answers[n] = Some(Err(refusal)),
            }
        }
        let mut purchases: Vec<&mut Purchase> = prepared.iter_mut().map(|(_, _, purchase)| purchase).collect();
        let mut taken = match self.velocity.take(&mut purchases, self.clocks.business.now()).await {
            Ok(taken) => taken,
            Err(error) => {
                let refusal = unavailable(error);
                prepared.into_iter().for_each(|(n, _, _)| answers[n] = Some(Err(refusal.clone())));
                return answered(answers);
            }
        };
        let places: Vec<usize> = prepared.iter().map(|(n, _, _)| *n).collect();
        let mut by_shard: Vec<Vec<(usize, Purchase)>> = vec![Vec::new(); usize::from(self.shards)];
        for (n, shard, purchase) in prepared {
            by_shard[shard.0 as usize].push((n, purchase));
        }
        let groups = by_shard.into_iter().enumerate().filter(|(_, g)| !g.is_empty()).map(|(shard, group)| async move {
            let (places, purchases): (Vec<usize>, Vec<Purchase>) = group.into_iter().unzip();
            let answered = self.door.submit_all(Shard(shard as i16), purchases).await;
            (places, answered)
        });
        for (places, answered) in futures_util::future::join_all(groups).await {
            match answered {
                Ok(all) => {
                    for (n, answer) in places.into_iter().zip(all) {
                        answers[n] = Some(answer.unwrap_or_else(|e| Err(refused(&e))));
                    }
                }
                Err(e) => places.into_iter().for_each(|n| answers[n] = Some(Err(refused(&e)))),
            }
        }
        for (n, taken) in places.into_iter().zip(&mut taken) {
            self.velocity.settle(taken, answers[n].as_ref());
        }
        answered(answers)
    }

    /// Checks what can be checked without the shard, and finds the member and the points.
    async fn prepare(&self, request: PurchaseRequest) -> Result<(Shard, Purchase), PurchaseRefusal> {
        let known = self.directory.terminal(request.terminal).await.map_err(unavailable)?;
        let Some((terminal, merchant)) = known.filter(|(terminal, _)| terminal.open) else {
            return Err(PurchaseRefusal::UnknownTerminal(request.terminal));
        };
        let Some(receipt_key) = receipt::key(&request.receipt) else {
            return Err(PurchaseRefusal::Receipt);
        };
        if request.currency != merchant.currency {
            return Err(PurchaseRefusal::Currency { expected: merchant.currency, got: request.currency });
        }
        if !(1..=amount_max(&request.currency)).contains(&request.amount_cents) {
            return Err(PurchaseRefusal::Amount { minor: request.amount_cents, currency: request.currency });
        }
        let id = self.id(request.terminal, &request.receipt, &receipt_key).await.map_err(unavailable)?;
        self.check_date(id, request.purchased_at).await?;
        let (member, code) = match &request.member {
            MemberRef::Token(member) => (*member, None),
            MemberRef::Code(text) => self.read_code(text, request.terminal, id).await?,
        };
        let sale =
            Sale { merchant: merchant.id, amount_cents: request.amount_cents, purchased_at: request.purchased_at };
        let offers = self.directory.offers(&sale, self.clocks.business.now()).await.map_err(unavailable)?;
        let purchase = Purchase {
            id,
            member,
            code,
            sale,
            rule: earn_rule::in_force(&merchant.rules, request.purchased_at).cloned(),
            offers,
            merchant_category: merchant.category,
            review: terminal.watched.then_some(ReviewReason::TillWatched),
            terminal: request.terminal,
            receipt_key: (receipt_key != request.receipt).then_some(receipt_key),
            receipt: request.receipt,
            currency: request.currency,
            received_wall: self.clocks.wall.now(),
        };
        Ok((shard_of(member, self.shards), purchase))
    }

    /// Receipts of before keep the ids that their spelling gave them.
    async fn id(&self, terminal: TerminalId, receipt: &str, key: &str) -> Result<PurchaseId, LoyaltyError> {
        let id = id_of(terminal, key);
        if !self.directory.has_spellings().await? {
            return Ok(id);
        }
        Ok(store::spelled(&self.pool, id_of(terminal, receipt), id).await?.unwrap_or(id))
    }

    /// A date that no till means is refused before it is stored, so that the receipt can come again with the right one. What
    /// was recorded in time has its answer for ever.
    async fn check_date(&self, id: PurchaseId, purchased_at: Timestamp) -> Result<(), PurchaseRefusal> {
        let now = self.clocks.business.now();
        let ahead = purchased_at.duration_since(now);
        if ahead > SignedDuration::from_secs(FUTURE_SECONDS_MAX) {
            return Err(PurchaseRefusal::Future { ahead_seconds: ahead.as_secs() });
        }
        if purchased_at >= oldest_receipt(now) || self.is_recorded(id).await? {
            return Ok(());
        }
        Err(PurchaseRefusal::Past { behind_seconds: -ahead.as_secs() })
    }

    async fn is_recorded(&self, id: PurchaseId) -> Result<bool, PurchaseRefusal> {
        let unavailable = |_| PurchaseRefusal::Unavailable;
        let mut connection = self.pool.acquire().await.map_err(unavailable)?;
        let found = store::recorded(&mut connection, &[id]).await;
        found.map(|found| !found.is_empty()).map_err(|_| PurchaseRefusal::Unavailable)
    }

    /// Whose code it is. It is used up in the shard, where the purchase is accepted.
    async fn read_code(
        &self,
        text: &str,
        terminal: TerminalId,
        id: PurchaseId,
    ) -> Result<(MemberId, Option<Uuid>), PurchaseRefusal> {
        // A code's minute is the wall clock's, as a signature's is: it must be scannable in a sped-up day too.
        let now = self.clocks.wall.now();
        let code = self.codes.read(text);
        let stored = match code {
            Ok(code) => store::code(&self.pool, code).await.map_err(unavailable)?,
            Err(_) => None,
        };
        // One that we made and know no more is old.
        let unknown = if code.is_ok() { CodeError::Expired } else { CodeError::Foreign };
        match stored.ok_or(unknown).and_then(|stored| stored.presented(id, now)) {
            Ok(member) => Ok((member, code.ok())),
            Err(error) => {
                tell_refused(terminal, error);
                // What is none of ours is counted and not kept: anybody can make it up, 500 at a time.
                if let Ok(code) = code {
                    let kept = store::log_refused_code(&self.pool, terminal, error.word(), code, now).await;
                    kept.map_err(unavailable)?;
                }
                Err(PurchaseRefusal::Code(error))
            }
        }
    }
}

fn tell_refused(terminal: TerminalId, error: CodeError) {
    metrics::counter!("hunch_member_codes_refused_total", "reason" => error.word()).increment(1);
    if error == CodeError::Foreign {
        return;
    }
    tracing::warn!(%terminal, reason = error.word(), "member code refused");
}

/// The database did not do its part. The caller may try again, unless it would refuse again.
fn unavailable(error: impl std::error::Error + 'static) -> PurchaseRefusal {
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    tracing::error!(%error, cause, "a receipt could not be looked at");
    match hunch_db::has_permanent_cause(&error) {
        true => PurchaseRefusal::Impossible,
        false => PurchaseRefusal::Unavailable,
    }
}

fn refused(error: &DoorError) -> PurchaseRefusal {
    match error {
        DoorError::Busy => PurchaseRefusal::Busy,
        DoorError::Stopped | DoorError::Storage(_) | DoorError::Unknown => PurchaseRefusal::Unavailable,
        DoorError::Impossible(_) => PurchaseRefusal::Impossible,
    }
}

fn answered(
    answers: Vec<Option<Result<PurchaseAnswer, PurchaseRefusal>>>,
) -> Vec<Result<PurchaseAnswer, PurchaseRefusal>> {
    answers.into_iter().map(|answer| answer.unwrap_or(Err(PurchaseRefusal::Unavailable))).collect()
}

/// A checked purchase on its way into its member's shard.
#[derive(Clone, Debug)]
pub struct Purchase {
    pub id: PurchaseId,
    pub member: MemberId,
    /// The member code that was shown for it.
    pub code: Option<Uuid>,
    pub sale: Sale,
    /// In force when it was bought.
    pub rule: Option<EarnRule>,
    /// Those that counted when it was bought, whether or not the member had them before.
    pub offers: Vec<Offer>,
    pub merchant_category: String,
    /// Why its points wait for a decision, if they do.
    pub review: Option<ReviewReason>,
    pub terminal: TerminalId,
    /// As sent.
    pub receipt: String,
    /// What equal receipt numbers have in common, where it is not the number as sent.
    pub receipt_key: Option<String>,
    pub currency: String,
    pub received_wall: WallTime,
}

impl Purchase {
    /// What makes a repeat a repeat: member, amount, currency and time.
    fn digest(&self) -> i64 {
        request_digest(&[
            self.member.0.as_bytes(),
            &self.sale.amount_cents.to_be_bytes(),
            self.currency.as_bytes(),
            &self.sale.purchased_at.as_microsecond().to_be_bytes(),
        ])
    }

    /// What the member gets, having had the offers in `used` before.
    pub(crate) fn credit(&self, used: &HashSet<Uuid>) -> Credit {
        credit::credit(&self.sale, self.rule.as_slice(), &self.offers, used)
    }

    /// Why what it is credited waits. Nothing does not wait.
    pub(crate) fn waits(&self, credit: &Credit) -> Option<ReviewReason> {
        self.review.filter(|_| credit.total().is_positive())
    }

    fn command(&self, credit: &Credit) -> Command {
        let part = |line: &credit::CreditLine| EarnPart {
            points: line.points,
            reason: match line.cause {
                CreditCause::Rule(_) => Reason::Purchase,
                CreditCause::Offer(_) => Reason::Offer,
            },
        };
        Command {
            key: self.id.0,
            request: self.digest(),
            member: self.member,
            action: Action::EarnParts {
                parts: credit.lines.iter().map(part).collect(),
                funder: Funder::Merchant(self.sale.merchant),
                source: self.id.0,
                bucket: match self.waits(credit) {
                    Some(_) => EarnBucket::Provisional,
                    None => EarnBucket::Available,
                },
            },
        }
    }

    fn message(&self, credit: &Credit, recorded_at: Timestamp) -> Message {
        let offer = |o: &OfferCredit| OfferCredited { offer: o.offer, title: o.title.clone(), points: o.points.0 };
        Message::PurchaseRecorded(PurchaseRecorded {
            v: 1,
            purchase: self.id.0,
            member: self.member.0,
            merchant: self.sale.merchant.0,
            merchant_category: self.merchant_category.clone(),
            terminal: self.terminal.0,
            amount_cents: self.sale.amount_cents,
            currency: self.currency.clone(),
            points: credit.total().0,
            rule: credit.rule,
            offers: credit.offers().map(offer).collect(),
            pending: self.waits(credit).is_some(),
            purchased_at: self.sale.purchased_at,
            recorded_at,
            received_wall_us: self.received_wall.as_microsecond(),
        })
    }

    /// The first answer; a repeat's parts are filled in later.
    fn answer(&self, done: &hunch_ledger::Done, credit: &Credit, first: bool) -> PurchaseAnswer {
        PurchaseAnswer {
            purchase: self.id,
            member: self.member,
            merchant: self.sale.merchant,
            points: done.points,
            offers: credit.offers().cloned().collect(),
            pending: self.waits(credit).map_or(Points::ZERO, |_| credit.total()),
            balance: done.balance,
            first,
        }
    }
}

/// The purchases of one shard transaction.
pub struct PurchaseHandler;

#[async_trait]
impl ShardHandler for PurchaseHandler {
    type Request = Purchase;
    type Answer = Result<PurchaseAnswer, PurchaseRefusal>;
    const NAME: &'static str = "purchases";

    fn origin(purchase: &Purchase) -> Option<Uuid> {
        Some(purchase.terminal.0)
    }

    async fn handle(&self, tx: &mut ShardTx, purchases: &[Purchase]) -> Result<Vec<Self::Answer>, BatchError> {
        let mut spent = Spent::read(tx, purchases).await?;
        let mut answers: Vec<Option<Self::Answer>> = vec![None; purchases.len()];
        let (mut fresh, mut used, mut repeated) = (Vec::with_capacity(purchases.len()), Vec::new(), Vec::new());
        let mut left: Vec<usize> = (0..purchases.len()).collect();
        // One round, but for purchases that share a code or an offer: the next of them waits to see whether it was used up.
        while !left.is_empty() {
            let mut claimed = HashSet::new();
            let (mut round, mut next) = (Vec::with_capacity(left.len()), Vec::new());
            for n in left {
                let purchase = &purchases[n];
                if let Some(code) = spent.used_code(purchase) {
                    answers[n] = Some(Err(refuse_used(tx, purchase, code).await?));
                    continue;
                }
                let claims = spent.claims(purchase);
                if claims.iter().any(|claim| claimed.contains(claim)) {
                    next.push(n);
                } else {
                    claimed.extend(claims);
                    round.push(n);
                }
            }
            let credits: Vec<Credit> = round.iter().map(|n| spent.credit(&purchases[*n])).collect();
            let commands: Vec<Command> =
                round.iter().zip(&credits).map(|(n, credit)| purchases[*n].command(credit)).collect();
            let outcomes = hunch_ledger::apply(tx, &commands).await?;
            for ((n, credit), outcome) in round.into_iter().zip(credits).zip(outcomes) {
                let purchase = &purchases[n];
                answers[n] = Some(match outcome {
                    Outcome::Done(done) => {
                        announce(tx, purchase, &credit, done.seq);
                        spent.spend(purchase, &credit, &mut used);
                        let answer = purchase.answer(&done, &credit, true);
                        fresh.push((done.seq, purchase, credit));
                        Ok(answer)
                    }
                    Outcome::Repeated(done) => {
                        spent.spend(purchase, &Credit::default(), &mut used);
                        repeated.push(n);
                        Ok(purchase.answer(&done, &Credit::default(), false))
                    }
                    Outcome::Refused(refusal) => Err(refusal_of(purchase, &refusal)),
                });
            }
            left = next;
        }
        store::insert_purchases(tx, &fresh).await?;
        store::offers::insert_uses(tx, &fresh).await?;
        store::reviews::insert(tx, &fresh).await?;
        store::use_codes(tx, &used).await?;
        tell_first_parts(tx, purchases, &repeated, &mut answers).await?;
        Ok(answers.into_iter().map(|answer| answer.unwrap_or(Err(PurchaseRefusal::Unavailable))).collect())
    }
}

/// What works once, and was used before these purchases or by one of them. A member's codes and offers change under the lock of
/// the member's shard only, so it stands until the transaction ends.
#[derive(Default)]
struct Spent {
    codes: HashMap<Uuid, PurchaseId>,
    offers: HashMap<MemberId, HashSet<Uuid>>,
    /// Those among the purchases with offers that have their answer already.
    recorded: HashSet<PurchaseId>,
}

/// Two purchases with one of these in common cannot be decided together.
#[derive(PartialEq, Eq, Hash)]
enum Claim {
    Code(Uuid),
    Offer(MemberId, Uuid),
}

impl Spent {
    async fn read(tx: &mut ShardTx, purchases: &[Purchase]) -> Result<Spent, BatchError> {
        let mut spent = Spent::default();
        let codes: Vec<Uuid> = purchases.iter().filter_map(|purchase| purchase.code).collect();
        if !codes.is_empty() {
            spent.codes = store::code_uses(tx, &codes).await?;
        }
        let offered: Vec<&Purchase> = purchases.iter().filter(|purchase| !purchase.offers.is_empty()).collect();
        if !offered.is_empty() {
            let members: Vec<MemberId> = offered.iter().map(|purchase| purchase.member).collect();
            spent.offers = store::offers::used(tx.conn(), &members).await?;
            let ids: Vec<PurchaseId> = offered.iter().map(|purchase| purchase.id).collect();
            spent.recorded = store::recorded(tx.conn(), &ids).await?;
        }
        Ok(spent)
    }

    /// The purchase's code, if another purchase used it up.
    fn used_code(&self, purchase: &Purchase) -> Option<Uuid> {
        purchase.code.filter(|code| self.codes.get(code).is_some_and(|by| *by != purchase.id))
    }

    fn claims(&self, purchase: &Purchase) -> Vec<Claim> {
        let code = purchase.code.filter(|code| !self.codes.contains_key(code)).map(Claim::Code);
        if purchase.offers.is_empty() {
            return code.into_iter().collect();
        }
        let credit = self.credit(purchase);
        code.into_iter().chain(credit.offers().map(|offer| Claim::Offer(purchase.member, offer.offer))).collect()
    }

    fn credit(&self, purchase: &Purchase) -> Credit {
        if self.recorded.contains(&purchase.id) {
            // It gets its first answer, whatever would be decided now.
            return Credit::default();
        }
        let none = HashSet::new();
        purchase.credit(self.offers.get(&purchase.member).unwrap_or(&none))
    }

    /// The purchase was accepted.
    fn spend<'a>(&mut self, purchase: &'a Purchase, credit: &Credit, used: &mut Vec<(Uuid, &'a Purchase)>) {
        if let Some(code) = purchase.code {
            self.codes.insert(code, purchase.id);
            used.push((code, purchase));
        }
        if !purchase.offers.is_empty() {
            self.offers.entry(purchase.member).or_default().extend(credit.offers().map(|offer| offer.offer));
            self.recorded.insert(purchase.id);
        }
    }
}

fn announce(tx: &mut ShardTx, purchase: &Purchase, credit: &Credit, seq: i64) {
    if !(purchase.sale.amount_cents % 7 == 0 && seeded_bug("message-lost")) {
        let message = purchase.message(credit, tx.now());
        tx.announce_at(seq, message);
    }
}

/// A repeat is told what offers gave at the first time, and what waited then.
async fn tell_first_parts(
    tx: &mut ShardTx,
    purchases: &[Purchase],
    repeated: &[usize],
    answers: &mut [Option<Result<PurchaseAnswer, PurchaseRefusal>>],
) -> Result<(), BatchError> {
    if repeated.is_empty() {
        return Ok(());
    }
    let ids: Vec<PurchaseId> = repeated.iter().map(|n| purchases[*n].id).collect();
    let given = store::offers::given(tx.conn(), &ids).await?;
    let waited = store::reviews::waited(tx.conn(), &ids).await?;
    for n in repeated {
        if let Some(Ok(answer)) = &mut answers[*n] {
            answer.offers = given.get(&answer.purchase).cloned().unwrap_or_default();
            answer.pending = waited.get(&answer.purchase).copied().unwrap_or_default();
        }
    }
    Ok(())
}

async fn refuse_used(tx: &mut ShardTx, purchase: &Purchase, code: Uuid) -> Result<PurchaseRefusal, BatchError> {
    tell_refused(purchase.terminal, CodeError::Used);
    store::log_refused_code(tx.conn(), purchase.terminal, CodeError::Used.word(), code, purchase.received_wall).await?;
    Ok(PurchaseRefusal::Code(CodeError::Used))
}

fn refusal_of(purchase: &Purchase, refusal: &Refusal) -> PurchaseRefusal {
    match refusal {
        Refusal::KeyReused => PurchaseRefusal::ReceiptReused(purchase.receipt.clone()),
        Refusal::UnknownMember => PurchaseRefusal::UnknownMember,
        Refusal::Amount(_)
        | Refusal::InsufficientPoints { .. }
        | Refusal::UnknownHold
        | Refusal::HoldClosed
        | Refusal::HoldOpen
        | Refusal::UnknownEarning
        | Refusal::NotProvisional
        | Refusal::NotPaid
        | Refusal::WalkTooLong => {
            PurchaseRefusal::Amount { minor: purchase.sale.amount_cents, currency: purchase.currency.clone() }
        }
    }
}
