//! Codes that people type: eight characters without look-alikes, 40 bits of chance.

use hunch_kernel::Entropy;

/// Crockford's alphabet: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new code, such as `7K2M-9PXQ`.
pub fn sign_in_code(entropy: &dyn Entropy) -> String {
    let mut bytes = [0u8; 8];
    entropy.fill(&mut bytes);
    let letters: String = bytes.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect();
    format!("{}-{}", &letters[..4], &letters[4..])
}

/// As a person may have typed it: any case, with or without the dash, O for 0, I or L for 1.
pub(crate) fn normalise(typed: &str) -> String {
    let letters: String = typed
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .take(16)
        .collect();
    match letters.split_at_checked(4) {
        Some((first, rest)) => format!("{first}-{rest}"),
        None => letters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_kernel::SeededEntropy;

    #[test]
    fn a_code_survives_being_typed() {
        let code = sign_in_code(SeededEntropy::shared(3).as_ref());
        assert_eq!(code.len(), 9);
        assert_eq!(normalise(&code.to_lowercase().replace('-', " ")), code);
        assert_eq!(normalise("oil0-abcd"), "0110-ABCD");
        assert_eq!(normalise("é"), "");
    }
}
