//! Whether what was said was answered: what a decision earned, known minutes or days later.
//!
//! A market is answered by a first look at it (the member opens the notice), an offer by a visit to its shop (a later
//! purchase there), each until a fixed time after the decision. An answer earns [`ANSWERED`], no answer by then
//! [`UNANSWERED`]. *Nothing* earns [`QUIET`] by definition, what it is worth not to be disturbed, and is never waited for.
//! What the gate withheld was never said: no answer is expected and none is learned.
//!
//! Whether somebody stakes, how much, and what comes of it earns nothing: a model that is rewarded for stakes learns to
//! find the people who stake much.
//!
//! Invariants
//! - Time is the log's own: the latest business time of the messages heard. So the same log gives the same answers,
//!   however late it is read.
//! - Each decision gets one answer. Memory is bounded: beyond [`WAITING_MAX`] questions of a member the oldest counts as
//!   unanswered.

use hunch_messages::Message;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// In thousandths.
pub const ANSWERED: i32 = 1_000;
pub const UNANSWERED: i32 = 0;
pub const QUIET: i32 = 50;
/// How long an answer counts, unless what was offered ends before.
pub const MARKET_WINDOW: SignedDuration = SignedDuration::from_hours(4);
pub const OFFER_WINDOW: SignedDuration = SignedDuration::from_hours(72);
const WAITING_MAX: usize = 4;

/// What would be an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The member opens the notice of this decision.
    Look,
    /// A later purchase at this shop.
    Visit(Uuid),
}

/// A decision that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Message that caused the decision.
    pub seq: i64,
    pub member: Uuid,
    pub cause: Uuid,
    pub answers: Answers,
    pub until: Timestamp,
    /// What the model was told of what was chosen, in thousandths.
    pub numbers: Vec<i32>,
}

/// A decision with what it earned, in thousandths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub question: Question,
    pub reward: i32,
    /// Business time of the message that told it.
    pub at: Timestamp,
}

/// All questions of a shard that have no answer yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    of_member: BTreeMap<Uuid, Vec<Question>>,
    overdue: BTreeSet<(Timestamp, i64, Uuid)>,
    clock: Option<Timestamp>,
}

impl Waiting {
    /// Waits for an answer.
    pub fn ask(&mut self, question: Question) {
        self.overdue.insert(question.key());
        self.of_member.entry(question.member).or_default().push(question);
    }

    /// What this message answers, in the order in which it was asked; then what gives way to the question that it may
    /// lead to; then what it shows to be overdue, soonest first.
    pub fn hear(&mut self, message: &Message) -> Vec<Answer> {
        let mut answers = Vec::new();
        self.clock = self.clock.max(when(message));
        if let Some(member) = message.member()
            && let Some(waiting) = self.of_member.get_mut(&member)
        {
            let answered: Vec<Question> = waiting.extract_if(.., |question| question.is_answered_by(message)).collect();
            let full = matches!(message, Message::PurchaseRecorded(_)) && waiting.len() >= WAITING_MAX;
            let gives_way = full.then(|| waiting.remove(0));
            answers.extend(answered.into_iter().map(|question| self.ended(question, ANSWERED)));
            answers.extend(gives_way.map(|question| self.ended(question, UNANSWERED)));
        }
        while let Some((until, seq, member)) = self.overdue.first().copied()
            && self.clock.is_some_and(|clock| until < clock)
        {
            let waiting = self.of_member.entry(member).or_default();
            let Some(at) = waiting.iter().position(|question| question.seq == seq) else {
                self.overdue.remove(&(until, seq, member));
                continue;
            };
            let question = waiting.remove(at);
            answers.push(self.ended(question, UNANSWERED));
        }
        answers
    }

    /// The first message from which something still waits.
    pub fn since(&self) -> Option<i64> {
        self.overdue.iter().map(|(_, seq, _)| *seq).min()
    }

    pub fn clock(&self) -> Option<Timestamp> {
        self.clock
    }

    /// As it was when the log had come to `clock`.
    pub fn resume(clock: Option<Timestamp>) -> Waiting {
        Waiting { clock, ..Waiting::default() }
    }

    fn ended(&mut self, question: Question, reward: i32) -> Answer {
        self.overdue.remove(&question.key());
        if self.of_member.get(&question.member).is_some_and(Vec::is_empty) {
            self.of_member.remove(&question.member);
        }
        // Whatever ends was asked about a message with a time, so the clock has begun.
        let at = self.clock.unwrap_or(question.until);
        Answer { question, reward, at }
    }
}

impl Question {
    /// One message causes one decision, so this is unique in a shard.
    fn key(&self) -> (Timestamp, i64, Uuid) {
        (self.until, self.seq, self.member)
    }

    fn is_answered_by(&self, message: &Message) -> bool {
        match (&self.answers, message) {
            (Answers::Look, Message::NoticeOpened(m)) => m.cause == self.cause && m.at <= self.until,
            // The purchase after which it was said is no answer to it.
            (Answers::Visit(merchant), Message::PurchaseRecorded(m)) => {
                m.merchant == *merchant && m.purchase != self.cause && m.purchased_at <= self.until
            }
            _ => false,
        }
    }
}

