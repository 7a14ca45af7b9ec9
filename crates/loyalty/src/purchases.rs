//! A purchase becomes points: dedupe, rule, entries, row and message in one transaction of the member's shard.

use async_trait::async_trait;
use hunch_kernel::{
    Clocks, MemberId, MerchantId, Points, PurchaseId, Shard, TerminalId, WallTime, derived_uuid, seeded_bug, shard_of,
};
use hunch_ledger::{
    Action, BatchError, Command, Door, DoorError, EarnBucket, Funder, MemberBalance, Outcome, Reason, Refusal,
    ShardHandler, request_digest,
};
use hunch_log::ShardTx;
use hunch_messages::{Message, PurchaseRecorded};
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use crate::codes::{CodeError, CodeKey};
use crate::directory::Directory;
use crate::{earn_rule, store};

/// More than this on one receipt is a mistake.
pub(crate) const AMOUNT_CENTS_MAX: i64 = 100_000_000;
/// A till's clock may be this far ahead.
const FUTURE_SECONDS_MAX: i64 = 120;
const RECEIPT_LENGTH_MAX: usize = 64;

/// A receipt as a till reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseRequest {
    pub terminal: TerminalId,
    /// The till's own number; with the terminal it names the purchase for ever.
    pub receipt: String,
    pub member: MemberRef,
    /// Minor units of `currency`.
    pub amount_cents: i64,
    pub currency: String,
    /// Business time at the till; late is fine, the future is not.
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
    pub points: Points,
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
    #[error("{0} is not a possible amount: send 1 to 100000000 in the currency's smallest unit")]
    Amount(i64),
    #[error("this merchant takes {expected}, the purchase says {got}")]
    Currency { expected: String, got: String },
    #[error("the purchase is dated {ahead_seconds} seconds in the future; set the till's clock and send it again")]
    Future { ahead_seconds: i64 },
    #[error("a receipt number has 1 to 64 characters")]
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

/// One receipt, one id, for ever.
pub fn purchase_id(terminal: TerminalId, receipt: &str) -> PurchaseId {
    PurchaseId(derived_uuid(&[b"purchase", terminal.0.as_bytes(), receipt.as_bytes()]))
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
}

