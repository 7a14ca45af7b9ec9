//! Chance is an argument too: real programmes draw from the system, tests and simulations from a seed.

use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` completely.
    fn fill(&self, bytes: &mut [u8]);

    fn uuid(&self) -> Uuid {
        let mut bytes = [0u8; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

pub type SharedEntropy = Arc<dyn Entropy>;

/// The operating system's randomness.
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    pub fn shared() -> SharedEntropy {
        Arc::new(SystemEntropy(SystemRandom::new()))
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness no id and no secret can be made: stopping is the only safe answer.
        assert!(self.0.fill(bytes).is_ok(), "the operating system gives no randomness");
    }
}

/// A reproducible stream: SHA-256 over seed and a counter. Not for secrets.
pub struct SeededEntropy {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededEntropy {
    pub fn shared(seed: u64) -> SharedEntropy {
        Arc::new(SeededEntropy { seed, drawn: AtomicU64::new(0) })
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let mut context = Context::new(&SHA256);
            context.update(&self.seed.to_be_bytes());
            context.update(&self.drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            chunk.copy_from_slice(&context.finish().as_ref()[..chunk.len()]);
        }
    }
}

/// The id that belongs to these parts for ever: the first 16 bytes of SHA-256 over the parts, each
/// preceded by its length, marked as a version 8 UUID.
pub fn derived_uuid(parts: &[&[u8]]) -> Uuid {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// A secret for a person or a machine to carry: 32 random bytes as hexadecimal digits.
pub fn random_token(entropy: &dyn Entropy) -> String {
    let mut bytes = [0u8; 32];
    entropy.fill(&mut bytes);
    hex::encode(bytes)
}
