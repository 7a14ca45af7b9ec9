//! The gate: who may stake, who may be prompted, judged at the moment it counts.

use hunch_db::Database;
use hunch_kernel::{Clocks, DeviceId, MemberId, OrderId, Points, WallTime, seeded_bug};
use hunch_log::ShardTx;
use hunch_people::People;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

use crate::denial::{Denial, DenialCode};
use crate::exclusion::Protection;
use crate::limits::{HouseLimits, Limits, Raise, Usage};
use crate::permit::{OfferPermit, PromptPermit, StakePermit};
use crate::prompts::History;
use crate::rules::Rule;
use crate::sitting::{MILDEST_AGE, Papers, Sitting};
use crate::store::{self, Account, Charged};

/// How long a place is believed.
const PLACE_MINUTES: i64 = 20;

/// A member's protections, for the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Rises with every change.
    pub version: i64,
    pub limits: Limits,
    pub usage: Usage,
    /// Higher limits that wait and do not count yet.
    pub raise: Option<Raise>,
    /// The break or exclusion that is in force.
    pub protection: Option<Protection>,
    pub prompts_on: bool,
    pub offers_on: bool,
}

/// A place that is given, not found: only a sandbox has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TownPlace {
    pub latitude: f64,
    pub longitude: f64,
    pub accuracy_metres: f64,
}

#[derive(Clone)]
pub struct Safeguards {
    pub(crate) database: Database,
    pub(crate) people: People,
    pub(crate) clocks: Clocks,
    house: HouseLimits,
    /// Where the visitors of a sandbox are.
    town: Option<Arc<str>>,
}

impl Safeguards {
    pub fn new(database: Database, people: People, clocks: Clocks, house: HouseLimits) -> Safeguards {
        Safeguards { database, people, clocks, house, town: None }
    }

    /// In a sandbox: who is let in by one of its codes is in this town.
    ///
    /// # Errors
    /// `PlaceUnknown` when no state or country is found there.
    pub fn with_town(self, at: TownPlace) -> Result<Safeguards, Denial> {
        let found = crate::place::jurisdiction_at(at.latitude, at.longitude, at.accuracy_metres);
        let town = found.ok_or(Denial(DenialCode::PlaceUnknown))?;
        Ok(Safeguards { town: Some(town.into()), ..self })
    }

    /// The town of a sandbox, if it has one.
    pub fn town(&self) -> Option<&str> {
        self.town.as_deref()
    }

