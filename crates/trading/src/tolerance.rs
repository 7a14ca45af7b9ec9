//! How far the price may move between what a member sees and what he pays, without his being asked again.
//!
//! A tenth of what is at stake on either side, at most two cents, on prices that the exchange takes: 48 may become 50,
//! 20 may become 22, 5 in whole cents stays 5, and so does 0.3 in tenths of a cent. The smaller of price and gain counts:
//! a contract at 95 costs little more a cent higher, but a fifth of what it can win would be gone.

use hunch_exchange::PriceBand;
use hunch_kernel::{Price, Side};

const TOLERANCE_MAX_MICROS: i64 = 20_000;
/// One part in so many.
const TOLERANCE_SHARE: i64 = 10;
/// Whole cents are prices on every grid.
const CENT: i64 = 10_000;
const ONE: i64 = 1_000_000;

/// The most that is paid for a contract of `side` that costs `price` now. Never below it, and on the exchange's grid if
/// the price is. `bands` are prices of YES; without any, whole cents count.
pub(crate) fn worst_price(price: Price, side: Side, bands: &[PriceBand]) -> Price {
    let micros = price.micros();
    let room = (micros.min(ONE - micros) / TOLERANCE_SHARE).min(TOLERANCE_MAX_MICROS);
    let highest = match side {
        Side::Yes => at_most(micros + room, bands),
        Side::No => at_least(ONE - micros - room, bands).map(|yes| ONE - yes),
    };
    let highest = highest.filter(|highest| (micros..ONE).contains(highest));
    highest.and_then(|micros| Price::from_micros(micros).ok()).unwrap_or(price)
}

/// The highest price on the grid that is not above `micros`.
fn at_most(micros: i64, bands: &[PriceBand]) -> Option<i64> {
    steps(bands)
        .filter(|(start, _, _)| *start <= micros)
        .map(|(start, end, step)| start + (micros.min(end) - start) / step * step)
        .max()
}

/// The lowest price on the grid that is not below `micros`.
fn at_least(micros: i64, bands: &[PriceBand]) -> Option<i64> {
    let up = |(start, end, step): (i64, i64, i64)| {
        let steps = (micros - start).max(0);
        let price = start + (steps / step + i64::from(steps % step != 0)) * step;
        (price <= end).then_some(price)
    };
    steps(bands).filter_map(up).min()
}

/// (start, end, step) of each band that can be walked.
fn steps(bands: &[PriceBand]) -> impl Iterator<Item = (i64, i64, i64)> {
    let whole_cents = bands.is_empty().then_some((0, ONE, CENT));
    let walked = bands.iter().map(|b| (b.start.micros(), b.end.micros(), b.step.micros()));
    walked.filter(|(start, end, step)| *step > 0 && start <= end).chain(whole_cents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bands(ranges: &[(i64, i64, i64)]) -> Vec<PriceBand> {
        let price = |micros| Price::from_micros(micros).unwrap();
        ranges.iter().map(|(s, e, step)| PriceBand { start: price(*s), end: price(*e), step: price(*step) }).collect()
    }

    fn linear() -> Vec<PriceBand> {
        bands(&[(0, ONE, 10_000)])
    }

    fn deci() -> Vec<PriceBand> {
        bands(&[(0, ONE, 1_000)])
    }

    fn tapered() -> Vec<PriceBand> {
        bands(&[(0, 100_000, 1_000), (100_000, 900_000, 10_000), (900_000, ONE, 1_000)])
    }

    /// Finer below the middle than above, so that the two sides differ.
    fn lopsided() -> Vec<PriceBand> {
        bands(&[(0, 500_000, 1_000), (500_000, ONE, 10_000)])
    }

    fn worst(cents: &str, side: Side, bands: &[PriceBand]) -> String {
        let text: hunch_kernel::Dollars = cents.parse().unwrap();
        let price = Price::from_micros(text.0 / 100).unwrap();
        let worst = worst_price(price, side, bands).micros();
        format!("{}.{}", worst / 10_000, worst % 10_000 / 1_000)
    }

    #[test]
    fn the_tolerance_follows_price_and_tick() {
        let (linear, deci, tapered, lopsided) = (linear(), deci(), tapered(), lopsided());
        let cases: &[(&str, &[PriceBand], &str)] = &[
            // Whole cents: two at most, one where a tenth is more than one, none where it is less.
            ("48", &linear, "50.0"),
            ("35", &linear, "37.0"),
            ("20", &linear, "22.0"),
            ("19", &linear, "20.0"),
            ("10", &linear, "11.0"),
            ("9", &linear, "9.0"),
            ("1", &linear, "1.0"),
            ("80", &linear, "82.0"),
            ("85", &linear, "86.0"),
            ("95", &linear, "95.0"),
            ("99", &linear, "99.0"),
            // Tenths of a cent.
            ("48.3", &deci, "50.3"),
            ("5", &deci, "5.5"),
            ("1", &deci, "1.1"),
            ("0.9", &deci, "0.9"),
            ("0.3", &deci, "0.3"),
            ("95.1", &deci, "95.5"),
            ("99.9", &deci, "99.9"),
            // Tapered: fine at both ends.
            ("0.3", &tapered, "0.3"),
            ("9.8", &tapered, "10.0"),
            ("12", &tapered, "13.0"),
            ("89", &tapered, "90.1"),
            ("91.5", &tapered, "92.3"),
            // A market whose grid is not known: whole cents are prices everywhere.
            ("48", &[], "50.0"),
            ("0.3", &[], "0.3"),
            ("48.5", &[], "50.0"),
        ];
        for (price, bands, expected) in cases {
            assert_eq!(worst(price, Side::Yes, bands), *expected, "{price} on {bands:?}");
            assert_eq!(worst(price, Side::No, bands), *expected, "{price} of NO on {bands:?}");
        }
        // NO at 30 is YES at 70, where only whole cents are prices; YES at 30 has tenths.
        assert_eq!(worst("30.5", Side::Yes, &lopsided), "32.5");
        assert_eq!(worst("30", Side::No, &lopsided), "32.0");
        assert_eq!(worst("15", Side::No, &lopsided), "16.0");
        assert_eq!(worst("15", Side::Yes, &lopsided), "16.5");
        // Bands that make no sense lead to no other price than the one that is shown.
        assert_eq!(worst("48", Side::Yes, &bands(&[(0, ONE, 0)])), "48.0");
        assert_eq!(worst("48", Side::Yes, &bands(&[(900_000, 100_000, 10_000)])), "48.0");
    }

    proptest! {
        /// Never better than shown, never more than two cents or a tenth away, on the grid, and never a dollar.
        #[test]
        fn the_worst_price_is_near_and_on_the_grid(ticks in 1i64..1_000, grid in 0usize..4, yes in any::<bool>()) {
            let bands = [linear(), deci(), tapered(), lopsided()][grid].clone();
            let side = if yes { Side::Yes } else { Side::No };
            let own = |micros: i64| if yes { micros } else { ONE - micros };
            let on_grid = |micros: i64| steps(&bands).any(|(s, e, step)| (s..=e).contains(&micros) && (micros - s) % step == 0);
            let micros = ticks * 1_000;
            prop_assume!(on_grid(own(micros)));
            let worst = worst_price(Price::from_micros(micros).unwrap(), side, &bands).micros();
            prop_assert!(worst >= micros && worst < ONE);
            prop_assert!(worst - micros <= TOLERANCE_MAX_MICROS);
            prop_assert!((worst - micros) * TOLERANCE_SHARE <= micros.min(ONE - micros));
            prop_assert!(on_grid(own(worst)), "{worst}");
        }
    }
}
