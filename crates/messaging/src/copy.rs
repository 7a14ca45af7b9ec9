//! The words of notices and prompts.
//!
//! Invariants
//! - A receipt never speaks of betting, whoever it is for: it is what a push carries, and what people
//!   who may not be prompted get.
//! - Nothing promises: no "win", no "sure", no currency sign.

use hunch_kernel::Points;

/// Longest merchant name or market question in a sentence; a longer one is cut at a word.
const NAME_CHARS_MAX: usize = 60;

/// "1 point", "5 points".
pub fn points_words(points: Points) -> String {
    if points.0.abs() == 1 { format!("{points} point") } else { format!("{points} points") }
}

/// What a purchase's push says. `offers` is what each offer gave of the points, by its title.
pub fn purchase_receipt(points: Points, offers: &[(&str, Points)], merchant: &str) -> String {
    if !points.is_positive() {
        return format!("Your visit to {} is recorded.", tidy(merchant));
    }
    let earned = format!("You earned {} at {}", points_words(points), tidy(merchant));
    let extra: Points = offers.iter().map(|(_, extra)| *extra).sum();
    match offers {
        [] => format!("{earned}."),
        // A title is the shop's own words, and a receipt never speaks of betting.
        [(title, _)] if betting_word(title.as_bytes()).is_none() => {
            format!("{earned}, {extra} of them from \u{201c}{}\u{201d}.", tidy(title))
        }
        _ => format!("{earned}, {extra} of them from offers."),
    }
}

/// What a purchase's push says while its points wait for a person's decision.
pub fn pending_receipt(points: Points, merchant: &str) -> String {
    let (points, merchant) = (points_words(points), tidy(merchant));
    format!("Your visit to {merchant} is recorded. Pending: {points}. We look at this purchase first.")
}

/// What a decision about such points says.
pub fn review_receipt(points: Points, confirmed: bool, merchant: &str) -> String {
    let (looked, what) = (format!("We looked at your purchase at {}", tidy(merchant)), points_words(points));
    match confirmed {
        true => format!("{looked}. {}", credit_receipt(points)),
        false => format!("{looked} and did not confirm its {what}. Ask us if you do not agree."),
    }
}

/// What somebody hears who was let in again.
pub const RECOVERED: &str = "A new sign-in code was made for you, and your phones were signed out. If you did not ask for this, tell us at once.";

/// What a return says. `taken` points went back.
pub fn return_receipt(taken: Points, merchant: &str) -> String {
    if taken.is_positive() {
        format!("Your return at {} is recorded. {} went back.", tidy(merchant), points_words(taken))
    } else {
        format!("Your return at {} is recorded.", tidy(merchant))
    }
}

/// Points that are available again or newly credited, whatever they come from.
pub fn credit_receipt(points: Points) -> String {
    if points.0 == 1 { "1 point is now available.".to_owned() } else { format!("{points} points are now available.") }
}

/// The question of one market, for those who may see it.
pub fn market_prompt(title: &str) -> String {
    format!("Ends today: {}", tidy(title))
}

/// An offer of a shop nearby, with what a purchase there is credited for it.
/// `limited`: others may be quicker.
pub fn offer_prompt(title: &str, merchant: &str, bonus: Points, limited: bool) -> String {
    let (title, merchant, points) = (tidy(title), tidy(merchant), points_words(bonus));
    let lasting = if limited { ", while they last" } else { "" };
    format!("{title} at {merchant}: {points} extra, once, with your next purchase there{lasting}")
}

/// One line without control characters or currency signs, of bounded length.
fn tidy(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() || "$€£¥".contains(c) { ' ' } else { c });
    let words: String = plain.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= NAME_CHARS_MAX {
        return words;
    }
    let cut: String = words.chars().take(NAME_CHARS_MAX).collect();
    format!("{}…", cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole))
}

/// Words that would make a message an invitation to bet. Used by tests of everything a protected
/// person can receive.
pub const BETTING_WORDS: &[&str] = &[
    "bet",
    "bets",
    "betting",
    "wager",
    "stake",
    "stakes",
    "odds",
    "gamble",
    "gambling",
    "predict",
    "prediction",
    "market",
    "markets",
    "contract",
    "contracts",
    "payout",
    "win",
    "wins",
    "won",
    "winnings",
    "lose",
    "lost",
    "jackpot",
    "yes",
    "no",
];

/// The first betting word in these bytes, if any. Letters decide where a word ends.
pub fn betting_word(bytes: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let mut words = text.split(|c: char| !c.is_alphabetic());
    words.find_map(|word| BETTING_WORDS.iter().find(|known| **known == word).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_point_is_singular() {
        assert_eq!(purchase_receipt(Points(1), &[], "Rosa's Bakery"), "You earned 1 point at Rosa's Bakery.");
        assert_eq!(purchase_receipt(Points(12), &[], "Rosa's Bakery"), "You earned 12 points at Rosa's Bakery.");
        assert_eq!(purchase_receipt(Points(0), &[], "Rosa's Bakery"), "Your visit to Rosa's Bakery is recorded.");
        assert_eq!(
            purchase_receipt(Points(32), &[("Warm rolls", Points(20))], "Rosa's"),
            "You earned 32 points at Rosa's, 20 of them from \u{201c}Warm rolls\u{201d}."
        );
        assert_eq!(
            purchase_receipt(Points(32), &[("Warm rolls", Points(20)), ("Cold rolls", Points(2))], "Rosa's"),
            "You earned 32 points at Rosa's, 22 of them from offers."
        );
        assert_eq!(credit_receipt(Points(1)), "1 point is now available.");
        assert_eq!(credit_receipt(Points(40)), "40 points are now available.");
        assert_eq!(return_receipt(Points(1), "Rosa's"), "Your return at Rosa's is recorded. 1 point went back.");
        assert_eq!(
            offer_prompt("Warm rolls", "Rosa's", Points(1), false),
            "Warm rolls at Rosa's: 1 point extra, once, with your next purchase there"
        );
    }

    #[test]
    fn the_word_finder_finds_words_and_not_parts_of_words() {
        assert_eq!(betting_word(b"Place your Bet!"), Some("bet"));
        assert_eq!(betting_word(b"{\"market\":1}"), Some("market"));
        assert_eq!(betting_word(b"Betty's Nook in Newmarket"), None);
    }

    proptest! {
        /// Whatever the shop is called, what we add has no betting word, no currency sign and one line.
        #[test]
        fn receipts_never_speak_of_betting(points in 0i64..1_000_000, name in "[A-Z][a-z]{2,9}( [A-Z$€\n][a-z]{0,9}){0,12}") {
            prop_assume!(betting_word(name.as_bytes()).is_none());
            let all = [(name.as_str(), Points(points))];
            for text in [purchase_receipt(Points(points), &[], &name), purchase_receipt(Points(points), &all, "Rosa's"), return_receipt(Points(points), &name), credit_receipt(Points(points))] {
                prop_assert_eq!(betting_word(text.as_bytes()), None);
                prop_assert!(!text.contains(['$', '€', '\n']));
                prop_assert!(text.chars().count() < 200);
                prop_assert_eq!(text.contains("1 points"), text.contains("11 points") || text.contains("1 points") && points % 10 == 1 && points != 1);
            }
        }
    }
}
