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

/// THE gate, as messaging sees it.
///
/// A permit cannot be copied or stored, and only the gate makes one. Whoever cannot be judged is
/// withheld: a failing database is a refusal.
#[async_trait]
pub trait PromptGate: Send + Sync + 'static {
    type Permit: Send + Sync + 'static;

    /// May this member be prompted about this category now? `device` is None where no device is known yet.
    async fn permit(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        category: &str,
    ) -> Result<Self::Permit, Withheld>;

    /// Whether nothing has changed since the permit was given. Asked just before the socket.
    async fn still_holds(&self, permit: &Self::Permit) -> bool;

    /// The standing version the permit was given at, for the record of the attempt.
    fn standing_version(permit: &Self::Permit) -> i64;
}

/// `safeguards` is the gate of a real programme.
#[async_trait]
impl PromptGate for Safeguards {
    type Permit = PromptPermit;

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

    fn standing_version(permit: &PromptPermit) -> i64 {
        permit.standing_version()
    }
}

/// Permits nobody. For a programme without safeguards: members get receipts and offers, never a prompt.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClosedGate;

/// A permit that cannot exist.
#[derive(Debug)]
pub enum NoPermit {}

#[async_trait]
impl PromptGate for ClosedGate {
    type Permit = NoPermit;

    async fn permit(&self, _: MemberId, _: Option<DeviceId>, _: &str) -> Result<NoPermit, Withheld> {
        let sentence = "Prompts are switched off.".to_owned();
        Err(Withheld { code: "prompts_off".to_owned(), sentence })
    }

    async fn still_holds(&self, permit: &NoPermit) -> bool {
        match *permit {}
    }

    fn standing_version(permit: &NoPermit) -> i64 {
        match *permit {}
    }
}
