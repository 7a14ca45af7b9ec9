//! Taking people in who may be members already: an exclusion, a break and a limit follow the person, not the account.
//!
//! - Name, birth date and e-mail address or phone number agree: the same person. There is no second account.
//! - Two of the three agree: likely the same person. A person decides; until then the account earns and does not stake.
//! - Only the e-mail address or the phone number agrees: a family may share it. A person decides only if whoever has it
//!   already is excluded or on a break.
//!
//! Twins agree in birth date and address, relatives in name and address: neither is refused, both are looked at.

use hunch_kernel::MemberId;
use hunch_people::{NewMember, PeopleError};
use hunch_vault::{Agreement, Known, Person};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::exclusion::Protection;
use crate::gate::Safeguards;
use crate::store;

/// What an agreement of facts says of two entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    Same,
    Likely,
    /// An e-mail address or phone number, and nothing else.
    Contact,
    None,
}

fn likeness(agreement: Agreement) -> Likeness {
    match (agreement.name, agreement.birth_date, agreement.contact()) {
        (true, true, true) => Likeness::Same,
        (true, true, false) | (true, false, true) | (false, true, true) => Likeness::Likely,
        (false, false, true) => Likeness::Contact,
        _ => Likeness::None,
    }
}

/// Somebody who joined and may be a member already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLikeness {
    pub member: MemberId,
    /// Whom it may be.
    pub known: Vec<MemberId>,
    /// Kinds of facts that agree with any of them: name, birth_date, email, phone.
    pub agreeing: Vec<String>,
    pub found_at: Timestamp,
    pub decision: Option<Decided>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub decision: Decision,
    pub by: String,
    pub at: Timestamp,
}

/// What a person found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// One person with two accounts: the second one never stakes.
    Same,
    /// Two people.
    Other,
}

