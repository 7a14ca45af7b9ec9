//! What a relay sends: a line with the signature's header, then the body. A header `sign` is replaced by the right
//! signature, so that bodies behind the lock are reached too.

use hunch_http::fuzzing::settlement;
use hunch_http::{WebhookKey, sign_webhook};
use hunch_kernel::{ManualClock, SharedWallClock};
use jiff::Timestamp;

const SECRET: &str = "of the fuzzer";
const NOW: i64 = 1_795_000_000;

pub fn run(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (header, body) = (&bytes[..at], bytes.get(at + 1..).unwrap_or_default());
    let Ok(header) = std::str::from_utf8(header) else { return };
    let wall: SharedWallClock = ManualClock::at(Timestamp::from_second(NOW).expect("a time of our own"));
    let honest = sign_webhook(SECRET, NOW, body);
    let signed = header == "sign";
    match settlement(&WebhookKey::new(SECRET), if signed { &honest } else { header }, body, &wall) {
        Ok((market, outcome)) => {
            assert!(signed || header.contains(&honest[honest.len() - 64..]), "an unsigned call was believed");
            assert!((1..=200).contains(&market.len()) && !market.contains('\0'));
            assert!(["yes", "no", "scalar"].contains(&outcome));
        }
        Err(sentence) => assert!(!sentence.is_empty(), "a refusal says why"),
    }
}
