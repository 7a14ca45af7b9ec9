//! One style for every sentence that people read: a capital letter first, a full stop last, no semicolons.
//!
//! Errors of our crates are written as Rust's are, without either, because a log joins them with colons. Here, where the
//! API answers, they become sentences, whoever wrote them.

/// `the quote has expired; ask for a new one` as `The quote has expired. Ask for a new one.`
pub(crate) fn sentence(text: &str) -> String {
    let mut done = String::with_capacity(text.len() + 1);
    for part in parts(text) {
        if !done.is_empty() {
            done.push_str(". ");
        }
        begin(part, &mut done);
    }
    if !done.is_empty() && !done.ends_with(['.', '?', '!']) {
        done.push('.');
    }
    done
}

/// What stands between semicolons, save those that somebody quoted.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            '"' if !escaped => quoted = !quoted,
            ';' if !quoted && text[at..].starts_with("; ") => {
                parts.push(&text[from..at]);
                from = at + 2;
            }
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    parts.push(&text[from..]);
    parts
}

/// A word of a program's keeps its small letter: `stake_points` is not `Stake_points`.
fn begin(part: &str, done: &mut String) {
    let word = part.split([' ', ',', ':', '.']).next().unwrap_or_default();
    let plain = word.bytes().all(|b| b.is_ascii_lowercase() || b == b'\'' || b == b'-');
    match part.chars().next() {
        Some(first) if plain => {
            done.push(first.to_ascii_uppercase());
            done.push_str(&part[first.len_utf8()..]);
        }
        _ => done.push_str(part),
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn errors_become_sentences() {
        for (error, told) in [
            ("the quote has expired; ask for a new one", "The quote has expired. Ask for a new one."),
            ("Already one.", "Already one."),
            ("it is; is it? so", "It is. Is it? so."),
            ("wire_7 is a name", "wire_7 is a name."),
            ("the word \"a; b \\\"; c\" is quoted; it stays", "The word \"a; b \\\"; c\" is quoted. It stays."),
            ("€ 5 are too little", "€ 5 are too little."),
            ("", ""),
        ] {
            assert_eq!(sentence(error), told);
        }
    }
}
