//! The question that is asked before anything but a receipt is said. `safeguards` answers it; nothing else may.

use async_trait::async_trait;
use hunch_kernel::{DeviceId, MemberId};
use hunch_safeguards::{Denial, DenialCode, OfferPermit, PromptPermit, PromptsHad, Safeguards, Sitting};
use jiff::tz::TimeZone;
use uuid::Uuid;

/// Why something may not be said: a stable code and a plain sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    pub code: &'static str,
    pub sentence: String,
}

impl From<Denial> for Withheld {
    fn from(denial: Denial) -> Withheld {
        Withheld { code: denial.0.as_str(), sentence: denial.to_string() }
    }
}

/// Whether a notice's reason is the gate's: then something was kept back.
pub fn is_denial(code: &str) -> bool {
    DenialCode::of(code).is_some()
}

/// THE gate, as messaging sees it: someone who asks `safeguards`.
///
/// Permits are types that only `safeguards` can make, so whatever stands here cannot let anything out by itself. Whoever
/// cannot be judged is withheld: a failing database is a refusal.
///
/// A gate of one's own has no permits to give (the fields of [`PromptPermit`] say how that is held); it can only pass on
/// what `safeguards` gave:
/// ```
/// # use hunch_kernel::MemberId;
/// # use hunch_messaging::PromptGate;
/// # use hunch_safeguards::{OfferPermit, PromptPermit, Safeguards, Sitting};
/// struct Passing(Safeguards);
/// #[async_trait::async_trait]
/// impl PromptGate for Passing {
///     type Sitting = Sitting;
///     async fn sit(&self, members: &[MemberId]) -> Sitting {
///         self.0.sit(members).await
///     }
///     async fn prompt_still_holds(&self, permit: &PromptPermit) -> bool {
///         self.0.prompt_still_holds(permit).await.is_ok()
///     }
///     async fn offer_still_holds(&self, permit: &OfferPermit) -> bool {
///         self.0.offer_still_holds(permit).await.is_ok()
///     }
/// }
/// ```
#[async_trait]
pub trait PromptGate: Send + Sync + 'static {
    type Sitting: PromptSitting;

    /// Reads what is needed to judge these people now.
    async fn sit(&self, members: &[MemberId]) -> Self::Sitting;

    /// Whether nothing has changed since the permit was given. Asked just before the socket.
    async fn prompt_still_holds(&self, permit: &PromptPermit) -> bool;

    /// As [`PromptGate::prompt_still_holds`], of an offer.
    async fn offer_still_holds(&self, permit: &OfferPermit) -> bool;
}

/// The gate's judgement of several people, from one reading. Whoever was not read is withheld.
pub trait PromptSitting: Send + Sync {
    /// The member's own time zone, `None` when it is not known: then no market ends today.
    fn zone(&self, member: MemberId) -> Option<TimeZone>;

    /// Would [`PromptSitting::prompt`] give a permit?
    ///
    /// # Errors
    /// Why not.
    fn allows_prompt(&self, member: MemberId, cause: Uuid, category: &str) -> Result<(), Withheld>;

    /// May this member be prompted to stake in this category, because of `cause`? `device` is None where none is known.
    ///
    /// # Errors
    /// Why not.
    fn prompt(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        cause: Uuid,
        category: &str,
    ) -> Result<PromptPermit, Withheld>;

    /// May this member be told of an offer of a shop?
    ///
    /// # Errors
    /// Why not.
    fn offer(&self, member: MemberId, device: Option<DeviceId>) -> Result<OfferPermit, Withheld>;

    /// Notes a prompt that will be given: the next question counts it.
    fn prompted(&mut self, member: MemberId, cause: Uuid);

    /// How many prompts this member had.
    fn prompts_had(&self, member: MemberId) -> PromptsHad;
}

/// `safeguards` is the gate of a real programme.
#[async_trait]
impl PromptGate for Safeguards {
    type Sitting = Sitting;

    async fn sit(&self, members: &[MemberId]) -> Sitting {
        Safeguards::sit(self, members).await
    }

    async fn prompt_still_holds(&self, permit: &PromptPermit) -> bool {
        Safeguards::prompt_still_holds(self, permit).await.is_ok()
    }

    async fn offer_still_holds(&self, permit: &OfferPermit) -> bool {
        Safeguards::offer_still_holds(self, permit).await.is_ok()
    }
}

impl PromptSitting for Sitting {
    fn zone(&self, member: MemberId) -> Option<TimeZone> {
        Sitting::zone(self, member).cloned()
    }

    fn allows_prompt(&self, member: MemberId, cause: Uuid, category: &str) -> Result<(), Withheld> {
        Ok(Sitting::allows_prompt(self, member, cause, category)?)
    }

    fn prompt(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        cause: Uuid,
        category: &str,
    ) -> Result<PromptPermit, Withheld> {
        Ok(Sitting::prompt(self, member, device, cause, category)?)
    }

    fn offer(&self, member: MemberId, device: Option<DeviceId>) -> Result<OfferPermit, Withheld> {
        Ok(Sitting::offer(self, member, device)?)
    }

    fn prompted(&mut self, member: MemberId, cause: Uuid) {
        Sitting::prompted(self, member, cause);
    }

    fn prompts_had(&self, member: MemberId) -> PromptsHad {
        Sitting::prompts_had(self, member)
    }
}