    /// Somebody came in with a code of the sandbox. Does nothing where the sandbox has no town.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn arrive_in_town(&self, member: MemberId) -> Result<(), Denial> {
        if self.town.is_some() {
            store::arrive_in_town(self.database.app(), member, self.clocks.business.now()).await?;
        }
        Ok(())
    }

    /// Whether this member is in the sandbox's town by the code they came with, and their phone says nothing else.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_in_town(&self, member: MemberId) -> Result<bool, Denial> {
        Ok(self.town.is_some() && store::is_in_town(self.database.app(), member, self.clocks.business.now()).await?)
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

    /// Reads what is needed to judge these people now. Nobody is let through when it cannot be read.
    pub async fn sit(&self, members: &[MemberId]) -> Sitting {
        self.sitting(members, true).await
    }

    async fn sitting(&self, members: &[MemberId], prompts: bool) -> Sitting {
        let (now, opened_wall) = (self.clocks.business.now(), self.clocks.wall.now());
        Sitting { papers: self.papers(members, prompts, now).await, house: self.house, now, opened_wall }
    }

    async fn papers(&self, members: &[MemberId], prompts: bool, now: Timestamp) -> Result<Papers, Denial> {
        if members.is_empty() {
            return Ok(Papers::default());
        }
        let mut conn = self.database.app().acquire().await?;
        let accounts = store::accounts(&mut conn, members, now, self.town()).await?;
        let rules: Vec<Rule> = store::rules(&mut conn).await?;
        let histories =
            if prompts { store::prompts::histories(&mut conn, members, now).await? } else { HashMap::default() };
        drop(conn);
        let day = |account: &Account| {
            let day = now.to_zoned(account.zone.clone()).date();
            if seeded_bug("age-by-year") { day.last_of_year() } else { day }
        };
        let asked: Vec<(MemberId, Date)> = accounts.iter().map(|(member, account)| (*member, day(account))).collect();
        let steps: Vec<i16> = rules.iter().map(|r| r.minimum_age).chain([MILDEST_AGE]).collect();
        let ages = self.people.vault().ages_reached(&asked, &steps).await;
        let ages = ages.map_err(|_| Denial(DenialCode::Unavailable))?;
        Ok(Papers { accounts, rules, ages, histories })
    }

    /// May this member stake in this category now? See [`Sitting::stake`].
    ///
    /// # Errors
    /// Why not.
    pub async fn permit_stake(&self, member: MemberId, category: &str) -> Result<StakePermit, Denial> {
        self.sitting(&[member], false).await.stake(member, category)
    }

    /// May this member be prompted now? See [`Sitting::prompt`].
    ///
    /// # Errors
    /// Why not.
    pub async fn permit_prompt(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        cause: Uuid,
        category: &str,
    ) -> Result<PromptPermit, Denial> {
        self.sit(&[member]).await.prompt(member, device, cause, category)
    }

    /// May this member be told of an offer of a shop now? See [`Sitting::offer`].
    ///
    /// # Errors
    /// Why not.
    pub async fn permit_offer(&self, member: MemberId, device: Option<DeviceId>) -> Result<OfferPermit, Denial> {
        let (now, opened_wall) = (self.clocks.business.now(), self.clocks.wall.now());
        let mut conn = self.database.app().acquire().await?;
        let accounts = store::accounts(&mut conn, &[member], now, self.town()).await?;
        let papers = Ok(Papers { accounts, ..Papers::default() });
        Sitting { papers, house: self.house, now, opened_wall }.offer(member, device)
    }

    /// What a member may see of their own protections.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read.
    pub async fn overview(&self, member: MemberId) -> Result<Overview, Denial> {
        let now = self.clocks.business.now();
        let mut conn = self.database.app().acquire().await?;
        let mut found = store::accounts(&mut conn, &[member], now, self.town()).await?;
        let Account { standing, usage, .. } = found.remove(&member).ok_or(Denial(DenialCode::AgeUnproven))?;
        Ok(Overview {
            version: standing.version,
            limits: standing.limits(self.house),
            usage,
            raise: standing.own.raise,
            protection: standing.protection(now),
            prompts_on: standing.prompts_on,
            offers_on: standing.offers_on,
        })
    }

    /// Just before the socket: has nothing changed since the permit was given, was nothing lost or refused since, and is it
    /// fresh?
    ///
    /// # Errors
    /// `StandingChanged`, `AfterLoss`, `AfterRejection` or `PermitExpired`.
    pub async fn prompt_still_holds(&self, permit: &PromptPermit) -> Result<(), Denial> {
        if permit.expired(self.clocks.wall.now()) {
            return Err(Denial(DenialCode::PermitExpired));
        }
        let (version, last_loss, last_rejection) =
            store::prompts::last_look(self.database.app(), permit.member).await?;
        if version != permit.standing_version {
            return Err(Denial(DenialCode::StandingChanged));
        }
        // Prompts of before were looked at when the permit was given, and do not change.
        let since = History { last_loss, last_rejection, prompts: Vec::new() };
        since.allows(permit.cause, self.clocks.business.now())
    }

    /// As [`Safeguards::prompt_still_holds`], of an offer.
    ///
    /// # Errors
    /// `StandingChanged` or `PermitExpired`.
    pub async fn offer_still_holds(&self, permit: &OfferPermit) -> Result<(), Denial> {
        if permit.expired(self.clocks.wall.now()) {
            return Err(Denial(DenialCode::PermitExpired));
        }
        let (version, ..) = store::prompts::last_look(self.database.app(), permit.member).await?;
        if version == permit.standing_version { Ok(()) } else { Err(Denial(DenialCode::StandingChanged)) }
    }
}

/// Charges stakes to their members' limits, inside the stakes' own batch: standing and limits are read again under
/// the shard's lock, and a later stake of the batch sees the earlier ones.
pub struct Charges {
    accounts: HashMap<MemberId, Account>,
    charged: Vec<Charged>,
    house: HouseLimits,
    now: Timestamp,
    wall: WallTime,
}

impl Charges {
    /// Reads what these members have staked and may stake. `wall` is now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        tx: &mut ShardTx,
        members: &[MemberId],
        house: HouseLimits,
        wall: WallTime,
    ) -> Result<Charges, sqlx::Error> {
        let now = tx.now();
        // Places are not looked at here.
        let accounts = store::accounts(tx.conn(), members, now, None).await?;
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
        self.charged.push(Charged {
            order,
            member: permit.member,
            windows: account.windows,
            points,
            standing_version: permit.standing_version,
            jurisdiction: permit.jurisdiction.clone(),
            category: permit.category.clone(),
            judged_at: permit.judged_at,
            age_reached: permit.age_reached,
            place_until: permit.place_until,
            limits: account.standing.limits(self.house),
        });
        Ok(())
    }

    fn judge(&self, order: OrderId, permit: &StakePermit, points: Points) -> Result<Usage, Denial> {
        let account = self.accounts.get(&permit.member).ok_or(Denial(DenialCode::Unavailable))?;
        account.standing.protected(self.now)?;
        account.one_account_each()?;
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
