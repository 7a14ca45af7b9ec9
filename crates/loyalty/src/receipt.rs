//! When two receipt numbers of a till are the same one. Pure.
//!
//! They are equal if they agree in lower case, without white space and without characters that show nothing, in Unicode's
//! form NFKC: a number that is typed again, printed by other software or copied from elsewhere names the same receipt.

use unicode_normalization::UnicodeNormalization;

/// The longest receipt number, in characters as sent.
pub const RECEIPT_CHARS_MAX: usize = 64;

/// What equal receipt numbers have in common; `None` for what is no receipt number.
pub(crate) fn key(receipt: &str) -> Option<String> {
    if receipt.chars().count() > RECEIPT_CHARS_MAX || receipt.chars().any(char::is_control) {
        return None;
    }
    // Twice: what one form brings to light, such as the space within U+00A8, the next one takes away.
    let key = fold(&fold(receipt));
    (!key.is_empty()).then_some(key)
}

fn fold(text: &str) -> String {
    let kept: String = text.nfkc().filter(|c| !c.is_whitespace() && !shows_nothing(*c)).collect();
    kept.to_lowercase().nfkc().collect()
}

/// Joiners, marks of direction, soft hyphens and the like: Unicode's default ignorable code points, as far as they could stand
/// in a number.
fn shows_nothing(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_receipt_numbers_have_one_key() {
        for same in [
            "Caf\u{e9}-12",
            "Cafe\u{301}-12",
            " caf\u{e9}-12",
            "CAF\u{c9} - 12\u{a0}",
            "caf\u{e9}\u{200b}-\u{ff11}\u{ff12}",
        ] {
            assert_eq!(key(same).as_deref(), Some("caf\u{e9}-12"), "{same:?}");
        }
        for other in ["cafe-12", "caf\u{e9}12", "caf\u{e9}-120", "caf\u{e9}\u{2013}12"] {
            assert_ne!(key(other).as_deref(), Some("caf\u{e9}-12"), "{other:?}");
        }
        for none in ["", " ", "\u{200b}\u{a0}", "a\u{7}", "a\nb", &"x".repeat(65)] {
            assert_eq!(key(none), None, "{none:?}");
        }
        assert!(key(&"\u{e9}".repeat(64)).is_some(), "characters count, not bytes");
    }

    proptest! {
        /// A key is its own key, and neither form, spaces nor case lead to another one.
        #[test]
        fn a_key_stands_still(text in "\\PC{1,20}") {
            if let Some(once) = key(&text) {
                prop_assert_eq!(fold(&once), once.clone());
                prop_assert_eq!(key(&text.nfd().collect::<String>().chars().take(64).collect::<String>()).is_some(), true);
                let spaced: String = text.chars().flat_map(|c| [' ', c]).collect();
                prop_assert_eq!(key(&spaced), Some(once.clone()));
                let composed: String = text.nfc().collect();
                prop_assert_eq!(key(&composed), Some(once));
            }
        }
    }
}
