//! The program that libFuzzer drives. `HUNCH_FUZZ_TARGET` names the target; the arguments are libFuzzer's.
#![no_main]

use hunch_fuzz::TARGETS;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static RUN: OnceLock<fn(&[u8])> = OnceLock::new();

fn chosen() -> fn(&[u8]) {
    let name = std::env::var("HUNCH_FUZZ_TARGET").unwrap_or_default();
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => target.run,
        None => {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            panic!("HUNCH_FUZZ_TARGET names one of {names:?}");
        }
    }
}

fuzz_target!(|bytes: &[u8]| RUN.get_or_init(chosen)(bytes));
