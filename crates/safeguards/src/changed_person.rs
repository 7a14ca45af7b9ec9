//! A member's name, e-mail address or phone number changes. The person stays the same: an exclusion, a break and a limit follow
//! the old data and the new, and whoever takes on the data of another member is looked at as somebody who joins is.
//!
//! Two accounts that were put before a person once are not put there again because one of them moved house.

use hunch_kernel::MemberId;
use hunch_people::PeopleError;
use hunch_vault::{LastChange, PersonChange};

use crate::gate::Safeguards;
use crate::joining::{SamePerson, judge};
use crate::store;

#[derive(Debug, thiserror::Error)]
pub enum ChangePersonError {
    #[error("there is no such member")]
    Unknown,
    #[error(
        "with this data the member would be {known}: name, birth date and e-mail address or phone number agree.{standing} \
         Nothing was changed; look whether the right member was named"
    )]
    OtherMember { known: MemberId, standing: &'static str },
    #[error(transparent)]
    People(#[from] PeopleError),
    #[error("safeguards storage failed")]
    Storage(#[from] sqlx::Error),
}

impl From<SamePerson> for ChangePersonError {
    fn from(same: SamePerson) -> ChangePersonError {
        ChangePersonError::OtherMember { known: same.member, standing: same.standing }
    }
}

impl Safeguards {
    /// Changes what is entered of a member, and gives who changed it last, if anybody ever did. What was entered before is kept
    /// with who and when. Sent again, it changes nothing.
    ///
    /// # Errors
    /// `Unknown`; `OtherMember` when somebody else is that person; `People` for data that are not possible.
    pub async fn change_person(
        &self,
        member: MemberId,
        change: &PersonChange,
        by: &str,
    ) -> Result<Option<LastChange>, ChangePersonError> {
        let turn = self.people.vault().turn().await.map_err(PeopleError::from)?;
        if !self.people.members_among(&[member]).await?.contains(&member) {
            return Err(ChangePersonError::Unknown);
        }
        let known = self.people.vault().recognise_changed(member, change).await.map_err(PeopleError::from)?;
        let mut known = known.ok_or(ChangePersonError::Unknown)?;
        let looked_at = store::looked_at(self.database.app(), member).await?;
        known.retain(|k| !looked_at.contains(&k.member));
        let protections = self.protections(&known.iter().map(|k| k.member).collect::<Vec<MemberId>>()).await?;
        // Entries of the vault that never became members are nobody.
        known.retain(|k| protections.contains_key(&k.member));
        let now = self.clocks.business.now();
        // First, so that nobody stakes under the new data before it is looked at.
        if let Some(found) = judge(member, known, &protections, now)? {
            store::add_likeness(self.database.app(), &found).await?;
        }
        let last = self.people.vault().change(member, change, by, now).await.map_err(PeopleError::from)?;
        drop(turn);
        Ok(last)
    }
}
