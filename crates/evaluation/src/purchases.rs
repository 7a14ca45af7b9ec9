//! Purchase logs in: `customer_id, ts, value`, several rows a day, in any order.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use hunch_learning::value::PurchaseHistory;
use jiff::civil::{Date, DateTime, Time};

use crate::EvaluateError;
use crate::clock::{Clock, Written};
use crate::files::{Column, Table, find, json};
use crate::tasks::Run;

/// `task.json` of a purchase log.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Asked {
    pub cutoff: String,
    pub horizon_days: u16,
    #[serde(default)]
    pub active_days: Option<u16>,
    #[serde(default)]
    pub log: Option<String>,
}

impl Asked {
    pub(crate) fn read(folder: &Path) -> Result<Asked, EvaluateError> {
        let asked: Asked = json(folder, "task.json")?;
        let days = [("horizon_days", Some(asked.horizon_days)), ("active_days", asked.active_days)];
        if let Some((name, _)) = days.iter().find(|(_, days)| *days == Some(0)) {
            return Err(EvaluateError::File {
                file: folder.join("task.json"),
                problem: format!("{name} is 0, at least 1 is needed"),
            });
        }
        Ok(asked)
    }

    /// The last moment that is known; a date alone means the end of that day.
    pub(crate) fn cutoff(&self, folder: &Path) -> Result<DateTime, EvaluateError> {
        cut(&self.cutoff).ok_or_else(|| EvaluateError::File {
            file: folder.join("task.json"),
            problem: format!("the cutoff {:?} is not a date or a date with a time", self.cutoff),
        })
    }

    /// The file named first in `log`, else `input.csv`.
    fn log_name(&self) -> &str {
        self.log.as_deref().and_then(|log| log.split_whitespace().next()).unwrap_or("input.csv")
    }
}

/// The moment after which nothing is known: of a date alone its last.
fn cut(text: &str) -> Option<DateTime> {
    let written = Written::read(text)?;
    if written.timed { written.moment() } else { Some(written.local.date().at(23, 59, 59, 999_999_999)) }
}

/// Days since 1970-01-01.
pub(crate) fn day_number(date: Date) -> i32 {
    let since = date.since((jiff::Unit::Day, Date::constant(1970, 1, 1)));
    since.map_or(0, |span| span.get_days())
}

/// Days without any purchase before a cut-off after which it is said.
const SILENT_DAYS: i32 = 7;

/// Customers of a log up to a cut-off, in order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Customers {
    pub ids: Vec<String>,
    pub histories: Vec<PurchaseHistory>,
    /// For each customer and purchase day, sums of the log's further numeric columns, an empty field being 0.
    pub extras: Vec<Vec<Vec<f64>>>,
    /// Rows that repeat another in every field, down to the time of day, which were left out. Where only the day is
    /// written, two equal rows are two purchases.
    pub doubled: usize,
}

impl Customers {
    /// The log of `--in`, and from each `--train` log the customers who are not in it; all up to the cut-off.
    pub(crate) fn read(run: &Run<'_>, asked: &Asked) -> Result<(Customers, usize), EvaluateError> {
        let cutoff = asked.cutoff(run.input)?;
        let mut all = read_log(run.input, asked.log_name(), Some(cutoff))?;
        let own = all.ids.len();
        if own == 0 {
            let file = run.input.join(asked.log_name());
            return Err(EvaluateError::File { file, problem: format!("no purchase up to {cutoff}") });
        }
        for folder in run.train {
            let Some(name) = log_name_in(folder)? else { continue };
            let known: HashSet<String> = all.ids.iter().cloned().collect();
            let more = read_log(folder, &name, Some(cutoff))?;
            for ((id, history), extras) in more.ids.into_iter().zip(more.histories).zip(more.extras) {
                if !known.contains(&id) {
                    all.ids.push(id);
                    all.histories.push(history);
                    all.extras.push(extras);
                }
            }
        }
        if all.doubled > 0 {
            run.say(format_args!("{} doubled rows left out", all.doubled));
        }
        all.say_if_it_ends_early(cutoff, run);
        Ok((all, own))
    }
}

