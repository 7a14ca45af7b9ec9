//! Chance from a seed: the same numbers on every machine.

use rand::{Rng as _, SeedableRng};

/// PCG XSL RR 128/64 (O'Neill 2014): small, fast, its stream fixed by the crate's contract.
pub type Chance = rand_pcg::Pcg64;

/// The stream of `seed` for one `purpose`, so that two uses of one seed do not walk in step.
pub fn chance(seed: u64, purpose: u64) -> Chance {
    Chance::seed_from_u64(seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// In [0, 1), in steps of 2⁻⁵³.
pub(crate) fn uniform(chance: &mut Chance) -> f64 {
    (chance.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}
