//! Money of many currencies: how much one receipt may say, and how an amount is written for people.

/// More than this many units of its currency on one receipt is a mistake: about what a million dollars are worth, to within a
/// factor of a hundred either way.
const UNITS_MAX: i64 = 1_000_000;
/// Currencies of which a unit is worth some cents at most: a hundred times as many are possible.
const SMALL: &[&str] = &[
    "ALL", "AMD", "CLP", "CRC", "CVE", "DZD", "HUF", "ISK", "JMD", "JPY", "KMF", "KES", "KRW", "KZT", "LKR", "NGN",
    "NPR", "PKR", "RSD", "RWF", "TZS", "XAF", "XOF", "XPF", "YER",
];
/// Currencies of which a unit is worth less than a tenth of a cent: ten thousand times as many are possible.
const TINY: &[&str] = &[
    "BIF", "COP", "GNF", "IDR", "IQD", "IRR", "KHR", "LAK", "LBP", "MGA", "MMK", "MNT", "PYG", "SLL", "SOS", "UGX",
    "UZS", "VND",
];
/// ISO 4217: currencies that are not divided into hundredths.
const DIGITS: &[(u32, &[&str])] = &[
    (
        0,
        &[
            "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
            "XOF", "XPF",
        ],
    ),
    (3, &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]),
    (4, &["CLF", "UYW"]),
];

/// The largest amount that any currency allows, in its smallest unit.
pub const AMOUNT_MINOR_MAX: i64 = UNITS_MAX * 10_000 * 1_000;

/// Decimals of an amount in this currency.
fn digits(currency: &str) -> u32 {
    DIGITS.iter().find(|(_, currencies)| currencies.contains(&currency)).map_or(2, |(digits, _)| *digits)
}

/// The largest amount of one receipt, in the currency's smallest unit.
pub(crate) fn amount_max(currency: &str) -> i64 {
    let times = if TINY.contains(&currency) {
        10_000
    } else if SMALL.contains(&currency) {
        100
    } else {
        1
    };
    UNITS_MAX * times * 10_i64.pow(digits(currency))
}

/// An amount in the currency's smallest unit, as people write it: 1,234.50 USD, 1,234 JPY.
pub(crate) fn written(minor: i64, currency: &str) -> String {
    let digits = digits(currency) as usize;
    let all = format!("{:0>width$}", minor.unsigned_abs(), width = digits + 1);
    let (whole, parts) = all.split_at(all.len() - digits);
    let mut units = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) {
            units.push(',');
        }
        units.push(digit);
    }
    let sign = if minor < 0 { "-" } else { "" };
    let point = if digits > 0 { "." } else { "" };
    format!("{sign}{units}{point}{parts} {currency}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_the_decimals_of_their_currency() {
        for (minor, currency, text) in [
            (0, "USD", "0.00 USD"),
            (5, "USD", "0.05 USD"),
            (-123_450, "EUR", "-1,234.50 EUR"),
            (999_999_900, "USD", "9,999,999.00 USD"),
            (1_234, "JPY", "1,234 JPY"),
            (1_234, "KWD", "1.234 KWD"),
            (i64::MIN, "USD", "-92,233,720,368,547,758.08 USD"),
        ] {
            assert_eq!(written(minor, currency), text);
        }
    }

    #[test]
    fn what_a_receipt_may_say_depends_on_what_a_unit_is_worth() {
        assert_eq!(written(amount_max("USD"), "USD"), "1,000,000.00 USD");
        assert_eq!(written(amount_max("JPY"), "JPY"), "100,000,000 JPY");
        assert_eq!(written(amount_max("KWD"), "KWD"), "1,000,000.000 KWD");
        assert_eq!(written(amount_max("VND"), "VND"), "10,000,000,000 VND");
        let most = TINY.iter().chain(SMALL).map(|currency| amount_max(currency)).max();
        assert!(most.is_some_and(|most| most <= AMOUNT_MINOR_MAX));
    }
}
