//! The question the sender asks before every prompt. `safeguards` answers it; nothing else may.

use async_trait::async_trait;
use hunch_kernel::{DeviceId, MemberId};
use hunch_safeguards::{PromptPermit, Safeguards};

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
    /// May this member be prompted about this category now? `device` is None where no device is known yet.
    async fn permit(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        category: &str,
    ) -> Result<PromptPermit, Withheld>;

    /// Whether nothing has changed since the permit was given. Asked just before the socket.
    async fn still_holds(&self, permit: &PromptPermit) -> bool;
}

/// `safeguards` is the gate of a real programme.
#[async_trait]
impl PromptGate for Safeguards {
    async fn permit(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        category: &str,
    ) -> Result<PromptPermit, Withheld> {
        let permit = self.permit_prompt(member, device, category).await;
        permit.map_err(|denial| Withheld { code: denial.0.as_str().to_owned(), sentence: denial.to_string() })
    }

    async fn still_holds(&self, permit: &PromptPermit) -> bool {
        self.prompt_still_holds(permit).await.is_ok()
    }
}
