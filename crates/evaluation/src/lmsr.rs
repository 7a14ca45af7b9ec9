//! `lmsr`: the price after every trade of a file, replayed by the market maker.

use std::collections::HashMap;

use hunch_learning::market_maker::MarketMaker;

use crate::EvaluateError;
use crate::files::{Field, Predictions, Table};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task = Task { name: "lmsr", about: "replay of a market maker's trades, b = 100", evaluate };

const LIQUIDITY: f64 = 100.0;
/// Both outcomes; the price asked for is that of the first.
const YES: usize = 0;

/// `transaction_type` says in which direction a trade goes and `transaction_shares` how far: files differ in the sign
/// they give to shares, and none needs it. A trade without shares moves nothing.
fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let mut trades = Table::open(run.input, "trades.csv")?;
    let finding = trades.column("finding_id")?;
    let transaction = trades.column("transaction_id")?;
    let (kind, shares) = (trades.column("transaction_type")?, trades.column("transaction_shares")?);
    // Findings of different projects may share a number.
    let project = trades.column_if_any("project");
    let mut makers: HashMap<(String, String), MarketMaker> = HashMap::new();
    let mut out = Predictions::create(run.out, &["finding_id", "transaction_id", "price"])?;
    let mut without_shares = 0u64;
    while trades.next_row()? {
        let wrong = |e: hunch_learning::market_maker::MarketMakerError| EvaluateError::Data(e.to_string());
        let key = (project.map_or("", |column| trades.text(column)).to_owned(), trades.text(finding).to_owned());
        let maker = match makers.entry(key) {
            std::collections::hash_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(MarketMaker::new(2, LIQUIDITY).map_err(wrong)?)
            }
        };
        let size = trades.number_if_any(shares)?.map(f64::abs);
        without_shares += u64::from(size.is_none());
        let signed = match trades.text(kind) {
            "buy" => size.unwrap_or(0.0),
            "sell" => -size.unwrap_or(0.0),
            _ => return Err(trades.wrong(kind, "buy or sell is needed here")),
        };
        maker.trade(YES, signed).map_err(|e| trades.wrong(shares, &e.to_string()))?;
        let price = maker.price(YES).map_err(wrong)?;
        out.row(format_args!("{},{},{price}", Field(trades.text(finding)), Field(trades.text(transaction))))?;
    }
    if without_shares > 0 {
        run.say(format_args!("{without_shares} trades have no shares: they were taken to move nothing"));
    }
    out.finish()
}
