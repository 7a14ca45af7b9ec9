//! The exponential function from additions and multiplications alone: the same on every machine, and loops over it are
//! turned into vector instructions, which a call would prevent.

/// Arguments beyond are taken for it; e^80 is about 5.5e34.
pub const ARGUMENT_MAX: f64 = 80.0;

/// ln 2 in two parts, of which the first has 20 zeros at its end: its product with a small whole number is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// 1.5 * 2^52: added to a number below 2^51, it leaves the nearest whole number in the lowest bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;

/// e^x for x from -80 to 80, within two units in the last place.
///
/// x = k ln 2 + r with |r| at most ln 2 / 2; e^r by its series up to r^13, whose next term is below 5e-18.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    let x = x.clamp(-ARGUMENT_MAX, ARGUMENT_MAX);
    let shifted = x * std::f64::consts::LOG2_E + SHIFT;
    let k = shifted - SHIFT;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let mut sum = 1.0 / 6_227_020_800.0;
    for inverse in INVERSE_FACTORIALS {
        sum = sum * r + inverse;
    }
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    sum * power
}

/// 1/12!, 1/11! … 1/0!
const INVERSE_FACTORIALS: [f64; 13] = [
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
    1.0,
    1.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_libm() {
        for i in -80_000..=80_000 {
            let x = f64::from(i) / 1_000.0;
            let expected = libm::exp(x);
            assert!((exp(x) / expected - 1.0).abs() < 5e-16, "{x}: {} instead of {expected}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(1e9), exp(80.0));
    }

    /// Bits that every machine must give.
    #[test]
    fn these_are_the_bits() {
        for (x, bits) in [(1.0, 0x4005_BF0A_8B14_576A_u64), (-1.0, 0x3FD7_8B56_362C_EF38)] {
            let off = exp(x).to_bits().abs_diff(bits);
            assert!(off <= 1, "{x}: {:x}", exp(x).to_bits());
        }
    }
}
