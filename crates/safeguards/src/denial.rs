//! Why someone may not. Codes are stable; sentences are plain and can be acted on.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialCode {
    Excluded,
    OnBreak,
    IdentityCheck,
    OtherAccount,
    AgeUnproven,
    UnderAge,
    PlaceUnknown,
    PlaceNotAllowed,
    DayLimit,
    WeekLimit,
    OptedOut,
    AfterLoss,
    AfterRejection,
    PromptCapDay,
    PromptCapWeek,
    PromptGap,
    OffersOff,
    StandingChanged,
    PermitExpired,
    Unavailable,
}

/// (code, stable word, sentence), in the order in which they are looked at.
pub const DENIALS: &[(DenialCode, &str, &str)] = &[
    (
        DenialCode::Excluded,
        "excluded",
        "You have excluded yourself from staking. After its term the exclusion goes on until you ask to return.",
    ),
    (DenialCode::OnBreak, "on_break", "You are on a break from staking. It ends by itself."),
    (
        DenialCode::IdentityCheck,
        "identity_check",
        "We are checking whether you have another account here. Until that is done you earn points, but cannot stake.",
    ),
    (
        DenialCode::OtherAccount,
        "other_account",
        "You have another account here. Stake with that one; this one only earns points.",
    ),
    (
        DenialCode::AgeUnproven,
        "age_unproven",
        "Your age has not been confirmed yet. Confirm it before the first stake.",
    ),
    (DenialCode::UnderAge, "under_age", "You are not old enough to stake where you are."),
    (DenialCode::PlaceUnknown, "place_unknown", "We do not know where you are. Share your location to stake."),
    (
        DenialCode::PlaceNotAllowed,
        "place_not_allowed",
        "Stakes of this kind are not allowed where you are. Your points stay yours.",
    ),
    (DenialCode::DayLimit, "day_limit", "This stake would go over your limit for today. More is possible tomorrow."),
    (
        DenialCode::WeekLimit,
        "week_limit",
        "This stake would go over your limit for this week. More is possible from Monday on.",
    ),
    (DenialCode::OptedOut, "opted_out", "You asked not to be prompted to stake."),
    (
        DenialCode::AfterLoss,
        "after_loss",
        "A stake of yours did not come in a short while ago. We suggest nothing to stake on for four hours.",
    ),
    (
        DenialCode::AfterRejection,
        "after_rejection",
        "A stake of yours was not taken a short while ago. We suggest nothing to stake on for four hours.",
    ),
    (
        DenialCode::PromptCapDay,
        "prompt_cap_day",
        "You have had enough suggestions to stake for one day. More are possible tomorrow.",
    ),
    (
        DenialCode::PromptCapWeek,
        "prompt_cap_week",
        "You have had enough suggestions to stake for one week. More are possible in some days.",
    ),
    (
        DenialCode::PromptGap,
        "prompt_gap",
        "You have just had a suggestion to stake. The next one waits for half an hour.",
    ),
    (DenialCode::OffersOff, "offers_off", "You asked not to be told of offers."),
    (DenialCode::StandingChanged, "standing_changed", "Your settings changed a moment ago. Try again."),
    (DenialCode::PermitExpired, "permit_expired", "That took too long. Try again."),
    (DenialCode::Unavailable, "unavailable", "We cannot check whether this is allowed just now. Try again later."),
];

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial(pub DenialCode);

impl DenialCode {
    fn row(self) -> (&'static str, &'static str) {
        let row = DENIALS.iter().find(|row| row.0 == self);
        row.map_or(("unavailable", "Try again later."), |r| (r.1, r.2))
    }

    /// The code with this word.
    pub fn of(word: &str) -> Option<DenialCode> {
        DENIALS.iter().find(|row| row.1 == word).map(|row| row.0)
    }

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.row().1)
    }
}

impl std::error::Error for Denial {}

impl From<sqlx::Error> for Denial {
    /// Whoever cannot be judged is denied.
    fn from(error: sqlx::Error) -> Denial {
        tracing::error!(%error, "safeguards storage failed");
        Denial(DenialCode::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_word_and_a_sentence_of_its_own() {
        let words: std::collections::HashSet<&str> = DENIALS.iter().map(|d| d.1).collect();
        assert_eq!(words.len(), DENIALS.len());
        for (code, word, sentence) in DENIALS {
            assert_eq!(code.as_str(), *word);
            assert_eq!(Denial(*code).to_string(), *sentence);
            // Churn is a word of the sponsors, harm one of the operator; members read neither.
            assert!(sentence.ends_with('.') && !sentence.contains("risk") && !sentence.contains("harm"), "{sentence}");
        }
    }
}
