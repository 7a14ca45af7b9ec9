//! Special functions that the estimators need and no healthy crate offers in the form they need.

use statrs::function::gamma::digamma as psi;

/// ln Γ(x) for x > 0.
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// The derivative of ln Γ, for x > 0.
pub fn digamma(x: f64) -> f64 {
    psi(x)
}

/// 1 / (1 + exp(-x)).
pub fn logistic(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + libm::exp(-x))
    } else {
        let e = libm::exp(x);
        e / (1.0 + e)
    }
}

/// ln(p / (1 - p)), with p kept at least 1e-9 away from 0 and 1.
pub fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-9, 1.0 - 1e-9);
    libm::log(p / (1.0 - p))
}

/// The value of 2F1(1, b; c; z) and its partial derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauss {
    pub value: f64,
    pub by_b: f64,
    pub by_c: f64,
    pub by_z: f64,
}

/// Steps of a continued fraction, and terms of a series, after which they are taken as they are.
const STEPS_MAX: f64 = 4_000.0;
const TERMS_MAX: u32 = 200_000;

/// Below this both parts of a fraction are made larger, before they leave the range of numbers.
const SMALL: f64 = 1e-200;

/// Gauss's hypergeometric function 2F1(1, b; c; z) for 0 < b < c and 0 ≤ z < 1.
///
/// By Gauss's continued fraction (DLMF 15.7.5), from the end backwards: its error falls by the factor
/// (1 - √(1-z)) / (1 + √(1-z)) at each step, where the terms of the series fall by z, so it takes hundreds of steps
/// where the series takes ten thousand terms. Exact to the last digits up to z = 1 - 1e-5. What has been reckoned of it
/// is kept as numerator and denominator, since a division at each step would be waited for.
///
/// A 2F1(a, b; c; z) with c = a + 1 comes into this form by Euler's transformation,
/// 2F1(a, b; c; z) = (1 - z)^(c-a-b) 2F1(c-a, c-b; c; z) (Abramowitz and Stegun 15.3.3).
pub fn gauss_with_one(b: f64, c: f64, z: f64) -> f64 {
    let (mut above, mut below) = (1.0, 1.0);
    for j in steps(z) {
        let pair = Pair::new(b, c, j);
        let middle = above - pair.odd * z * below;
        (above, below) = (middle - pair.even * z * above, middle);
        if below < SMALL {
            (above, below) = (above / SMALL, below / SMALL);
        }
    }
    // The first coefficient is b / c, and the whole is one over what has come.
    above / (above - b / c * z * below)
}

/// `gauss_with_one` with its slopes, carried along step by step.
pub fn gauss_with_one_and_slopes(b: f64, c: f64, z: f64) -> Gauss {
    let (mut above, mut below) = (Sloping::ONE, Sloping::ONE);
    for j in steps(z) {
        let pair = Pair::new(b, c, j);
        let middle = above.less(pair.odd, pair.odd_by(), z, below);
        (above, below) = (middle.less(pair.even, pair.even_by(), z, above), middle);
        if below.value < SMALL {
            (above, below) = (above.times(1.0 / SMALL), below.times(1.0 / SMALL));
        }
    }
    let first = b / c;
    let whole = above.less(first, (1.0 / c, -first / c), z, below);
    let value = above.value / whole.value;
    let by = |above: f64, whole_by: f64| (above - value * whole_by) / whole.value;
    let (by_b, by_c) = (by(above.by_b, whole.by_b), by(above.by_c, whole.by_c));
    Gauss { value, by_b, by_c, by_z: by(above.by_z, whole.by_z) }
}

/// A number with its slopes by b, c and z.
#[derive(Clone, Copy)]
struct Sloping {
    value: f64,
    by_b: f64,
    by_c: f64,
    by_z: f64,
}

impl Sloping {
    const ONE: Sloping = Sloping { value: 1.0, by_b: 0.0, by_c: 0.0, by_z: 0.0 };

    /// Less `coefficient` times z times `other`.
    #[inline(always)]
    fn less(self, coefficient: f64, by: (f64, f64), z: f64, other: Sloping) -> Sloping {
        let (times, value) = (coefficient * z, z * other.value);
        Sloping {
            value: self.value - times * other.value,
            by_b: self.by_b - times * other.by_b - by.0 * value,
            by_c: self.by_c - times * other.by_c - by.1 * value,
            by_z: self.by_z - times * other.by_z - coefficient * other.value,
        }
    }

    fn times(self, factor: f64) -> Sloping {
        Sloping {
            value: self.value * factor,
            by_b: self.by_b * factor,
            by_c: self.by_c * factor,
            by_z: self.by_z * factor,
        }
    }
}

/// Two coefficients of the continued fraction that follow each other; the odd one stands behind the even one.
struct Pair {
    /// (b+j) (c+j-1) / ((c+2j-1) (c+2j))
    odd: f64,
    /// j (c-b+j-1) / ((c+2j-2) (c+2j-1))
    even: f64,
    odd_by_b: f64,
    odd_by_sum: f64,
    even_by_b: f64,
    /// One over c+2j-2, c+2j-1 and c+2j.
    inverse: [f64; 3],
}

impl Pair {
    #[inline(always)]
    fn new(b: f64, c: f64, j: f64) -> Pair {
        let (low, middle, high) = (c + 2.0 * j - 2.0, c + 2.0 * j - 1.0, c + 2.0 * j);
        // One division for three.
        let all = 1.0 / (low * middle * high);
        let (lower, upper) = (all * high, all * low);
        let (odd_by_b, even_by_b) = ((c + j - 1.0) * upper, -j * lower);
        Pair {
            odd: (b + j) * odd_by_b,
            even: (b - c - j + 1.0) * even_by_b,
            odd_by_b,
            odd_by_sum: (b + j) * upper,
            even_by_b,
            inverse: [lower * middle, all * low * high, upper * middle],
        }
    }

