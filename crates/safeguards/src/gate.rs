//! The gate: who may stake, who may be prompted, judged at the moment it counts.

use hunch_db::Database;
use hunch_kernel::{Clocks, DeviceId, MemberId, OrderId, Points, seeded_bug};
use hunch_log::ShardTx;
use hunch_people::People;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use std::collections::HashMap;
use std::sync::OnceLock;

use crate::denial::{Denial, DenialCode};
use crate::limits::{HouseLimits, Limits, Usage, Windows};
use crate::permit::{PromptPermit, StakePermit};
use crate::rules::{Rule, rule_for};
use crate::store::{self, Account, Charged, Standing};

/// How long a place is believed.
const PLACE_MINUTES: i64 = 20;

/// A member's protections, for the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Rises with every change.
    pub version: i64,
    pub limits: Limits,
    pub usage: Usage,
    /// A raise that waits: day, week (None is the programme's own limit), and from when on it can be confirmed.
    pub raise: Option<(Option<Points>, Option<Points>, Timestamp)>,
    /// End of a break or exclusion; `Timestamp::MAX` for life.
    pub protected_until: Option<Timestamp>,
    pub prompts_on: bool,
}

#[derive(Clone)]
pub struct Safeguards {
    database: Database,
    people: People,
    clocks: Clocks,
    house: HouseLimits,
}

impl Safeguards {
    pub fn new(database: Database, people: People, clocks: Clocks, house: HouseLimits) -> Safeguards {
        Safeguards { database, people, clocks, house }
    }

    pub fn house(&self) -> HouseLimits {
        self.house
    }

    /// Says where the member is, from coordinates that are forgotten at once.
    ///
    /// # Errors
    /// `PlaceUnknown` if that cannot be said; an earlier place does not count any more then.
    pub async fn attest_place(
        &self,
        member: MemberId,
        latitude: f64,
        longitude: f64,
        accuracy_metres: f64,
    ) -> Result<String, Denial> {
        let now = self.clocks.business.now();
        let found = crate::place::jurisdiction_at(latitude, longitude, accuracy_metres);
        let expires = match &found {
            Some(_) => now.saturating_add(SignedDuration::from_mins(PLACE_MINUTES)).unwrap_or(now),
            None => now,
        };
        store::set_place(self.database.app(), member, found.as_deref().unwrap_or(""), expires).await?;
        found.ok_or(Denial(DenialCode::PlaceUnknown))
    }

    /// May this member stake in this category now? Limits are looked at when the stake is charged.
    ///
    /// # Errors
    /// Why not: exclusion, break, age, place, in this order.
    pub async fn permit_stake(&self, member: MemberId, category: &str) -> Result<StakePermit, Denial> {
        let (standing, jurisdiction) = self.judge(member, category).await?;
        Ok(StakePermit {
            member,
            category: category.to_owned(),
            jurisdiction,
            standing_version: standing.version,
            given_at: self.clocks.wall.now(),
            used_for: OnceLock::new(),
        })
    }

    /// THE gate: may this member be prompted to stake in this category now?
    ///
    /// # Errors
    /// Why not; also when limits are used up, so that nobody is asked to do what would be refused.
    pub async fn permit_prompt(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        category: &str,
    ) -> Result<PromptPermit, Denial> {
        let (standing, _) = self.judge(member, category).await?;
        if !standing.prompts_on {
            return Err(Denial(DenialCode::OptedOut));
        }
        let zone = self.zone(member).await?;
        let windows = Windows::at(self.clocks.business.now(), &zone);
        let usage = store::usage(self.database.app(), member, windows).await?;
        let limits = standing.limits(self.house);
        // Near a limit nobody is prompted: four fifths are near.
        let near = |used: Points, limit: Points| used.0.saturating_mul(5) >= limit.0.saturating_mul(4);
        if near(usage.day, limits.day) {
            return Err(Denial(DenialCode::DayLimit));
        }
        if near(usage.week, limits.week) {
            return Err(Denial(DenialCode::WeekLimit));
        }
        let given_at = self.clocks.wall.now();
        Ok(PromptPermit { member, device, standing_version: standing.version, given_at })
    }

    /// What a member may see of their own protections.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read.
    pub async fn overview(&self, member: MemberId) -> Result<Overview, Denial> {
        let standing = store::standing(self.database.app(), member).await?;
        let zone = self.zone(member).await?;
        let now = self.clocks.business.now();
        let usage = store::usage(self.database.app(), member, Windows::at(now, &zone)).await?;
        let protected =
            standing.excluded_until.into_iter().chain(standing.break_until).max().filter(|until| *until > now);
        Ok(Overview {
            version: standing.version,
            limits: standing.limits(self.house),
            usage,
            raise: standing.raise_after.map(|after| (standing.raise_day, standing.raise_week, after)),
            protected_until: protected,
            prompts_on: standing.prompts_on,
        })
    }

