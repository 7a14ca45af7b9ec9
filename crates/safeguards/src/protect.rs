//! What members do to protect themselves: limits, breaks, exclusion, no prompts. Every change raises the standing's
//! version in the same transaction, so that whatever was permitted before is void.

use async_trait::async_trait;
use hunch_kernel::{MemberId, Points, seeded_bug};
use hunch_ledger::{BatchError, ShardHandler};
use hunch_log::ShardTx;
use hunch_messages::{Message, StandingChanged};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::exclusion::{BreakTerm, ExclusionTerm, Protection, ReturnRefusal, returns_at};
use crate::limits::{HouseLimits, LimitRefusal, Limits, Raise};
use crate::store::{self, Standing};

/// What a member asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Points a day and a week; `None` is the house's limit.
    Limits {
        day: Option<Points>,
        week: Option<Points>,
    },
    /// Makes a raise that has waited long enough count.
    ConfirmRaise,
    Exclude(ExclusionTerm),
    /// Ends an exclusion whose term is over, 24 hours later.
    AskToReturn,
    Break(BreakTerm),
    /// Whether to be prompted to stake.
    Prompts(bool),
    /// Whether to be told of offers of shops.
    Offers(bool),
}

#[derive(Clone, Debug)]
pub struct StandingRequest {
    pub member: MemberId,
    pub home_zone: String,
    pub change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefusal {
    #[error(transparent)]
    Limit(LimitRefusal),
    #[error("you are excluded from staking, so your limits stay as they are; change them when you have returned")]
    Excluded,
    #[error(transparent)]
    Return(ReturnRefusal),
}

pub type ChangeAnswer = Result<Changed, ChangeRefusal>;

/// How a member stands after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    pub version: i64,
    /// In force.
    pub limits: Limits,
    pub raise: Option<Raise>,
    pub protection: Option<Protection>,
}

/// Changes of standing, in the member's shard.
pub struct StandingHandler {
    pub house: HouseLimits,
}

#[async_trait]
impl ShardHandler for StandingHandler {
    type Request = StandingRequest;
    type Answer = ChangeAnswer;
    const NAME: &'static str = "standing";

    async fn handle(&self, tx: &mut ShardTx, requests: &[StandingRequest]) -> Result<Vec<ChangeAnswer>, BatchError> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            let now = tx.now();
            let before = store::standing(tx.conn(), request.member).await?;
            answers.push(match decide(&before, request, self.house, now) {
                Ok(after) if after == before => Ok(before.told(self.house, now)),
                Ok(mut after) => {
                    after.version += 1;
                    store::write_standing(tx.conn(), request.member, &after).await?;
                    keep(tx, request.member, request.change, &after).await?;
                    tx.announce(Message::StandingChanged(StandingChanged {
                        v: 1,
                        member: request.member.0,
                        standing_version: after.version,
                        cause: cause(request.change).to_owned(),
                        at: now,
                    }));
                    Ok(after.told(self.house, now))
                }
                Err(refusal) => Err(refusal),
            });
        }
        Ok(answers)
    }
}

impl Standing {
    fn told(&self, house: HouseLimits, now: Timestamp) -> Changed {
        Changed {
            version: self.version,
            limits: self.limits(house),
            raise: self.own.raise,
            protection: self.protection(now),
        }
    }
}

/// Pure: what the change makes of the standing. Never shortens a protection (S3).
fn decide(
    standing: &Standing,
    request: &StandingRequest,
    house: HouseLimits,
    now: Timestamp,
) -> Result<Standing, ChangeRefusal> {
    let mut next = standing.clone();
    match request.change {
        Change::Limits { .. } | Change::ConfirmRaise if standing.exclusion.protection(now).is_some() => {
            return Err(ChangeRefusal::Excluded);
        }
        Change::Limits { day, week } => {
            let zone = TimeZone::get(&request.home_zone).unwrap_or(TimeZone::UTC);
            next.own = standing.own.wish(day, week, now, &zone, house).map_err(ChangeRefusal::Limit)?;
        }
        Change::ConfirmRaise => next.own = standing.own.confirm(now).map_err(ChangeRefusal::Limit)?,
        Change::Exclude(term) => {
            next.exclusion = standing.exclusion.begin(term, now);
            // A higher limit that was asked for before is not what somebody wants who returns.
            next.own.raise = None;
        }
        Change::AskToReturn => {
            next.exclusion = standing.exclusion.ask_to_return(now).map_err(ChangeRefusal::Return)?;
        }
        Change::Break(term) => {
            let earlier = if seeded_bug("break-shortened") { now } else { standing.break_until.unwrap_or(now) };
            next.break_until = Some(earlier.max(term.ends(now)));
        }
        Change::Prompts(on) => next.prompts_on = on,
        Change::Offers(on) => next.offers_on = on,
    }
    Ok(next)
}