impl Customers {
    /// A log that ends weeks before the cut-off looks like customers who stopped buying.
    fn say_if_it_ends_early(&self, cutoff: DateTime, run: &Run<'_>) {
        let newest = self.histories.iter().filter_map(|history| history.days().last()).max();
        let missing = newest.map_or(0, |newest| day_number(cutoff.date()) - newest);
        if missing > SILENT_DAYS {
            run.say(format_args!(
                "the newest purchase is {missing} days before the cut-off: whoever bought since is taken for somebody who did \
                 not"
            ));
        }
    }
}

/// The purchase log of a folder, if it has one.
pub(crate) fn log_name_in(folder: &Path) -> Result<Option<String>, EvaluateError> {
    let named = match find(folder, "task.json") {
        Some(_) => json::<Named>(folder, "task.json")?.log,
        None => None,
    };
    let named = named.and_then(|log| log.split_whitespace().next().map(str::to_owned));
    let names = named.into_iter().chain(["log.csv".to_owned(), "input.csv".to_owned()]);
    Ok(names.into_iter().find(|name| find(folder, name).is_some()))
}

#[derive(serde::Deserialize)]
struct Named {
    #[serde(default)]
    log: Option<String>,
}

/// Reads a log; order does not matter, so rows are sorted here. Rows after `cutoff` are ignored, save that they must
/// be readable.
///
/// # Errors
/// A missing column; with its line, a row without a customer, with a date that is none, or with a value that is not
/// finite or negative.
pub(crate) fn read_log(folder: &Path, name: &str, cutoff: Option<DateTime>) -> Result<Customers, EvaluateError> {
    let mut table = Table::open(folder, name)?;
    let columns = (table.column("customer_id")?, table.column("ts")?, table.column("value")?);
    let every: Vec<Column> =
        (0..table.header().len()).filter_map(|i| table.column_if_any(&table.header()[i])).collect();
    let further: Vec<Column> =
        every.iter().copied().filter(|column| ![columns.0, columns.1, columns.2].contains(column)).collect();
    let mut purchases: BTreeMap<String, Bought> = BTreeMap::new();
    let (mut rows, mut doubled) = (HashSet::new(), 0);
    let mut clock = Clock::default();
    while table.next_row()? {
        let ts = clock.moment(&table, columns.1)?;
        let value = table.number(columns.2)?;
        if value < 0.0 {
            return Err(table.wrong(columns.2, &format!("{value} is negative; a refund comes off its purchase")));
        }
        let customer = table.text(columns.0);
        if customer.is_empty() {
            return Err(table.wrong(columns.0, "a customer is needed here"));
        }
        if cutoff.is_some_and(|cutoff| ts > cutoff) {
            continue;
        }
        // Midnight is how a day is written as a time.
        let timed = ts.time() != Time::midnight();
        if timed && !rows.insert(every.iter().map(|column| table.text(*column)).collect::<Vec<&str>>().join(",")) {
            doubled += 1;
            continue;
        }
        let bought = purchases.entry(customer.to_owned()).or_default();
        let day = day_number(ts.date());
        bought.spend.push((day, value));
        let sums = bought.further.entry(day).or_insert_with(|| vec![0.0; further.len()]);
        for (sum, column) in sums.iter_mut().zip(&further) {
            // Further columns are for whoever can use them: one that holds words tells nothing here.
            *sum += table.text(*column).parse::<f64>().ok().filter(|x| x.is_finite()).unwrap_or(0.0);
        }
    }
    let mut customers = Customers { doubled, ..Customers::default() };
    for (id, bought) in purchases {
        let history = PurchaseHistory::new(&bought.spend)
            .map_err(|e| EvaluateError::File { file: table.file().to_owned(), problem: e.to_string() })?;
        customers.ids.push(id);
        customers.histories.push(history);
        customers.extras.push(bought.further.into_values().collect());
    }
    Ok(customers)
}

/// One customer's rows: spend by row, further columns by day.
#[derive(Default)]
struct Bought {
    spend: Vec<(i32, f64)>,
    further: BTreeMap<i32, Vec<f64>>,
}