    async fn judge(&self, member: MemberId, category: &str) -> Result<(Standing, String), Denial> {
        let now = self.clocks.business.now();
        let standing = store::standing(self.database.app(), member).await?;
        if !seeded_bug("gate-forgets-protection") {
            standing.protected(now)?;
        }
        let rules: Vec<Rule> = store::rules(self.database.app()).await?;
        let place = store::place(self.database.app(), member, now).await?;
        // Age first, by the rule of the place if it is known, else by the mildest age anywhere.
        let ruling = place.as_deref().map(|p| rule_for(&rules, p, category, now));
        let years = ruling.map_or(18, |r| r.minimum_age);
        let mut day = now.to_zoned(self.zone(member).await?).date();
        if seeded_bug("age-by-year") {
            day = day.last_of_year();
        }
        let vault = self.people.vault();
        let ages = vault.are_at_least(&[member], years, day).await.map_err(|_| Denial(DenialCode::Unavailable))?;
        match ages.get(&member) {
            None => return Err(Denial(DenialCode::AgeUnproven)),
            Some(false) => return Err(Denial(DenialCode::UnderAge)),
            Some(true) => {}
        }
        let jurisdiction = place.ok_or(Denial(DenialCode::PlaceUnknown))?;
        if !ruling.is_some_and(|r| r.allowed) {
            return Err(Denial(DenialCode::PlaceNotAllowed));
        }
        Ok((standing, jurisdiction))
    }

    async fn zone(&self, member: MemberId) -> Result<TimeZone, Denial> {
        let found = self.people.member(member).await.map_err(|_| Denial(DenialCode::Unavailable))?;
        let zone = found.map(|m| m.home_zone).ok_or(Denial(DenialCode::AgeUnproven))?;
        TimeZone::get(&zone).map_err(|_| Denial(DenialCode::Unavailable))
    }

    /// Just before the socket: has nothing changed since the permit was given, and is it fresh?
    ///
    /// # Errors
    /// `StandingChanged` or `PermitExpired`.
    pub async fn prompt_still_holds(&self, permit: &PromptPermit) -> Result<(), Denial> {
        if permit.expired(self.clocks.wall.now()) {
            return Err(Denial(DenialCode::PermitExpired));
        }
        let standing = store::standing(self.database.app(), permit.member).await?;
        if standing.version == permit.standing_version { Ok(()) } else { Err(Denial(DenialCode::StandingChanged)) }
    }
}

/// Charges stakes to their members' limits, inside the stakes' own batch: standing and limits are read again under
/// the shard's lock, and a later stake of the batch sees the earlier ones.
pub struct Charges {
    accounts: HashMap<MemberId, Account>,
    charged: Vec<Charged>,
    house: HouseLimits,
    now: Timestamp,
    wall: Timestamp,
}

impl Charges {
    /// Reads what these members have staked and may stake. `wall` is the wall time now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        tx: &mut ShardTx,
        members: &[MemberId],
        house: HouseLimits,
        wall: Timestamp,
    ) -> Result<Charges, sqlx::Error> {
        let now = tx.now();
        let accounts = store::load_charges(tx.conn(), members, now).await?;
        Ok(Charges { accounts, charged: Vec::new(), house, now, wall })
    }

    /// Whether one more stake could be charged. Charges nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, order: OrderId, permit: &StakePermit, points: Points) -> Result<(), Denial> {
        self.judge(order, permit, points).map(|_| ())
    }

    /// Charges one stake. A refused one charges nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn charge(&mut self, order: OrderId, permit: &StakePermit, points: Points) -> Result<(), Denial> {
        let after = self.judge(order, permit, points)?;
        let account = self.accounts.get_mut(&permit.member).ok_or(Denial(DenialCode::Unavailable))?;
        account.usage = after;
        self.charged.push((order, permit.member, account.windows, points, permit.standing_version));
        Ok(())
    }

    fn judge(&self, order: OrderId, permit: &StakePermit, points: Points) -> Result<Usage, Denial> {
        let account = self.accounts.get(&permit.member).ok_or(Denial(DenialCode::Unavailable))?;
        account.standing.protected(self.now)?;
        if account.standing.version != permit.standing_version {
            return Err(Denial(DenialCode::StandingChanged));
        }
        if permit.expired(self.wall) || !permit.use_for(order) {
            return Err(Denial(DenialCode::PermitExpired));
        }
        account.standing.limits(self.house).bear(account.usage, points)
    }

    /// Writes what was charged.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write(self, tx: &mut ShardTx) -> Result<(), sqlx::Error> {
        store::write_charges(tx.conn(), &self.charged).await
    }
}

/// Gives the unfilled part of an order back to the windows it was charged to. Safe to repeat with the same sum:
/// `unfilled` is the total that came back, not an increment.
///
/// # Errors
/// When the database fails.
pub async fn restore(tx: &mut ShardTx, order: OrderId, unfilled: Points) -> Result<(), sqlx::Error> {
    store::restore(tx.conn(), order, unfilled).await
}

/// Whether a member's standing is still the one a stake was permitted at. Asked just before the socket.
///
/// # Errors
/// When the database fails: then the order is not sent.
pub async fn still_holds(
    conn: &mut PgConnection,
    member: MemberId,
    standing_version: i64,
) -> Result<bool, sqlx::Error> {
    Ok(store::standing(conn, member).await?.version == standing_version)
}
