//! What the gate knows about some people at one moment, and how it judges them by it. Judging reads nothing and
//! waits for nothing.

use hunch_kernel::{DeviceId, MemberId, Points, WallTime, seeded_bug};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::OnceLock;

use crate::denial::{Denial, DenialCode};
use crate::limits::HouseLimits;
use crate::permit::{PromptPermit, StakePermit};
use crate::rules::{Rule, rule_for};
use crate::store::Account;

/// The age that is asked for where no rule says more.
pub(crate) const MILDEST_AGE: i16 = 18;

/// The gate with some people's papers before it. Permits are as old as the papers.
#[derive(Debug)]
pub struct Sitting {
    /// Or why nobody can be judged.
    pub(crate) papers: Result<Papers, Denial>,
    pub(crate) house: HouseLimits,
    /// Business time.
    pub(crate) now: Timestamp,
    /// Before anything was read.
    pub(crate) opened_wall: WallTime,
}

#[derive(Debug, Default)]
pub(crate) struct Papers {
    pub accounts: HashMap<MemberId, Account>,
    pub rules: Vec<Rule>,
    /// The greatest age any rule asks for that each has reached today; none for whom the vault does not know.
    pub ages: HashMap<MemberId, i16>,
}

impl Sitting {
    /// May this member stake in this category? Limits are looked at when the stake is charged.
    ///
    /// # Errors
    /// Why not: exclusion, break, age, place, in this order.
    pub fn stake(&self, member: MemberId, category: &str) -> Result<StakePermit, Denial> {
        let (account, jurisdiction) = self.judge(member, category)?;
        Ok(StakePermit {
            member,
            category: category.to_owned(),
            jurisdiction: jurisdiction.to_owned(),
            standing_version: account.standing.version,
            given_at: self.opened_wall,
            used_for: OnceLock::new(),
        })
    }

    /// THE gate: may this member be prompted to stake in this category?
    ///
    /// # Errors
    /// Why not; also when limits are used up, so that nobody is asked to do what would be refused.
    pub fn prompt(&self, member: MemberId, device: Option<DeviceId>, category: &str) -> Result<PromptPermit, Denial> {
        let (account, _) = self.judge(member, category)?;
        if !account.standing.prompts_on {
            return Err(Denial(DenialCode::OptedOut));
        }
        let limits = account.standing.limits(self.house);
        // Near a limit nobody is prompted: four fifths are near.
        let near = |used: Points, limit: Points| used.0.saturating_mul(5) >= limit.0.saturating_mul(4);
        if near(account.usage.day, limits.day) {
            return Err(Denial(DenialCode::DayLimit));
        }
        if near(account.usage.week, limits.week) {
            return Err(Denial(DenialCode::WeekLimit));
        }
        Ok(PromptPermit { member, device, standing_version: account.standing.version, given_at: self.opened_wall })
    }

    fn judge(&self, member: MemberId, category: &str) -> Result<(&Account, &str), Denial> {
        let papers = self.papers.as_ref().map_err(|denial| *denial)?;
        let account = papers.accounts.get(&member).ok_or(Denial(DenialCode::AgeUnproven))?;
        if !seeded_bug("gate-forgets-protection") {
            account.standing.protected(self.now)?;
        }
        account.one_account_each()?;
        // Age first, by the rule of the place if it is known, else by the mildest age anywhere.
        let place = account.place.as_deref();
        let ruling = place.map(|p| rule_for(&papers.rules, p, category, self.now));
        let years = ruling.map_or(MILDEST_AGE, |r| r.minimum_age);
        let reached = papers.ages.get(&member).ok_or(Denial(DenialCode::AgeUnproven))?;
        if *reached < years {
            return Err(Denial(DenialCode::UnderAge));
        }
        let jurisdiction = place.ok_or(Denial(DenialCode::PlaceUnknown))?;
        if !ruling.is_some_and(|r| r.allowed) {
            return Err(Denial(DenialCode::PlaceNotAllowed));
        }
        Ok((account, jurisdiction))
    }
}
