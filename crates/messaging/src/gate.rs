//! The question the sender asks before every prompt. `safeguards` answers it; nothing else may.

use async_trait::async_trait;
use hunch_kernel::{DeviceId, MemberId};
use hunch_safeguards::{Denial, PromptPermit, Safeguards, Sitting};

/// Why a prompt may not be made: a stable code and a plain sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    pub code: String,
    pub sentence: String,
}

/// THE gate, as messaging sees it: someone who asks `safeguards`.
///
/// A permit is a type that only `safeguards` can make, so whatever stands here cannot let a prompt out by itself. Whoever
/// cannot be judged is withheld: a failing database is a refusal.
///
/// ```compile_fail,E0451
/// # use hunch_kernel::{DeviceId, MemberId};
/// # use hunch_messaging::Withheld;
/// # use hunch_safeguards::PromptPermit;
/// struct Generous;
/// #[async_trait::async_trait]
/// impl hunch_messaging::PromptGate for Generous {
///     type Sitting = hunch_safeguards::Sitting;
///     async fn sit(&self, _: &[MemberId]) -> hunch_safeguards::Sitting {
///         unimplemented!()
///     }
///     async fn permit(&self, member: MemberId, device: Option<DeviceId>, _: &str) -> Result<PromptPermit, Withheld> {
///         Ok(PromptPermit { member, device, standing_version: 1, given_at: jiff::Timestamp::MIN })
///     }
///     async fn still_holds(&self, _: &PromptPermit) -> bool {
///         true
///     }
/// }
/// ```
#[async_trait]
pub trait PromptGate: Send + Sync + 'static {
    type Sitting: PromptSitting;

    /// Reads what is needed to judge these people now.
    async fn sit(&self, members: &[MemberId]) -> Self::Sitting;

    /// May this member be prompted about this category now? `device` is None where no device is known yet.
    async fn permit(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        category: &str,
    ) -> Result<PromptPermit, Withheld> {
        self.sit(&[member]).await.permit(member, device, category)
    }

    /// Whether nothing has changed since the permit was given. Asked just before the socket.
    async fn still_holds(&self, permit: &PromptPermit) -> bool;
}

/// The gate's judgement of several people, from one reading.
pub trait PromptSitting: Send + Sync {
    /// As [`PromptGate::permit`], at the moment of the reading. Whoever was not asked about is withheld.
    fn permit(&self, member: MemberId, device: Option<DeviceId>, category: &str) -> Result<PromptPermit, Withheld>;
}

/// `safeguards` is the gate of a real programme.
#[async_trait]
impl PromptGate for Safeguards {
    type Sitting = Sitting;

    async fn sit(&self, members: &[MemberId]) -> Sitting {
        Safeguards::sit(self, members).await
    }

    async fn still_holds(&self, permit: &PromptPermit) -> bool {
        self.prompt_still_holds(permit).await.is_ok()
    }
}

impl PromptSitting for Sitting {
    fn permit(&self, member: MemberId, device: Option<DeviceId>, category: &str) -> Result<PromptPermit, Withheld> {
        let said = |denial: Denial| Withheld { code: denial.0.as_str().to_owned(), sentence: denial.to_string() };
        self.prompt(member, device, category).map_err(said)
    }
}
