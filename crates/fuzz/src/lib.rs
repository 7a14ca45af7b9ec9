//! Every reader of bytes from outside, with what must hold of whatever it makes of them.
//!
//! A target takes any bytes at all. It panics when a property is broken, and so does any arithmetic below it that
//! overflows; everything else is fine. `seeds/<target>/` holds where a search starts and every input that once broke
//! something; `cargo test` runs them all, `cargo xtask fuzz` goes on from there.

pub mod evaluate;
mod exchange_answer;
mod exchange_frames;
mod member_code;
mod purchase_body;
mod push_subscription;
mod webhook;

pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

pub const TARGETS: [Target; 7] = [
    Target { name: "evaluate", run: evaluate::run },
    Target { name: "purchase_body", run: purchase_body::run },
    Target { name: "webhook", run: webhook::run },
    Target { name: "member_code", run: member_code::run },
    Target { name: "exchange_answer", run: exchange_answer::run },
    Target { name: "exchange_frames", run: exchange_frames::run },
    Target { name: "push_subscription", run: push_subscription::run },
];
