//! What the gate knows about some people at one moment, and how it judges them by it. Judging reads nothing and
//! waits for nothing.

use hunch_kernel::{DeviceId, MemberId, Points, WallTime, seeded_bug};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::sync::OnceLock;
use uuid::Uuid;

use crate::denial::{Denial, DenialCode};
use crate::limits::HouseLimits;
use crate::permit::{OfferPermit, PromptPermit, StakePermit};
use crate::prompts::{History, PromptsHad};
use crate::rules::{Rule, rule_for};
use crate::store::{Account, Place};

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
    /// Of everybody who is asked about, if prompts are: nobody without one is prompted.
    pub histories: HashMap<MemberId, History>,
}

impl Sitting {
    /// Where the member is at home: whose day is today. `None` for whom nobody was asked about.
    pub fn zone(&self, member: MemberId) -> Option<&TimeZone> {
        self.papers.as_ref().ok()?.accounts.get(&member).map(|account| &account.zone)
    }

    /// May this member stake in this category? Limits are looked at when the stake is charged.
    ///
    /// # Errors
    /// Why not: exclusion, break, age, place, in this order.
    pub fn stake(&self, member: MemberId, category: &str) -> Result<StakePermit, Denial> {
        let (account, place, age_reached) = self.judge(member, category)?;
        Ok(StakePermit {
            member,
            category: category.to_owned(),
            jurisdiction: place.jurisdiction.clone(),
            standing_version: account.standing.version,
            judged_at: self.now,
            age_reached,
            place_until: place.until,
            given_at: self.opened_wall,
            used_for: OnceLock::new(),
        })
    }

    /// THE gate: may this member be prompted to stake in this category, because of `cause`?
    ///
    /// # Errors
    /// Why not; also when limits are used up, so that nobody is asked to do what would be refused, after a loss, and when
    /// there were enough prompts.
    pub fn prompt(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        cause: Uuid,
        category: &str,
    ) -> Result<PromptPermit, Denial> {
        let account = self.may_prompt(member, cause, category)?;
        let standing_version = account.standing.version;
        Ok(PromptPermit {
            member,
            device,
            cause,
            category: category.to_owned(),
            standing_version,
            given_at: self.opened_wall,
        })
    }

    /// What [`Sitting::prompt`] would say, without a permit: for what is to be drawn from what is allowed.
    ///
    /// # Errors
    /// As there.
    pub fn allows_prompt(&self, member: MemberId, cause: Uuid, category: &str) -> Result<(), Denial> {
        self.may_prompt(member, cause, category).map(|_| ())
    }

    /// May this member be told of an offer of a shop? Exclusion, breaks, age, place and a wish for no prompts to stake do not
    /// stand in the way: it has no word of betting, and is what such members get instead.
    ///
    /// # Errors
    /// Why not: the member switched offers off, or is not known.
    pub fn offer(&self, member: MemberId, device: Option<DeviceId>) -> Result<OfferPermit, Denial> {
        let papers = self.papers.as_ref().map_err(|denial| *denial)?;
        let account = papers.accounts.get(&member).ok_or(Denial(DenialCode::Unavailable))?;
        if !account.standing.offers_on {
            return Err(Denial(DenialCode::OffersOff));
        }
        Ok(OfferPermit { member, device, standing_version: account.standing.version, given_at: self.opened_wall })
    }

    /// Notes a prompt that will be given, so that the next question of this sitting counts it.
    pub fn prompted(&mut self, member: MemberId, cause: Uuid) {
        if let Ok(papers) = &mut self.papers
            && let Some(history) = papers.histories.get_mut(&member)
        {
            history.give(cause, self.now);
        }
    }

    /// How many prompts a member had; none for whom it was not read.
    pub fn prompts_had(&self, member: MemberId) -> PromptsHad {
        let papers = self.papers.as_ref().ok();
        papers.and_then(|papers| papers.histories.get(&member)).map_or_else(PromptsHad::default, |h| h.had(self.now))
    }

    fn may_prompt(&self, member: MemberId, cause: Uuid, category: &str) -> Result<&Account, Denial> {
        let (account, ..) = self.judge(member, category)?;
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
        let history = self.papers.as_ref().ok().and_then(|papers| papers.histories.get(&member));
        history.ok_or(Denial(DenialCode::Unavailable))?.allows(cause, self.now)?;
        Ok(account)
    }

    /// The member, where they are, and the age they have reached.
    fn judge(&self, member: MemberId, category: &str) -> Result<(&Account, &Place, i16), Denial> {
        let papers = self.papers.as_ref().map_err(|denial| *denial)?;
        let account = papers.accounts.get(&member).ok_or(Denial(DenialCode::AgeUnproven))?;
        if !seeded_bug("gate-forgets-protection") {
            account.standing.protected(self.now)?;
        }
        account.one_account_each()?;
        // Age first, by the rule of the place if it is known, else by the mildest age anywhere.
        let place = account.place.as_ref();
        let ruling = place.map(|p| rule_for(&papers.rules, &p.jurisdiction, category, self.now));
        let years = ruling.map_or(MILDEST_AGE, |r| r.minimum_age);
        let reached = papers.ages.get(&member).ok_or(Denial(DenialCode::AgeUnproven))?;
        if *reached < years {
            return Err(Denial(DenialCode::UnderAge));
        }
        let place = place.ok_or(Denial(DenialCode::PlaceUnknown))?;
        if !ruling.is_some_and(|r| r.allowed) {
            return Err(Denial(DenialCode::PlaceNotAllowed));
        }
        Ok((account, place, *reached))
    }
}
