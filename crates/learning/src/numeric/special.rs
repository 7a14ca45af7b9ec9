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

/// ln(Σ exp(terms)); minus infinity for no terms.
pub fn ln_sum_exp(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + libm::log(terms.iter().map(|term| libm::exp(term - largest)).sum())
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

/// Gauss's hypergeometric function 2F1(1, b; c; z) for 0 < b < c and 0 ≤ z < 1, with its slopes.
///
/// By Gauss's continued fraction (DLMF 15.7.5), from the end backwards, with the slopes carried along: its error falls
/// by the factor (1 - √(1-z)) / (1 + √(1-z)) at each step, where the terms of the series fall by z, so it takes
/// hundreds of steps where the series takes ten thousand terms. Exact to the last digits up to z = 1 - 1e-5.
///
/// A 2F1(a, b; c; z) with c = a + 1 comes into this form by Euler's transformation,
/// 2F1(a, b; c; z) = (1 - z)^(c-a-b) 2F1(c-a, c-b; c; z) (Abramowitz and Stegun 15.3.3).
pub fn gauss_with_one(b: f64, c: f64, z: f64) -> Gauss {
    let root = (1.0 - z).sqrt();
    let factor = libm::log((1.0 - root) / (1.0 + root)).min(-1e-9);
    let pairs = ((-38.0 / factor).min(STEPS_MAX) / 2.0) as u32 + 3;
    let (mut rest, mut by_b, mut by_c, mut by_z) = (1.0, 0.0, 0.0, 0.0);
    for j in (1..=pairs).rev() {
        let j = f64::from(j);
        let (low, middle, high) = (c + 2.0 * j - 2.0, c + 2.0 * j - 1.0, c + 2.0 * j);
        // Each coefficient with its slopes by b and c; the odd one of a pair stands behind the even one.
        let odd = (b + j) * (c + j - 1.0) / (middle * high);
        let odd_by = (odd / (b + j), odd * (1.0 / (c + j - 1.0) - 1.0 / middle - 1.0 / high));
        let even = j * (c - b + j - 1.0) / (low * middle);
        let even_slope = even / (c - b + j - 1.0);
        let even_by = (-even_slope, even_slope - even / low - even / middle);
        for (coefficient, by) in [(odd, odd_by), (even, even_by)] {
            let turn = z / rest;
            let back = coefficient * turn / rest;
            by_b = back * by_b - by.0 * turn;
            by_c = back * by_c - by.1 * turn;
            by_z = back * by_z - coefficient / rest;
            rest = 1.0 - coefficient * turn;
        }
    }
    // The first coefficient is b / c, and the whole is one over what has come.
    let (first, turn) = (b / c, z / rest);
    let back = first * turn / rest;
    by_b = back * by_b - turn / c;
    by_c = back * by_c + first * turn / c;
    by_z = back * by_z - first / rest;
    let value = 1.0 / (1.0 - first * turn);
    let square = -value * value;
    Gauss { value, by_b: by_b * square, by_c: by_c * square, by_z: by_z * square }
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
            near(gauss_with_one(1.0, 2.0, z).value, logarithm, 1e-12);
            near(ln_gauss(1.0, 1.0, 2.0, z), logarithm.ln(), 1e-12);
            near(ln_gauss(2.5, 3.0, 3.0, z), -2.5 * libm::log1p(-z), 1e-12);
            let root = f64::sqrt(z);
            if root > 0.0 {
                near(gauss_with_one(0.5, 1.5, z).value, root.atanh() / root, 1e-12);
            }
        }
        // 2F1(1/2, 1/2; 3/2; z²) = arcsin(z) / z.
        near(ln_gauss(0.5, 0.5, 1.5, 0.64), (0.8_f64.asin() / 0.8).ln(), 1e-13);
        // The complete elliptic integral K(k² = 0.5) = 1.85407467730137191843 is π/2 2F1(1/2, 1/2; 1; k²).
        near(ln_gauss(0.5, 0.5, 1.0, 0.5).exp(), 1.854_074_677_301_372 / std::f64::consts::FRAC_PI_2, 1e-13);
        // Gauss's sum at z → 1: Γ(c)Γ(c-a-b)/(Γ(c-a)Γ(c-b)), here 2F1(1, 2; 6; 1) = 5/3.
        near(gauss_with_one(2.0, 6.0, 1.0 - 1e-9).value, 5.0 / 3.0, 1e-6);
    }

    proptest! {
        /// 2F1(a, b; a+1; z) by both roads, and the slopes against differences.
        #[test]
        fn the_transformed_series_is_the_same_function(b in 0.05..60.0_f64, over in 0.05..60.0_f64, z in 0.0..0.95_f64) {
            let c = b + over;
            let gauss = gauss_with_one(b, c, z);
            near(gauss.value.ln(), ln_gauss(1.0, b, c, z), 1e-10);
            let h = 1e-5;
            let at = |b: f64, c: f64, z: f64| gauss_with_one(b, c, z).value;
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