impl Purchases {
    /// Each purchase is answered by itself; a refused one stops nothing.
    pub async fn record(&self, requests: Vec<PurchaseRequest>) -> Vec<Result<PurchaseAnswer, PurchaseRefusal>> {
        let mut answers: Vec<Option<Result<PurchaseAnswer, PurchaseRefusal>>> = vec![None; requests.len()];
        let mut by_shard: Vec<Vec<(usize, Purchase)>> = vec![Vec::new(); usize::from(self.shards)];
        for (n, request) in requests.into_iter().enumerate() {
            match self.prepare(request).await {
                Ok((shard, purchase)) => by_shard[shard.0 as usize].push((n, purchase)),
                Err(refusal) => answers[n] = Some(Err(refusal)),
            }
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
        answers.into_iter().map(|a| a.unwrap_or(Err(PurchaseRefusal::Unavailable))).collect()
    }

    /// Checks what can be checked without the shard, and finds the member and the points.
    async fn prepare(&self, request: PurchaseRequest) -> Result<(Shard, Purchase), PurchaseRefusal> {
        let known = self.directory.terminal(request.terminal).await.map_err(unavailable)?;
        let Some((_, merchant)) = known.filter(|(terminal, _)| terminal.active) else {
            return Err(PurchaseRefusal::UnknownTerminal(request.terminal));
        };
        if request.receipt.is_empty() || request.receipt.len() > RECEIPT_LENGTH_MAX {
            return Err(PurchaseRefusal::Receipt);
        }
        if !(1..=AMOUNT_CENTS_MAX).contains(&request.amount_cents) {
            return Err(PurchaseRefusal::Amount(request.amount_cents));
        }
        if request.currency != merchant.currency {
            return Err(PurchaseRefusal::Currency { expected: merchant.currency, got: request.currency });
        }
        let ahead = request.purchased_at.duration_since(self.clocks.business.now());
        if ahead > SignedDuration::from_secs(FUTURE_SECONDS_MAX) {
            return Err(PurchaseRefusal::Future { ahead_seconds: ahead.as_secs() });
        }
        let id = purchase_id(request.terminal, &request.receipt);
        let (member, code) = match &request.member {
            MemberRef::Token(member) => (*member, None),
            MemberRef::Code(text) => self.read_code(text, request.terminal, id).await?,
        };
        let points = earn_rule::in_force(&merchant.rules, request.purchased_at)
            .map_or(Points::ZERO, |rule| rule.points(request.amount_cents));
        let purchase = Purchase {
            id,
            member,
            code,
            merchant: merchant.id,
            merchant_category: merchant.category,
            terminal: request.terminal,
            receipt: request.receipt,
            amount_cents: request.amount_cents,
            currency: request.currency,
            points,
            purchased_at: request.purchased_at,
            received_wall: self.clocks.wall.now(),
        };
        Ok((shard_of(member, self.shards), purchase))
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
        match stored.ok_or(CodeError::Foreign).and_then(|stored| stored.presented(id, now)) {
            Ok(member) => Ok((member, code.ok())),
            Err(error) => {
                warn_refused(terminal, error);
                store::log_refused_code(&self.pool, terminal, error.word(), code.ok(), now)
                    .await
                    .map_err(unavailable)?;
                Err(PurchaseRefusal::Code(error))
            }
        }
    }
}

fn warn_refused(terminal: TerminalId, error: CodeError) {
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

/// A checked purchase on its way into its member's shard.
#[derive(Clone, Debug)]
pub struct Purchase {
    pub id: PurchaseId,
    pub member: MemberId,
    /// The member code that was shown for it.
    pub code: Option<Uuid>,
    pub merchant: MerchantId,
    pub merchant_category: String,
    pub terminal: TerminalId,
    pub receipt: String,
    pub amount_cents: i64,
    pub currency: String,
    pub points: Points,
    pub purchased_at: Timestamp,
    pub received_wall: WallTime,
}

impl Purchase {
    /// What makes a repeat a repeat: member, amount, currency and time.
    fn digest(&self) -> i64 {
        request_digest(&[
            self.member.0.as_bytes(),
            &self.amount_cents.to_be_bytes(),
            self.currency.as_bytes(),
            &self.purchased_at.as_microsecond().to_be_bytes(),
        ])
    }

    fn command(&self) -> Command {
        Command {
            key: self.id.0,
            request: self.digest(),
            member: self.member,
            action: Action::Earn {
                points: self.points,
                funder: Funder::Merchant(self.merchant),
                source: self.id.0,
                bucket: EarnBucket::Available,
                reason: Reason::Purchase,
            },
        }
    }

    fn message(&self, recorded_at: Timestamp) -> Message {
        Message::PurchaseRecorded(PurchaseRecorded {
            v: 1,
            purchase: self.id.0,
            member: self.member.0,
            merchant: self.merchant.0,
            merchant_category: self.merchant_category.clone(),
            terminal: self.terminal.0,
            amount_cents: self.amount_cents,
            currency: self.currency.clone(),
            points: self.points.0,
            purchased_at: self.purchased_at,
            recorded_at,
            received_wall_us: self.received_wall.as_microsecond(),
        })
    }

    fn answer(&self, done: &hunch_ledger::Done, first: bool) -> PurchaseAnswer {
        PurchaseAnswer {
            purchase: self.id,
            member: self.member,
            merchant: self.merchant,
            points: done.points,
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

    async fn handle(&self, tx: &mut ShardTx, purchases: &[Purchase]) -> Result<Vec<Self::Answer>, BatchError> {
        let codes: Vec<Uuid> = purchases.iter().filter_map(|purchase| purchase.code).collect();
        let mut uses = if codes.is_empty() { HashMap::new() } else { store::code_uses(tx, &codes).await? };
        let mut answers: Vec<Option<Self::Answer>> = vec![None; purchases.len()];
        let (mut fresh, mut used) = (Vec::with_capacity(purchases.len()), Vec::new());
        let mut left: Vec<usize> = (0..purchases.len()).collect();
        // One round, but for purchases that share a code: the next of them waits to see whether it was used up.
        while !left.is_empty() {
            let mut shown = HashSet::new();
            let (mut round, mut next) = (Vec::with_capacity(left.len()), Vec::new());
            for n in left {
                let purchase = &purchases[n];
                match purchase.code.map(|code| (code, uses.get(&code))) {
                    Some((code, Some(other))) if *other != purchase.id => {
                        answers[n] = Some(Err(refuse_used(tx, purchase, code).await?));
                    }
                    Some((code, None)) if !shown.insert(code) => next.push(n),
                    Some(_) | None => round.push(n),
                }
            }
            let commands: Vec<Command> = round.iter().map(|n| purchases[*n].command()).collect();
            for (n, outcome) in round.into_iter().zip(hunch_ledger::apply(tx, &commands).await?) {
                let purchase = &purchases[n];
                let answer = answered(tx, purchase, &outcome);
                if let (Ok(_), Some(code)) = (&answer, purchase.code) {
                    uses.insert(code, purchase.id);
                    used.push((code, purchase));
                }
                if let Outcome::Done(done) = outcome {
                    fresh.push((done.seq, purchase));
                }
                answers[n] = Some(answer);
            }
            left = next;
        }
        store::insert_purchases(tx, &fresh).await?;
        store::use_codes(tx, &used).await?;
        Ok(answers.into_iter().map(|answer| answer.unwrap_or(Err(PurchaseRefusal::Unavailable))).collect())
    }
}

/// Announces what was done and says what the till is told.
fn answered(tx: &mut ShardTx, purchase: &Purchase, outcome: &Outcome) -> Result<PurchaseAnswer, PurchaseRefusal> {
    match outcome {
        Outcome::Done(done) => {
            if !(purchase.amount_cents % 7 == 0 && seeded_bug("message-lost")) {
                let message = purchase.message(tx.now());
                tx.announce_at(done.seq, message);
            }
            Ok(purchase.answer(done, true))
        }
        Outcome::Repeated(done) => Ok(purchase.answer(done, false)),
        Outcome::Refused(refusal) => Err(refusal_of(purchase, refusal)),
    }
}

async fn refuse_used(tx: &mut ShardTx, purchase: &Purchase, code: Uuid) -> Result<PurchaseRefusal, BatchError> {
    warn_refused(purchase.terminal, CodeError::Used);
    store::log_refused_code(tx.conn(), purchase.terminal, CodeError::Used.word(), Some(code), purchase.received_wall)
        .await?;
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
        | Refusal::NotPaid
        | Refusal::WalkTooLong => PurchaseRefusal::Amount(purchase.amount_cents),
    }
}
