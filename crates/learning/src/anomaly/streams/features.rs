//! The numbers by which a purchase is judged.

use super::customers::Customer;
use super::terminals::Terminal;
use super::{DAY, Purchase};

/// How many there are.
pub const FEATURES: usize = NAMES.len();

/// One number for each of `NAMES`; NaN is "not known yet".
pub type Features = [f64; FEATURES];

/// `_1`, `_7` and `_30` are windows of days. Labels are those known by now: their windows end a label delay ago.
pub const NAMES: [&str; 42] = [
    "amount",
    "hour",
    "night",
    "weekend",
    "customer_count_1",
    "customer_count_7",
    "customer_count_30",
    "customer_mean_1",
    "customer_mean_7",
    "customer_mean_30",
    "customer_purchases",
    "customer_days_since",
    "amount_ratio",
    "amount_deviations",
    "amount_over_largest",
    "amount_over_mean_30",
    "amount_over_all",
    "customer_excess",
    "customer_places",
    "terminal_others_since",
    "customer_frauds_7",
    "customer_frauds_30",
    "customer_fraud_days",
    "terminal_count_1",
    "terminal_count_7",
    "terminal_count_30",
    "terminal_ratio_1",
    "terminal_ratio_7",
    "terminal_labels_1",
    "terminal_labels_7",
    "terminal_labels_30",
    "terminal_risk_1",
    "terminal_risk_7",
    "terminal_risk_30",
    "terminal_frauds_30",
    "terminal_quiet_7",
    "terminal_quiet_30",
    "terminal_last_8",
    "terminal_run",
    "terminal_run_days",
    "terminal_honest_days",
    "terminal_fraud_days",
];

/// Brings both states to the purchase's time and reads them. `labelled` is the time up to which labels are known.
pub fn of(
    purchase: &Purchase,
    customer: &mut Customer,
    terminal: &mut Terminal,
    labelled: i64,
    everyone: f64,
) -> Features {
    let now = purchase.seconds;
    customer.amounts.advance(now);
    customer.labels.advance(labelled);
    terminal.ratios.advance(now);
    terminal.labels.advance(labelled);
    terminal.quiet.advance(labelled);
    let days = |since: Option<i64>| since.map_or(f64::NAN, |since| (now - since) as f64 / DAY as f64);
    let (hour, day) = (now.rem_euclid(DAY) as f64 / 3600.0, now.div_euclid(DAY));
    // The first day of 1970 was a Thursday.
    let weekend = (day + 3).rem_euclid(7) >= 5;
    let (spent, risk) = (&customer.amounts, &terminal.labels);
    let usual = spent.mean(2);
    [
        purchase.amount,
        hour,
        f64::from(u8::from(hour < 6.0)),
        f64::from(u8::from(weekend)),
        spent.count(0),
        spent.count(1),
        spent.count(2),
        spent.mean(0),
        spent.mean(1),
        usual,
        customer.count,
        days(spent.last()),
        customer.ratio(purchase.amount, everyone),
        customer.deviations(purchase.amount, everyone),
        customer.over_largest(purchase.amount),
        if usual > 0.0 { (purchase.amount / usual).min(1e6) } else { f64::NAN },
        if everyone > 0.0 { (purchase.amount / everyone).min(1e6) } else { f64::NAN },
        customer.excess(now),
        customer.places(),
        customer.others_since(purchase.terminal),
        customer.labels.sum(1),
        customer.labels.sum(2),
        days(customer.fraud_last),
        terminal.ratios.count(0),
        terminal.ratios.count(1),
        terminal.ratios.count(2),
        terminal.ratios.mean(0),
        terminal.ratios.mean(1),
        risk.count(0),
        risk.count(1),
        risk.count(2),
        risk.mean(0),
        risk.mean(1),
        risk.mean(2),
        risk.sum(2),
        terminal.quiet.sum(1),
        terminal.quiet.sum(2),
        terminal.share_of_last(8),
        terminal.run,
        days(terminal.run_first),
        days(terminal.honest_last),
        days(terminal.fraud_last),
    ]
}