    /// Slopes by b and c.
    #[inline(always)]
    fn odd_by(&self) -> (f64, f64) {
        (self.odd_by_b, self.odd_by_sum - self.odd * (self.inverse[1] + self.inverse[2]))
    }

    #[inline(always)]
    fn even_by(&self) -> (f64, f64) {
        (self.even_by_b, -self.even_by_b - self.even * (self.inverse[0] + self.inverse[1]))
    }
}

/// Numbers of the pairs that are needed at z, from the last to the first.
fn steps(z: f64) -> impl Iterator<Item = f64> {
    let root = (1.0 - z).sqrt();
    let factor = libm::log((1.0 - root) / (1.0 + root)).min(-1e-9);
    let pairs = ((-38.0 / factor).min(STEPS_MAX) / 2.0) as u32 + 2;
    (1..=pairs).rev().map(f64::from)
}

/// Gauss's hypergeometric function 2F1(a, b; c; z) for a, b, c > 0 and 0 ≤ z < 1, as its logarithm, which stays finite
/// where the function itself does not.
///
/// The series is summed as it stands if c > a + b, and after Euler's transformation otherwise (if that keeps its
/// parameters positive), so that terms fall as fast as they can.
pub fn ln_gauss(a: f64, b: f64, c: f64, z: f64) -> f64 {
    let surplus = c - a - b;
    if surplus < 0.0 && c > a && c > b {
        return surplus * libm::log1p(-z) + ln_series(c - a, c - b, c, z);
    }
    ln_series(a, b, c, z)
}

fn ln_series(a: f64, b: f64, c: f64, z: f64) -> f64 {
    let (mut sum, mut term, mut scale) = (1.0, 1.0, 0.0);
    for n in 0..TERMS_MAX {
        let n = f64::from(n);
        let ratio = (a + n) * (b + n) / ((c + n) * (n + 1.0)) * z;
        term *= ratio;
        sum += term;
        if sum > 1e200 {
            (sum, term, scale) = (sum * 1e-200, term * 1e-200, scale + 200.0 * std::f64::consts::LN_10);
        }
        if ratio < 1.0 && term / (1.0 - ratio) < 1e-16 * sum {
            break;
        }
    }
    libm::log(sum) + scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(left: f64, right: f64, tolerance: f64) {
        assert!((left - right).abs() <= tolerance * right.abs().max(1.0), "{left} is not {right}");
    }

    /// Abramowitz and Stegun 15.1.3 to 15.1.8: elementary cases.
    #[test]
    fn gauss_agrees_with_its_elementary_cases() {
        for z in [0.0, 1e-9, 0.1, 0.5, 0.9, 0.99, 0.999] {
            let logarithm = if z == 0.0 { 1.0 } else { -libm::log1p(-z) / z };
            near(gauss_with_one(1.0, 2.0, z), logarithm, 1e-12);
            near(ln_gauss(1.0, 1.0, 2.0, z), logarithm.ln(), 1e-12);
            near(ln_gauss(2.5, 3.0, 3.0, z), -2.5 * libm::log1p(-z), 1e-12);
            let root = f64::sqrt(z);
            if root > 0.0 {
                near(gauss_with_one(0.5, 1.5, z), root.atanh() / root, 1e-12);
            }
        }
        // 2F1(1/2, 1/2; 3/2; z²) = arcsin(z) / z.
        near(ln_gauss(0.5, 0.5, 1.5, 0.64), (0.8_f64.asin() / 0.8).ln(), 1e-13);
        // The complete elliptic integral K(k² = 0.5) = 1.85407467730137191843 is π/2 2F1(1/2, 1/2; 1; k²).
        near(ln_gauss(0.5, 0.5, 1.0, 0.5).exp(), 1.854_074_677_301_372 / std::f64::consts::FRAC_PI_2, 1e-13);
        // Gauss's sum at z → 1: Γ(c)Γ(c-a-b)/(Γ(c-a)Γ(c-b)), here 2F1(1, 2; 6; 1) = 5/3.
        near(gauss_with_one(2.0, 6.0, 1.0 - 1e-9), 5.0 / 3.0, 1e-6);
    }

    proptest! {
        /// 2F1(a, b; a+1; z) by both roads, and the slopes against differences.
        #[test]
        fn the_transformed_series_is_the_same_function(b in 0.05..60.0_f64, over in 0.05..60.0_f64, z in 0.0..0.95_f64) {
            let c = b + over;
            let gauss = gauss_with_one_and_slopes(b, c, z);
            near(gauss_with_one(b, c, z).ln(), ln_gauss(1.0, b, c, z), 1e-10);
            near(gauss.value.ln(), ln_gauss(1.0, b, c, z), 1e-10);
            let h = 1e-5;
            let at = gauss_with_one;
            near(gauss.by_b, (at(b + h, c, z) - at(b - h, c, z)) / (2.0 * h), 1e-5);
            near(gauss.by_c, (at(b, c + h, z) - at(b, c - h, z)) / (2.0 * h), 1e-5);
            if z > 2.0 * h {
                near(gauss.by_z, (at(b, c, z + h) - at(b, c, z - h)) / (2.0 * h), 1e-4);
            }
        }
    }

    #[test]
    fn logistic_and_logit_undo_each_other_and_stay_finite() {
        for x in [-15.0, -1.0, 0.0, 3.0, 15.0] {
            near(logit(logistic(x)), x, 1e-8);
        }
        assert_eq!(logistic(-1e4), 0.0);
        assert!(logit(0.0).is_finite() && logit(1.0).is_finite());
    }
}
