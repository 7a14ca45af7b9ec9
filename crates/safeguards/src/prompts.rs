//! How often someone may be prompted to stake, and how long nobody is prompted after a loss or a refused stake.
//!
//! Invariants
//! - These rules stand on stored rows. A loss and a refusal are written in the transaction that books them, a prompt in
//!   the transaction that stores what is said. So a restart forgets nothing, and every process judges by the same.
//! - A prompt counts once, however often it is sent or fetched; it is judged by the prompts before it.
//! - Two processes cannot together give more prompts than the rules allow: [`give_prompts`] takes a lock for each member
//!   and judges again by what is stored then.

use hunch_kernel::MemberId;
use hunch_log::ShardTx;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::denial::{Denial, DenialCode};
use crate::permit::PromptPermit;
use crate::store::prompts as store;

/// Prompts to stake in any 24 hours, hence also on any calendar day. Cards count as pushes do.
pub const PROMPTS_DAY_MAX: usize = 3;
/// Prompts to stake in any seven days.
pub const PROMPTS_WEEK_MAX: usize = 12;
const DAY: SignedDuration = SignedDuration::from_hours(24);
pub(crate) const WEEK: SignedDuration = SignedDuration::from_hours(24 * 7);
/// Between one prompt and the next.
const GAP: SignedDuration = SignedDuration::from_mins(30);
/// After a loss or a refused stake nobody is prompted for this long.
pub const COOL_OFF: SignedDuration = SignedDuration::from_hours(4);

/// Where a prompt is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    Push,
    Card,
}

impl Surface {
    pub fn as_str(self) -> &'static str {
        match self {
            Surface::Push => "push",
            Surface::Card => "card",
        }
    }
}

/// How many prompts a member had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptsHad {
    /// In the last 24 hours.
    pub day: u32,
    /// In the last seven days.
    pub week: u32,
}

/// What is stored of a member's setbacks and prompts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub last_loss: Option<Timestamp>,
    pub last_rejection: Option<Timestamp>,
    /// Cause and time of the prompts of the last weeks, oldest first.
    pub prompts: Vec<(Uuid, Timestamp)>,
}

impl History {
    /// May this member be prompted because of `cause`? A time that lies ahead counts as just now: clocks may differ.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, cause: Uuid, now: Timestamp) -> Result<(), Denial> {
        let recent = |at: Option<Timestamp>| at.is_some_and(|at| now.duration_since(at) < COOL_OFF);
        if recent(self.last_loss) {
            return Err(Denial(DenialCode::AfterLoss));
        }
        if recent(self.last_rejection) {
            return Err(Denial(DenialCode::AfterRejection));
        }
        // What was given already is no second prompt when it is sent or fetched: those before it count.
        let given = self.prompts.iter().position(|(known, _)| *known == cause);
        let (made, before) =
            given.map_or((now, &self.prompts[..]), |place| (self.prompts[place].1, &self.prompts[..place]));
        let within = |span| before.iter().filter(|(_, at)| made.duration_since(*at) < span).count();
        if within(DAY) >= PROMPTS_DAY_MAX {
            Err(Denial(DenialCode::PromptCapDay))
        } else if within(WEEK) >= PROMPTS_WEEK_MAX {
            Err(Denial(DenialCode::PromptCapWeek))
        } else if within(GAP) > 0 {
            Err(Denial(DenialCode::PromptGap))
        } else {
            Ok(())
        }
    }

    pub fn had(&self, now: Timestamp) -> PromptsHad {
        let within = |span| self.prompts.iter().filter(|(_, at)| now.duration_since(*at) < span).count() as u32;
        PromptsHad { day: within(DAY), week: within(WEEK) }
    }

    pub fn give(&mut self, cause: Uuid, now: Timestamp) {
        self.prompts.push((cause, now));
    }
}

