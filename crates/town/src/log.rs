//! Reads a transaction log: who bought, when, where, for how much.

use hunch_kernel::derived_uuid;
use jiff::civil::DateTime;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The town's own small log, for when there is no other. Made by a seeded model, see data/README.md.
const OWN: &str = include_str!("../data/small-town.csv");
/// Which logs are looked for, best first.
const PREFERRED: [&str; 3] = ["journey/log.csv", "online_retail/log.csv", "cdnow/input.csv"];

/// One basket of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basket {
    /// Customers, numbered in order of appearance.
    pub customer: usize,
    /// Some stable number of the shop; the customer's habit where the log names no shop.
    pub shop: u64,
    pub cents: i64,
    pub bought_at: DateTime,
}

#[derive(Clone, Debug)]
pub struct Log {
    /// What it is called in reports.
    pub source: String,
    pub baskets: Vec<Basket>,
    pub customers: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{path} cannot be read")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{source_name}: the header lacks the column {column}")]
    Column { source_name: String, column: &'static str },
    #[error("{source_name}, line {line}, column {column}: {value:?} is not possible")]
    Value { source_name: String, line: usize, column: &'static str, value: String },
    #[error("{0} holds no baskets")]
    Empty(String),
}

impl Log {
    /// The best log below `folder`, else the town's own.
    ///
    /// # Errors
    /// With file, line and column, if the log that was found is not one.
    pub fn find(folder: Option<&Path>) -> Result<Log, LogError> {
        for name in PREFERRED {
            let Some(path) = folder.map(|f| f.join(name)).filter(|p| p.is_file()) else { continue };
            let text = std::fs::read_to_string(&path).map_err(|source| LogError::File { path, source })?;
            return Log::parse(name, &text);
        }
        Log::parse("small-town.csv", OWN)
    }

    /// # Errors
    /// As [`Log::find`].
    pub fn parse(source_name: &str, text: &str) -> Result<Log, LogError> {
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
        let column = |name: &'static str| {
            let found = header.iter().position(|h| *h == name);
            found.ok_or(LogError::Column { source_name: source_name.to_owned(), column: name })
        };
        let (customer_at, time_at, value_at) = (column("customer_id")?, column("ts")?, column("value")?);
        let shop_at = header.iter().position(|h| *h == "store_id");
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut baskets = Vec::new();
        for (n, line) in lines.enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let bad = |column: &'static str, at: usize| LogError::Value {
                source_name: source_name.to_owned(),
                line: n + 2,
                column,
                value: fields.get(at).unwrap_or(&"").chars().take(40).collect(),
            };
            let id =
                fields.get(customer_at).filter(|f| !f.is_empty()).ok_or_else(|| bad("customer_id", customer_at))?;
            let bought_at = fields.get(time_at).and_then(|t| moment(t)).ok_or_else(|| bad("ts", time_at))?;
            let cents = fields.get(value_at).and_then(|v| cents(v)).ok_or_else(|| bad("value", value_at))?;
            let next = numbers.len();
            let customer = *numbers.entry((*id).to_owned()).or_insert(next);
            let habit =
                || derived_uuid(&[b"habit", id.as_bytes(), &[(bought_at.weekday().to_monday_zero_offset() / 2) as u8]]);
            let shop = match shop_at.and_then(|at| fields.get(at)) {
                Some(shop) => derived_uuid(&[b"shop", shop.as_bytes()]).as_u128() as u64,
                None => habit().as_u128() as u64,
            };
            // A basket of nothing earns nothing and no till would report it.
            if cents > 0 {
                baskets.push(Basket { customer, shop, cents, bought_at });
            }
        }
        if baskets.is_empty() {
            return Err(LogError::Empty(source_name.to_owned()));
        }
        baskets.sort_by_key(|b| b.bought_at);
        Ok(Log { source: source_name.to_owned(), baskets, customers: numbers.len() })
    }
}

/// `2017-01-01`, `2017-01-01 12:26` or with seconds.
fn moment(text: &str) -> Option<DateTime> {
    let text = text.replace(' ', "T");
    text.parse::<DateTime>().ok().or_else(|| format!("{text}T12:00").parse().ok())
}

/// Decimal money as cents, rounded to the nearest, without floats.
fn cents(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || whole.len() > 9 || !(whole.to_owned() + fraction).bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digit = |n: usize| fraction.as_bytes().get(n).map_or(0, |b| i64::from(b - b'0'));
    Some(whole.parse::<i64>().ok()? * 100 + digit(0) * 10 + digit(1) + i64::from(digit(2) >= 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_in_order_of_time() {
        let log = Log::parse(
            "x.csv",
            "customer_id,ts,value\nb,2017-01-02,2.5\na,2017-01-01 12:26,1.435\nb,2017-01-03 08:00:01,0\n",
        )
        .unwrap();
        assert_eq!((log.customers, log.baskets.len()), (2, 2));
        assert_eq!((log.baskets[0].customer, log.baskets[0].cents), (1, 144));
        assert_eq!(log.baskets[1].cents, 250);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let error = |text: &str| Log::parse("x.csv", text).unwrap_err().to_string();
        assert_eq!(error("customer_id,ts\n"), "x.csv: the header lacks the column value");
        assert_eq!(
            error("customer_id,ts,value\na,2017-01-01,1\nb,soon,1\n"),
            "x.csv, line 3, column ts: \"soon\" is not possible"
        );
        assert!(error("customer_id,ts,value\na,2017-01-01,-1\n").contains("column value"));
        assert!(error("customer_id,ts,value\na,2017-01-01,NaN\n").contains("column value"));
        assert!(error("customer_id,ts,value\n").contains("no baskets"));
    }

    #[test]
    fn the_towns_own_log_is_one() {
        let log = Log::find(None).unwrap();
        assert!(log.baskets.len() >= 3_000 && log.customers >= 700, "{} of {}", log.baskets.len(), log.customers);
    }
}
