//! Lists are read element by element. One that cannot be understood is left out with its name and the reason, and the
//! others are read as if it were not there.

use hunch_exchange::LeftOut;
use hunch_kernel::WallTime;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::ops::RangeInclusive;

use crate::wire::WireError;

/// The years that times of the exchange are from.
const YEARS: RangeInclusive<i16> = 1970..=2199;

/// A list that may be `null`, as the exchange writes an empty one. A missing one is no list.
pub(crate) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Value>, D::Error> {
    Ok(Option::<Vec<Value>>::deserialize(from)?.unwrap_or_default())
}

/// A text that may be missing or `null`: then it is empty.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}

/// A time that may be missing, `null` or empty: then there is none. No market of ours is from another century, and
/// other years would not find a place in the database.
pub(crate) fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let at: Timestamp = text.parse().map_err(|_| D::Error::custom(format!("{text:.40?} is not a time")))?;
    if of_our_age(at) { Ok(Some(at)) } else { Err(D::Error::custom(format!("{text:.40?} is not of this century"))) }
}

pub(crate) fn of_our_age(at: Timestamp) -> bool {
    YEARS.contains(&at.to_zoned(TimeZone::UTC).year())
}

/// A whole number that may be missing or `null`: then it is 0.
pub(crate) fn whole<'de, D: Deserializer<'de>, N: Deserialize<'de> + Default>(from: D) -> Result<N, D::Error> {
    Ok(Option::<N>::deserialize(from)?.unwrap_or_default())
}

/// What could be read of a list, and what could not.
pub(crate) struct Elements<T> {
    pub read: Vec<T>,
    pub left_out: Vec<LeftOut>,
    /// Names of what was read.
    pub names: Vec<String>,
}

/// A list of the exchange.
#[derive(Clone, Copy)]
pub(crate) struct List {
    pub name: &'static str,
    /// The fields that can name an element, the best first.
    pub named_by: &'static [&'static str],
}

impl List {
    pub fn left_out(self, name: String, error: &WireError, now: WallTime) -> LeftOut {
        LeftOut { list: self.name, name, reason: error.to_string(), since: now }
    }
}

/// Reads each element by itself.
pub(crate) fn elements<W: DeserializeOwned, T>(
    list: List,
    values: Vec<Value>,
    now: WallTime,
    report: impl Fn(W) -> Result<T, WireError>,
) -> Elements<T> {
    let mut found = Elements { read: Vec::with_capacity(values.len()), left_out: Vec::new(), names: Vec::new() };
    for (place, value) in values.into_iter().enumerate() {
        let name = name_of(&value, list.named_by).unwrap_or_else(|| format!("number {} of its page", place + 1));
        match understood(value).and_then(&report) {
            Ok(element) => {
                found.read.push(element);
                found.names.push(name);
            }
            Err(error) => found.left_out.push(list.left_out(name, &error, now)),
        }
    }
    found
}

/// One element as published, or the field that is not.
pub(crate) fn understood<W: DeserializeOwned>(value: Value) -> Result<W, WireError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        WireError::Shape { field, cause: error.into_inner().to_string().chars().take(120).collect() }
    })
}

fn name_of(value: &Value, named_by: &[&str]) -> Option<String> {
    let named = named_by.iter().filter_map(|field| value.get(field)?.as_str()).find(|name| !name.is_empty())?;
    Some(named.chars().filter(|c| !c.is_control()).take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Market, Markets};
    use serde_json::json;

    #[test]
    fn an_empty_list_may_be_null_and_the_last_page_may_have_a_null_cursor() {
        let read = |body: Value| serde_json::from_value::<Markets>(body);
        for cursor in [json!(null), json!("")] {
            let page = read(json!({"markets": null, "cursor": cursor})).unwrap();
            assert!(page.markets.is_empty() && page.cursor.is_empty());
        }
        assert!(read(json!({"markets": []})).unwrap().cursor.is_empty(), "a missing cursor ends the list as well");
        assert!(read(json!({"cursor": ""})).is_err(), "no list is not an empty one");
    }

    #[test]
    fn an_element_without_a_name_is_named_by_its_place() {
        let list = List { name: "markets", named_by: &["ticker"] };
        let values = vec![json!({"ticker": "A"}), json!(5), json!({"ticker": "B\u{7}C", "status": 1})];
        let found = elements(list, values, WallTime::MIN, Market::report);
        let names: Vec<&str> = found.left_out.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["A", "number 2 of its page", "BC"]);
        assert!(found.read.is_empty() && found.left_out[0].reason.contains("event_ticker"), "{:?}", found.left_out);
    }
}