/// Business time at which a message says it happened, as we heard of it.
fn when(message: &Message) -> Option<Timestamp> {
    match message {
        Message::Posted(_) => None,
        Message::PurchaseRecorded(m) => Some(m.recorded_at),
        Message::PurchaseReturned(m) => Some(m.returned_at),
        Message::PurchaseReviewed(m) => Some(m.reviewed_at),
        Message::MemberJoined(m) => Some(m.at),
        Message::StandingChanged(m) => Some(m.at),
        Message::NoticeOpened(m) => Some(m.at),
        Message::MarketChanged(m) => Some(m.at),
        Message::StakeHeld(m) => Some(m.at),
        Message::StakeResolved(m) => Some(m.at),
        Message::PositionPaid(m) => Some(m.at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::tests::{at, bought};
    use hunch_messages::{NoticeOpened, PositionPaid, PurchaseRecorded, StakeResolved};

    const ME: Uuid = Uuid::from_u128(1);

    fn question(seq: i64, answers: Answers, until: &str) -> Question {
        let cause = Uuid::from_u128(seq as u128);
        Question { seq, member: ME, cause, answers, until: at(until), numbers: vec![1_000] }
    }

    fn staked(market: &str, points: i64, when: &str) -> Message {
        Message::StakeResolved(StakeResolved {
            v: 1,
            order: Uuid::nil(),
            member: ME,
            market: market.to_owned(),
            category: "sports".to_owned(),
            side: "yes".to_owned(),
            outcome: "filled".to_owned(),
            filled_hundredths: points,
            captured_points: points,
            released_points: 0,
            reason: None,
            at: at(when),
        })
    }

    fn bought_at(merchant: u128, purchase: u128, when: &str) -> Message {
        let Message::PurchaseRecorded(m) = bought(100, "cafe", at(when)) else { unreachable!() };
        let (merchant, purchase) = (Uuid::from_u128(merchant), Uuid::from_u128(purchase));
        Message::PurchaseRecorded(PurchaseRecorded { merchant, purchase, ..m })
    }

    fn earned(answers: &[Answer]) -> Vec<(i64, i32)> {
        answers.iter().map(|answer| (answer.question.seq, answer.reward)).collect()
    }

    fn opened(cause: u128, when: &str) -> Message {
        let (notice, cause) = (Uuid::nil(), Uuid::from_u128(cause));
        Message::NoticeOpened(NoticeOpened { v: 1, member: ME, notice, cause, at: at(when) })
    }

    #[test]
    fn a_look_answers_within_the_time_and_a_stake_answers_nothing() {
        let mut waiting = Waiting::default();
        waiting.ask(question(1, Answers::Look, "2026-11-23T12:00:00Z"));
        waiting.ask(question(2, Answers::Look, "2026-11-23T12:00:00Z"));
        assert_eq!(earned(&waiting.hear(&staked("A", 10, "2026-11-23T11:00:00Z"))), [], "staking is no answer");
        assert_eq!(earned(&waiting.hear(&opened(7, "2026-11-23T11:00:00Z"))), [], "another notice");
        assert_eq!(earned(&waiting.hear(&opened(1, "2026-11-23T11:30:00Z"))), [(1, ANSWERED)]);
        assert_eq!(earned(&waiting.hear(&opened(1, "2026-11-23T11:30:00Z"))), [], "once");
        let paid = Message::PositionPaid(PositionPaid {
            v: 1,
            position: Uuid::nil(),
            order: Uuid::nil(),
            member: ME,
            market: "B".to_owned(),
            category: "sports".to_owned(),
            side: "yes".to_owned(),
            result: "no".to_owned(),
            outcome: "lost".to_owned(),
            cost_points: 20,
            paid_points: 0,
            at: at("2026-11-23T12:00:00Z"),
        });
        assert_eq!(earned(&waiting.hear(&paid)), [], "the last moment still counts");
        assert_eq!(earned(&waiting.hear(&opened(2, "2026-11-23T12:00:01Z"))), [(2, UNANSWERED)]);
        assert_eq!(waiting, Waiting::resume(Some(at("2026-11-23T12:00:01Z"))), "nothing is kept");
    }

    #[test]
    fn an_offer_is_answered_at_its_shop_and_not_by_the_purchase_that_caused_it() {
        let mut waiting = Waiting::default();
        waiting.ask(question(7, Answers::Visit(Uuid::from_u128(5)), "2026-11-23T12:00:00Z"));
        assert_eq!(earned(&waiting.hear(&bought_at(5, 7, "2026-11-23T10:00:00Z"))), []);
        assert_eq!(earned(&waiting.hear(&bought_at(6, 8, "2026-11-23T10:00:00Z"))), []);
        assert_eq!(earned(&waiting.hear(&bought_at(5, 9, "2026-11-23T11:00:00Z"))), [(7, ANSWERED)]);
        assert_eq!(earned(&waiting.hear(&bought_at(5, 10, "2026-11-23T11:00:00Z"))), [], "once");
    }

    #[test]
    fn the_oldest_question_gives_way_and_the_earliest_tells_where_to_read_from() {
        let mut waiting = Waiting::default();
        for seq in 1..=4 {
            assert_eq!(earned(&waiting.hear(&bought_at(1, 50, "2026-11-23T10:00:00Z"))), []);
            waiting.ask(question(seq, Answers::Look, "2026-11-23T12:00:00Z"));
        }
        assert_eq!(earned(&waiting.hear(&bought_at(1, 50, "2026-11-23T10:00:00Z"))), [(1, UNANSWERED)]);
        waiting.ask(question(5, Answers::Look, "2026-11-23T11:00:00Z"));
        assert_eq!(waiting.since(), Some(2));
        let ended = waiting.hear(&staked("none of these", 10, "2026-11-23T18:00:00Z"));
        assert_eq!(earned(&ended), [(5, 0), (2, 0), (3, 0), (4, 0)], "by the time they were overdue");
        assert_eq!(waiting.since(), None);
    }
}