impl Decision {
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Same => "same",
            Decision::Other => "other",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(
        "item {item}: this person is a member already, as {known}: name, birth date and e-mail address or phone number agree.{standing} \
         Nobody of this request was taken in; leave this item out, or give that member a new sign-in code"
    )]
    AlreadyMember { item: usize, known: MemberId, standing: &'static str },
    #[error(transparent)]
    People(#[from] PeopleError),
    #[error("safeguards storage failed")]
    Storage(#[from] sqlx::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    #[error("there is no such account to decide about")]
    Unknown,
    #[error("{by} has decided already that this is {}", if *.decision == Decision::Same { "the same person" } else { "another person" })]
    Decided { decision: Decision, by: String },
    #[error("safeguards storage failed")]
    Storage(#[from] sqlx::Error),
}

impl Safeguards {
    /// Takes people in, all or none, and looks whether they are known.
    ///
    /// # Errors
    /// `AlreadyMember` for the first who is; whatever `People::join` says.
    pub async fn take_in(&self, mut people: Vec<NewMember>, by: &str) -> Result<Vec<MemberId>, JoinError> {
        let ids = self.people.name_them(&mut people);
        let turn = self.people.vault().turn().await.map_err(PeopleError::from)?;
        let members = self.people.members_among(&ids).await?;
        let newcomers = first_of_each(&ids, &people, &members);
        let found = self.recognise(&ids, newcomers).await?;
        // First, so that nobody is a member for a moment who stakes before it is looked at.
        store::write_likenesses(self.database.app(), &found).await?;
        let joined = self.people.join(people, by).await?;
        drop(turn);
        Ok(joined)
    }

    async fn recognise(
        &self,
        ids: &[MemberId],
        newcomers: Vec<(MemberId, Person)>,
    ) -> Result<Vec<FoundLikeness>, JoinError> {
        let known = self.people.vault().recognise(&newcomers).await.map_err(PeopleError::from)?;
        let anyone: Vec<MemberId> = known.iter().flatten().map(|k| k.member).collect();
        let protections = self.protections(&anyone).await?;
        // Entries of the vault that never became members are nobody; those who join with this request are somebody.
        let mut somebody: HashSet<MemberId> = protections.keys().copied().collect();
        let now = self.clocks.business.now();
        let mut found = Vec::new();
        for ((member, _), mut known) in newcomers.into_iter().zip(known) {
            known.retain(|k| somebody.contains(&k.member));
            somebody.insert(member);
            found.extend(judge(member, known, &protections, now).map_err(|same| {
                let item = ids.iter().position(|id| *id == member).map_or(0, |place| place + 1);
                JoinError::AlreadyMember { item, known: same.member, standing: same.standing }
            })?);
        }
        Ok(found)
    }

    /// Those of these who are members, with the break or exclusion that is in force for them.
    pub(crate) async fn protections(&self, members: &[MemberId]) -> Result<Protections, sqlx::Error> {
        let now = self.clocks.business.now();
        let mut conn = self.database.app().acquire().await?;
        let accounts = store::accounts(&mut conn, members, now, None).await?;
        Ok(accounts.into_iter().map(|(member, account)| (member, account.standing.protection(now))).collect())
    }

    /// Accounts that wait for a person to decide, or all, oldest first, after a given one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn likenesses(
        &self,
        undecided_only: bool,
        after: Option<(Timestamp, MemberId)>,
        limit: i64,
    ) -> Result<Vec<FoundLikeness>, sqlx::Error> {
        store::likenesses(self.database.app(), undecided_only, after, limit).await
    }

    /// A person decides whether an account is somebody's second one. The same decision again changes nothing.
    ///
    /// # Errors
    /// `Unknown`; `Decided` when it was decided otherwise.
    pub async fn decide_likeness(
        &self,
        member: MemberId,
        decision: Decision,
        by: &str,
    ) -> Result<FoundLikeness, DecideError> {
        let now = self.clocks.business.now();
        store::decide_likeness(self.database.app(), member, decision, by, now).await?;
        let found = store::likeness(self.database.app(), member).await?.ok_or(DecideError::Unknown)?;
        match &found.decision {
            Some(decided) if decided.decision != decision => {
                Err(DecideError::Decided { decision: decided.decision, by: decided.by.clone() })
            }
            _ => Ok(found),
        }
    }
}

/// Everybody who is no member yet, once.
fn first_of_each(ids: &[MemberId], people: &[NewMember], members: &HashSet<MemberId>) -> Vec<(MemberId, Person)> {
    let mut seen = members.clone();
    let new = ids.iter().zip(people).filter(|(id, _)| seen.insert(**id));
    new.map(|(id, new)| (*id, new.person.clone())).collect()
}

pub(crate) type Protections = HashMap<MemberId, Option<Protection>>;

/// A member who is the very person that was asked about.
pub(crate) struct SamePerson {
    pub member: MemberId,
    /// As the operator reads it.
    pub standing: &'static str,
}

/// Whether an account is to be put before a person, because of these members who share some of its facts.
///
/// # Errors
/// The first of them who is the same person.
pub(crate) fn judge(
    member: MemberId,
    known: Vec<Known>,
    protections: &Protections,
    now: Timestamp,
) -> Result<Option<FoundLikeness>, SamePerson> {
    let protection = |of: MemberId| protections.get(&of).copied().flatten();
    if let Some(same) = known.iter().find(|k| likeness(k.agreement) == Likeness::Same) {
        return Err(SamePerson { member: same.member, standing: standing_of(protection(same.member)) });
    }
    let suspects = known.into_iter().filter(|k| match likeness(k.agreement) {
        Likeness::Same | Likeness::Likely => true,
        Likeness::Contact => protection(k.member).is_some(),
        Likeness::None => false,
    });
    Ok(likeness_of(member, suspects.collect(), now))
}

fn likeness_of(member: MemberId, suspects: Vec<Known>, found_at: Timestamp) -> Option<FoundLikeness> {
    let agrees = |wanted: fn(&Agreement) -> bool| suspects.iter().any(|k| wanted(&k.agreement));
    type Kind = (&'static str, fn(&Agreement) -> bool);
    let kinds: [Kind; 4] =
        [("name", |a| a.name), ("birth_date", |a| a.birth_date), ("email", |a| a.email), ("phone", |a| a.phone)];
    let agreeing = kinds.into_iter().filter(|(_, wanted)| agrees(*wanted)).map(|(kind, _)| kind.to_owned()).collect();
    let known: BTreeSet<MemberId> = suspects.iter().map(|k| k.member).collect();
    let known: Vec<MemberId> = known.into_iter().collect();
    (!known.is_empty()).then_some(FoundLikeness { member, known, agreeing, found_at, decision: None })
}

/// As the operator reads it.
fn standing_of(protection: Option<Protection>) -> &'static str {
    match protection {
        None => "",
        Some(Protection::Break { .. }) => " They are on a break from staking, which holds.",
        Some(_) => " They are excluded from staking, which holds.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fact_is_chance_two_are_looked_at_and_three_are_a_person() {
        let agreement = |name, birth_date, email, phone| Agreement { name, birth_date, email, phone };
        for (facts, expected) in [
            (agreement(true, true, true, false), Likeness::Same),
            (agreement(true, true, false, true), Likeness::Same),
            (agreement(true, true, false, false), Likeness::Likely),
            (agreement(false, true, true, false), Likeness::Likely), // twins who share an address, or a new name
            (agreement(true, false, false, true), Likeness::Likely), // father and son, or a slip of the pen
            (agreement(false, false, true, true), Likeness::Contact),
            (agreement(true, false, false, false), Likeness::None),
            (agreement(false, true, false, false), Likeness::None),
            (Agreement::default(), Likeness::None),
        ] {
            assert_eq!(likeness(facts), expected, "{facts:?}");
        }
    }
}
