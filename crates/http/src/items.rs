//! A list that is read one element after the other: a bad element gets its own problem in its place, and costs no other.

use axum::http::HeaderMap;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;

use crate::json::{Object, parse};
use crate::problem::{Problem, ProblemKind};

/// The elements of the one list `name` of a body, each read or with its problem. A body that is wrong as a whole is refused as
/// a whole.
///
/// # Errors
/// What is wrong with the body besides its elements.
pub(crate) fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    bytes: &[u8],
    name: &'static str,
) -> Result<Vec<Result<T, Problem>>, Problem> {
    let whole = match parse::<Lists<Object<T>>>(headers, bytes) {
        Ok(lists) => {
            let list = lists.only(name).ok_or_else(|| only(name))?;
            return Ok(list.into_iter().map(|Object(element)| Ok(element)).collect());
        }
        Err(problem) => problem,
    };
    let Ok(Object(lists)) = serde_json::from_slice::<Object<Lists<&RawValue>>>(bytes) else { return Err(whole) };
    let elements = lists.only(name).ok_or_else(|| only(name))?;
    let read = |(n, raw): (usize, &RawValue)| {
        parse::<T>(headers, raw.get().as_bytes()).map_err(|problem| Problem {
            detail: problem.detail.map(|detail| format!("{name}[{n}]: {detail}")),
            ..problem
        })
    };
    Ok(elements.into_iter().enumerate().map(read).collect())
}

fn only(name: &str) -> Problem {
    Problem::new(ProblemKind::BadJson, format!("the body must be a JSON object with one field, the list {name}"))
}

/// An object of lists: fields in their order, doubles included.
struct Lists<E>(Vec<(String, Vec<E>)>);

impl<E> Lists<E> {
    /// The list of this name, if it is all there is.
    fn only(mut self, name: &str) -> Option<Vec<E>> {
        match self.0.pop() {
            Some((found, list)) if found == name && self.0.is_empty() => Some(list),
            _ => None,
        }
    }
}

impl<'de, E: Deserialize<'de>> Deserialize<'de> for Lists<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lists<E>, D::Error> {
        struct Fields<E>(PhantomData<E>);
        impl<'de, E: Deserialize<'de>> Visitor<'de> for Fields<E> {
            type Value = Lists<E>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Lists<E>, A::Error> {
                let mut lists = Vec::new();
                while let Some(list) = fields.next_entry()? {
                    lists.push(list);
                }
                Ok(Lists(lists))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use axum::http::header::CONTENT_TYPE;

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sale {
        cents: i64,
    }

    fn read(body: &str) -> Result<Vec<Result<Sale, Problem>>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        super::read(&headers, body.as_bytes(), "sales")
    }

    #[test]
    fn a_bad_element_costs_only_itself() {
        let all = read(r#"{"sales": [{"cents": 1}, {"cents": 2}]}"#).unwrap();
        assert!(all.iter().all(Result::is_ok));
        let bad = r#"{"sales": [{"cents": 1}, {"cents": "x"}, [2], null, {"cents": 3, "cents": 4}, {"cents": 5}]}"#;
        let read = read(bad).unwrap();
        let good: Vec<usize> = read.iter().enumerate().filter(|(_, r)| r.is_ok()).map(|(n, _)| n).collect();
        assert_eq!((read.len(), good), (6, vec![0, 5]));
        let told = read[1].as_ref().unwrap_err().detail.clone().unwrap();
        assert!(told.starts_with("sales[1]: "), "{told}");
    }

    #[test]
    fn a_body_that_is_wrong_as_a_whole_is_refused_as_a_whole() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"sales": {}}"#,
            r#"{"sales": [{"cents": 1}"#,
            r#"{"sales": [], "more": []}"#,
            r#"{"more": []}"#,
            r#"{"sales": [], "sales": []}"#,
        ] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
