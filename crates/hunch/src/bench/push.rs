//! Sealing pushes (RFC 8291) on one core. The floor is the one thing in it that nobody can avoid: a fresh key pair and a
//! key agreement on P-256 for each message.

use anyhow::{Context, anyhow};
use hunch_kernel::SystemEntropy;
use hunch_messaging::push::{UserAgentKeys, seal};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::rand::SystemRandom;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::bench::{Figures, Measured, cpu_seconds, measured};

#[derive(clap::Args, Debug)]
pub struct PushBench {
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 200)]
    bytes: usize,
}

pub fn run(options: &PushBench) -> anyhow::Result<Measured> {
    let random = SystemRandom::new();
    let unspecified = |_| anyhow!("no key could be made");
    let phone = EphemeralPrivateKey::generate(&ECDH_P256, &random).map_err(unspecified)?;
    let public = phone.compute_public_key().map_err(unspecified)?;
    let mut auth = [0u8; 16];
    SystemEntropy::shared().fill(&mut auth);
    let keys = UserAgentKeys::new(public.as_ref(), &auth).context("the phone's keys")?;
    let message = vec![b'x'; options.bytes];

    let (mut floor, begun) = (0u64, Instant::now());
    while begun.elapsed() < Duration::from_secs(options.seconds) {
        let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).map_err(unspecified)?;
        black_box(own.compute_public_key().map_err(unspecified)?);
        let theirs = UnparsedPublicKey::new(&ECDH_P256, public.as_ref());
        black_box(agree_ephemeral(own, &theirs, |secret| secret[0]).map_err(unspecified)?);
        floor += 1;
    }
    let floor = floor as f64 / begun.elapsed().as_secs_f64();

    let (mut latencies, cpu, begun) = (Vec::new(), cpu_seconds(), Instant::now());
    while begun.elapsed() < Duration::from_secs(options.seconds) {
        let sealing = Instant::now();
        black_box(seal(&keys, &message)?);
        latencies.push(sealing.elapsed());
    }
    let took = begun.elapsed();
    let done = latencies.len() as f64;
    let figures = Figures { done, took, cpu: cpu_seconds() - cpu, wal: 0.0, floor, clients: 1, batch: 1 };
    Ok(measured("push", &mut latencies, &figures))
}
