//! What the exchange says on its socket: one frame a line.

use hunch_exchange::StreamEvent;
use hunch_kalshi::fuzzing::frames;
use hunch_kernel::Count;

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let events = frames(text.lines());
    assert!(events.len() <= text.lines().count(), "a frame is at most one event");
    for event in &events {
        if let StreamEvent::Fill(fill) = event {
            assert!(fill.count >= Count::ZERO && !fill.fill_id.is_empty());
        }
    }
    // Said twice on one connection, a numbered frame is heard once.
    let once = frames([text].into_iter());
    if numbered(text) && once.first() != Some(&StreamEvent::Gap) {
        assert_eq!(frames([text, text].into_iter()), once);
    }
}

fn numbered(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok_and(|frame| frame["sid"].is_u64() && frame["seq"].is_u64())
}
