//! What the exchange says of an order and cannot be so. Pure.
//!
//! Every order of ours is immediate-or-cancel, with a count and a worst price. A report that breaks these bounds is not
//! booked: the order counts as unknown, with the doubt written beside it, until the exchange shows something possible or a
//! person decides.

use hunch_exchange::OrderReport;
use hunch_kernel::{Count, Dollars, Price};

use crate::order::Order;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Contracts rest in the book, though none may: they can still fill.
    StillResting,
    FilledMoreThanAsked,
    Negative,
    /// More was paid than the worst price allows.
    TooDear,
    /// A fee above what the contracts can ever pay.
    FeeTooHigh,
    /// The exchange's complete data shows less than its answer to the order told.
    LessThanTold,
}

impl Doubt {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Doubt::StillResting => "still_resting",
            Doubt::FilledMoreThanAsked => "filled_more_than_asked",
            Doubt::Negative => "negative",
            Doubt::TooDear => "too_dear",
            Doubt::FeeTooHigh => "fee_too_high",
            Doubt::LessThanTold => "less_than_told",
        }
    }
}

/// Why this report cannot be booked, if it cannot.
pub(crate) fn doubt(order: &Order, report: &OrderReport) -> Option<Doubt> {
    if report.resting > Count::ZERO {
        return Some(Doubt::StillResting);
    }
    if report.resting < Count::ZERO {
        return Some(Doubt::Negative);
    }
    doubt_figures(order, report.filled, report.cost, report.fees)
}

/// As [`doubt`], for what the fills of an order add up to.
pub(crate) fn doubt_figures(order: &Order, filled: Count, cost: Dollars, fees: Dollars) -> Option<Doubt> {
    let most = order.worst_price.times_up(filled);
    let checks = [
        (filled < Count::ZERO || cost < Dollars::ZERO || fees < Dollars::ZERO, Doubt::Negative),
        (filled > order.count, Doubt::FilledMoreThanAsked),
        (cost > most, Doubt::TooDear),
        (fees > Price::ONE.times_up(filled), Doubt::FeeTooHigh),
    ];
    checks.into_iter().find(|(broken, _)| *broken).map(|(_, doubt)| doubt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::testing::order;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn report(filled: i64, resting: i64, cost: i64, fees: i64) -> OrderReport {
        OrderReport {
            exchange_order_id: "x".to_owned(),
            client_order_id: Uuid::from_u128(4),
            filled: Count(filled),
            resting: Count(resting),
            average_price: None,
            cost: Dollars(cost),
            fees: Dollars(fees),
        }
    }

    #[test]
    fn impossible_figures_are_named() {
        // 2.56 contracts at 0.35 at the worst.
        let order = order(256, 100);
        for (report, expected) in [
            (report(256, 0, 896_000, 41_000), None),
            (report(0, 0, 0, 0), None),
            (report(1, 0, 3_500, 100), None),
            (report(0, 256, 0, 0), Some("still_resting")),
            (report(256, 1, 896_000, 41_000), Some("still_resting")),
            (report(257, 0, 899_500, 41_000), Some("filled_more_than_asked")),
            (report(-1, 0, 0, 0), Some("negative")),
            (report(0, -1, 0, 0), Some("negative")),
            (report(1, 0, -1, 0), Some("negative")),
            (report(1, 0, 0, -1), Some("negative")),
            (report(256, 0, 896_001, 41_000), Some("too_dear")),
            (report(0, 0, 1, 0), Some("too_dear")),
            (report(256, 0, 896_000, 2_560_001), Some("fee_too_high")),
        ] {
            assert_eq!(doubt(&order, &report).map(Doubt::as_str), expected, "{report:?}");
        }
    }

    proptest! {
        /// Whatever is not doubted is within the order: its contracts, its price.
        #[test]
        fn what_is_believed_is_possible(filled in -10i64..400, resting in -5i64..5, cost in -10i64..2_000_000, fees in -10i64..3_000_000) {
            let order = order(256, 100);
            let said = report(filled, resting, cost, fees);
            if doubt(&order, &said).is_none() {
                prop_assert!(said.resting == Count::ZERO && (Count::ZERO..=order.count).contains(&said.filled));
                prop_assert!((Dollars::ZERO..=order.worst_price.times_up(said.filled)).contains(&said.cost));
                prop_assert!(said.fees >= Dollars::ZERO);
            }
        }
    }
}