/// Exclusions, breaks and returns are kept for ever, for proof.
async fn keep(tx: &mut ShardTx, member: MemberId, change: Change, standing: &Standing) -> Result<(), sqlx::Error> {
    let now = tx.now();
    let (kind, term, until) = match change {
        Change::Exclude(term) => ("exclusion", term.as_str(), standing.exclusion.until),
        Change::Break(term) => ("break", term.as_str(), standing.break_until),
        Change::AskToReturn => {
            let ended = standing.exclusion.until.unwrap_or(now);
            return store::log_return(tx.conn(), member, ended, now, returns_at(now)).await;
        }
        Change::Limits { .. } | Change::ConfirmRaise | Change::Prompts(_) | Change::Offers(_) => return Ok(()),
    };
    store::log_protection(tx.conn(), member, kind, term, now, until.unwrap_or(Timestamp::MAX)).await
}

fn cause(change: Change) -> &'static str {
    match change {
        Change::Limits { .. } => "limits",
        Change::ConfirmRaise => "raise_confirmed",
        Change::Exclude(_) => "exclusion",
        Change::AskToReturn => "return_asked",
        Change::Break(_) => "break",
        Change::Prompts(_) => "prompts",
        Change::Offers(_) => "offers",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    const HOUSE: HouseLimits = HouseLimits { day: Points(1_000), week: Points(5_000) };

    fn change() -> impl Strategy<Value = Change> {
        let points = || prop::option::of((0i64..2_000).prop_map(Points));
        prop_oneof![
            (points(), points()).prop_map(|(day, week)| Change::Limits { day, week }),
            Just(Change::ConfirmRaise),
            Just(Change::Exclude(ExclusionTerm::SixMonths)),
            Just(Change::Exclude(ExclusionTerm::Life)),
            Just(Change::AskToReturn),
            Just(Change::Break(BreakTerm::Day)),
            Just(Change::Break(BreakTerm::SixWeeks)),
            any::<bool>().prop_map(Change::Prompts),
            any::<bool>().prop_map(Change::Offers),
        ]
    }

    proptest! {
        /// S3 over any history and any passing of time: an end never comes nearer, an exclusion ends only 24 hours after
        /// somebody asked whose term was over, and while it lasts no limit moves. That limits do not rise early by
        /// themselves is the subject of `limits`.
        #[test]
        fn nothing_that_protects_loosens_early(history in prop::collection::vec((change(), 0i64..2_500), 1..40)) {
            let mut standing = Standing::new();
            let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            let mut asked: Option<Timestamp> = None;
            let mut excluded = false;
            for (change, hours) in history {
                now += SignedDuration::from_hours(hours);
                if excluded && standing.exclusion.protection(now).is_none() {
                    let asked = asked.expect("nobody returns who did not ask");
                    prop_assert!(now.duration_since(asked) >= SignedDuration::from_hours(24));
                    excluded = false;
                }
                let request = StandingRequest { member: MemberId(uuid::Uuid::nil()), home_zone: "America/New_York".into(), change };
                let Ok(next) = decide(&standing, &request, HOUSE, now) else { continue };
                prop_assert!(next.exclusion.until >= standing.exclusion.until);
                prop_assert!(next.break_until >= standing.break_until);
                match change {
                    Change::Exclude(_) => (excluded, asked) = (true, None),
                    Change::AskToReturn => {
                        prop_assert!(standing.exclusion.until.is_some_and(|term| term <= now), "not before the term is over");
                        prop_assert!(next.exclusion.protection(now).is_some(), "asking alone lets nobody in");
                        asked = asked.or(Some(now));
                    }
                    Change::Limits { .. } | Change::ConfirmRaise => prop_assert!(!excluded, "no limit moves while excluded"),
                    Change::Break(_) | Change::Prompts(_) | Change::Offers(_) => prop_assert_eq!(next.own, standing.own),
                }
                standing = next;
            }
        }
    }
}