/// Why prompts were not given.
#[derive(Debug, thiserror::Error)]
pub enum GiveError {
    /// What a permit was given by has changed meanwhile: read again, and decide anew. Nothing may be written.
    #[error("a prompt was overtaken: {0}")]
    Overtaken(Denial),
    #[error("safeguards storage failed")]
    Storage(#[from] sqlx::Error),
}

/// Uses permits up: writes that these prompts are given, in the transaction that stores what is said. The members are
/// locked for the rest of that transaction and judged again by what is stored.
///
/// # Errors
/// Any error rules out the transaction's commit.
pub async fn give_prompts(
    conn: &mut PgConnection,
    permits: Vec<PromptPermit>,
    surface: Surface,
    now: Timestamp,
) -> Result<(), GiveError> {
    if permits.is_empty() {
        return Ok(());
    }
    let mut members: Vec<MemberId> = permits.iter().map(|permit| permit.member).collect();
    members.sort_unstable();
    members.dedup();
    store::lock(conn, &members).await?;
    let mut histories = store::histories(conn, &members, now).await?;
    let versions = store::versions(conn, &members).await?;
    for permit in &permits {
        if versions.get(&permit.member) != Some(&permit.standing_version) {
            return Err(GiveError::Overtaken(Denial(DenialCode::StandingChanged)));
        }
        let history = histories.entry(permit.member).or_default();
        history.allows(permit.cause, now).map_err(GiveError::Overtaken)?;
        history.give(permit.cause, now);
    }
    Ok(store::insert(conn, &permits, surface, now).await?)
}

/// Notes that these members were paid less than they had staked, in the shard transaction that pays them.
///
/// # Errors
/// When the database fails: then the payment fails too.
pub async fn note_losses(tx: &mut ShardTx, members: &[MemberId]) -> Result<(), sqlx::Error> {
    let now = tx.now();
    store::note_losses(tx.conn(), members, now).await
}

/// Notes that a stake of these members filled nothing, in the shard transaction that ends it.
///
/// # Errors
/// When the database fails: then the order does not end.
pub async fn note_rejections(tx: &mut ShardTx, members: &[MemberId]) -> Result<(), sqlx::Error> {
    let now = tx.now();
    store::note_rejections(tx.conn(), members, now).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(minutes: i64) -> Timestamp {
        "2026-11-23T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
    }

    fn cause(n: usize) -> Uuid {
        Uuid::from_u128(n as u128)
    }

    fn had(minutes: &[i64]) -> History {
        let prompts = minutes.iter().enumerate().map(|(n, minute)| (cause(n), at(*minute))).collect();
        History { prompts, ..History::default() }
    }

    fn code(history: &History, now: Timestamp) -> Option<DenialCode> {
        history.allows(Uuid::from_u128(999), now).err().map(|denial| denial.0)
    }

    #[test]
    fn nobody_is_prompted_for_four_hours_after_a_loss_or_a_refused_stake() {
        let lost = History { last_loss: Some(at(0)), ..History::default() };
        let refused = History { last_rejection: Some(at(0)), ..History::default() };
        for (history, why) in [(&lost, DenialCode::AfterLoss), (&refused, DenialCode::AfterRejection)] {
            assert_eq!(code(history, at(-5)), Some(why), "another process's clock is ahead");
            assert_eq!(code(history, at(239)), Some(why));
            assert_eq!(code(history, at(240)), None);
        }
    }

    #[test]
    fn prompts_are_few_and_far_between() {
        assert_eq!(code(&had(&[0]), at(29)), Some(DenialCode::PromptGap));
        assert_eq!(code(&had(&[0]), at(30)), None);
        assert_eq!(code(&had(&[0, 60, 120]), at(24 * 60 - 1)), Some(DenialCode::PromptCapDay));
        assert_eq!(code(&had(&[0, 60, 120]), at(24 * 60)), None);
        let spread: Vec<i64> = (0..12).map(|n| n * 12 * 60).collect();
        assert_eq!(code(&had(&spread), at(24 * 7 * 60 - 1)), Some(DenialCode::PromptCapWeek));
        assert_eq!(code(&had(&spread), at(24 * 7 * 60)), None);
        assert_eq!(had(&spread).had(at(24 * 6 * 60)), PromptsHad { day: 1, week: 12 });
    }

    #[test]
    fn what_was_given_already_is_not_a_second_prompt() {
        let history = had(&[0, 60, 120]);
        for n in 0..3 {
            assert_eq!(history.allows(cause(n), at(125)), Ok(()), "sent again, or fetched");
        }
        let lost = History { last_loss: Some(at(121)), ..history };
        assert_eq!(
            lost.allows(cause(2), at(125)),
            Err(Denial(DenialCode::AfterLoss)),
            "and still no prompt after a loss"
        );
    }

    proptest! {
        /// Whoever asks whenever: no 24 hours ever hold more than three, no seven days more than twelve.
        #[test]
        fn the_caps_hold_over_any_history(pauses in prop::collection::vec(0i64..400, 1..120)) {
            let (mut history, mut minute) = (History::default(), 0);
            for (n, pause) in pauses.iter().enumerate() {
                minute += pause;
                if history.allows(cause(n), at(minute)).is_ok() {
                    history.give(cause(n), at(minute));
                }
            }
            let times: Vec<Timestamp> = history.prompts.iter().map(|(_, at)| *at).collect();
            for (span, most) in [(DAY, PROMPTS_DAY_MAX), (WEEK, PROMPTS_WEEK_MAX), (GAP, 1)] {
                for (n, first) in times.iter().enumerate() {
                    prop_assert!(times[n..].iter().filter(|at| at.duration_since(*first) < span).count() <= most);
                }
            }
        }
    }
}
