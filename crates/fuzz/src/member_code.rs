//! What a till scanned.

use hunch_loyalty::CodeKey;
use uuid::Uuid;

pub fn run(bytes: &[u8]) {
    let key = CodeKey::new(b"of the fuzzer");
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(code) = key.read(text) {
        assert_eq!(text.trim(), key.text(code), "only our own text is a code, and in one spelling");
    }
    // Sixteen bytes are a pseudonym: its own code is read back, and no other key reads it.
    if let Ok(code) = Uuid::from_slice(bytes) {
        assert_eq!(key.read(&key.text(code)), Ok(code));
        assert!(CodeKey::new(b"of someone else").read(&key.text(code)).is_err());
    }
}
