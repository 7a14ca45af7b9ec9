//! One sealed message on its way. Whatever is more than a receipt is made with a permit of its kind, which it uses up.

use hunch_kernel::NoticeId;
use hunch_safeguards::{OfferPermit, PromptPermit};
use serde::Serialize;

use super::endpoint::Endpoint;
use super::rules::{Urgency, topic};
use super::seal::{SealError, UserAgentKeys, seal};
use crate::PromptGate;

/// What may be handed over: a receipt always, anything else by a permit, taken by value.
///
/// A prompt to stake cannot leave without one, nor by the permit of an offer:
/// ```compile_fail,E0308
/// # use hunch_messaging::push::Grant;
/// fn grant(permit: hunch_safeguards::OfferPermit) -> Grant {
///     Grant::Prompt(permit)
/// }
/// ```
/// and one permit lets one out:
/// ```compile_fail,E0382
/// # use hunch_messaging::push::Grant;
/// fn grant(permit: hunch_safeguards::PromptPermit) -> [Grant; 2] {
///     [Grant::Prompt(permit), Grant::Prompt(permit)]
/// }
/// ```
/// where these are right:
/// ```
/// # use hunch_messaging::push::Grant;
/// fn grant(prompt: hunch_safeguards::PromptPermit, offer: hunch_safeguards::OfferPermit) -> [Grant; 3] {
///     [Grant::Prompt(prompt), Grant::Offer(offer), Grant::Receipt]
/// }
/// ```
#[derive(Debug)]
pub enum Grant {
    Receipt,
    Offer(OfferPermit),
    Prompt(PromptPermit),
}

/// What is said, and to which browser. The text is a receipt, whatever is granted besides.
pub(crate) struct Letter<'a> {
    pub endpoint: Endpoint,
    pub keys: UserAgentKeys,
    pub ttl_seconds: u64,
    pub notice: NoticeId,
    pub text: &'a str,
}

/// A sealed message. Nothing but [`Outgoing::seal`] makes one, and handing it over uses it up with its permit.
pub(crate) struct Outgoing {
    pub(super) endpoint: Endpoint,
    pub(super) body: Vec<u8>,
    pub(super) ttl_seconds: u64,
    pub(super) urgency: Urgency,
    pub(super) topic: String,
    grant: Grant,
}

/// The push's plaintext: the receipt and the notice's name. `more` asks the service worker to fetch.
#[derive(Serialize)]
struct Payload<'a> {
    v: u8,
    notice: String,
    text: &'a str,
    more: bool,
}

impl Grant {
    /// As tables have it.
    pub(crate) fn content(&self) -> &'static str {
        match self {
            Grant::Receipt => "receipt",
            Grant::Offer(_) => "offer",
            Grant::Prompt(_) => "prompt",
        }
    }

    /// Version of the standing that the permit was given at.
    pub(crate) fn standing_version(&self) -> Option<i64> {
        match self {
            Grant::Receipt => None,
            Grant::Offer(permit) => Some(permit.standing_version()),
            Grant::Prompt(permit) => Some(permit.standing_version()),
        }
    }
}

impl Outgoing {
    /// # Errors
    /// When nothing can be sealed for this browser.
    pub fn seal(letter: Letter<'_>, grant: Grant) -> Result<Outgoing, SealError> {
        let body = seal(&letter.keys, &payload(letter.notice, letter.text, &grant))?;
        // Every message carries a receipt, and a receipt is worth waking a phone.
        let (urgency, topic) = (Urgency::High, topic(letter.notice));
        Ok(Outgoing { endpoint: letter.endpoint, body, ttl_seconds: letter.ttl_seconds, urgency, topic, grant })
    }

    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The last look, with nothing left to do but the socket.
    pub async fn still_granted(&self, gate: &impl PromptGate) -> bool {
        match &self.grant {
            Grant::Receipt => true,
            Grant::Offer(permit) => gate.offer_still_holds(permit).await,
            Grant::Prompt(permit) => gate.prompt_still_holds(permit).await,
        }
    }
}

fn payload(notice: NoticeId, text: &str, grant: &Grant) -> Vec<u8> {
    let more = !matches!(grant, Grant::Receipt);
    serde_json::to_vec(&Payload { v: 1, notice: notice.to_string(), text, more }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::betting_word;
    use hunch_kernel::{MemberId, WallTime};
    use hunch_safeguards::testing::prompt_permit;
    use uuid::Uuid;

    /// What travels to a protected person, byte by byte: receipt and notice, and nothing to fetch.
    #[test]
    fn a_receipt_push_has_no_word_of_betting() {
        let notice = NoticeId(Uuid::from_u128(0xfeed));
        let text = "You earned 1 point at Rosa's Bakery.";
        let bytes = payload(notice, text, &Grant::Receipt);
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"v":1,"notice":"00000000-0000-0000-0000-00000000feed","text":"You earned 1 point at Rosa's Bakery.","more":false}"#
        );
        assert_eq!(betting_word(&bytes), None);
        // A prompt's push says no more than that there is something to fetch.
        let member = MemberId(Uuid::from_u128(1));
        let permit = prompt_permit(member, None, Uuid::nil(), "sports", 1, WallTime::MIN);
        let prompt = payload(notice, text, &Grant::Prompt(permit));
        assert_eq!(betting_word(&prompt), None);
        let asks = String::from_utf8(prompt).unwrap().replace("true", "false");
        assert_eq!(asks, String::from_utf8(bytes).unwrap(), "the same, but for the wish to ask");
    }
}
