//! Bodies in, with every mistake told as a problem.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

use crate::mistake;
use crate::problem::{Problem, ProblemKind};

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problem> {
        let headers = request.headers().clone();
        let bytes = read(request, state).await?;
        parse(&headers, &bytes).map(Json)
    }
}

pub(crate) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    // Whole already, and short enough (`entrance`).
    let broken = |_| Problem::new(ProblemKind::BadJson, "The body did not arrive whole. Send it again.");
    Bytes::from_request(request, state).await.map_err(broken)
}

pub(crate) fn parse<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(ProblemKind::MediaType, "Send the header Content-Type: application/json."));
    }
    item(bytes)
}

/// One JSON object, such as an element of a list whose elements are answered one by one.
///
/// # Errors
/// A problem that names the field and what belongs there.
pub(crate) fn item<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if holds_nul(bytes) {
        return Err(Problem::new(ProblemKind::BadJson, "A text must not hold the character U+0000."));
    }
    let parsed = serde_json::from_slice::<Object<T>>(bytes);
    parsed.map(|Object(body)| body).map_err(|_| mistake::of_json::<Object<T>>(bytes))
}

/// What is written as a JSON object. A derived reader also takes an array of the fields in their order, and then a
/// field more or less goes unnoticed.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("must be a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// Whether a string of this JSON holds U+0000, which no text column can keep: an escape that is not itself escaped.
pub(crate) fn holds_nul(bytes: &[u8]) -> bool {
    bytes.windows(6).enumerate().any(|(at, window)| {
        window == b"\\u0000" && bytes[..at].iter().rev().take_while(|b| **b == b'\\').count().is_multiple_of(2)
    })
}

#[cfg(test)]
mod tests {
    use super::{Object, holds_nul};
    use serde::Deserialize;

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Limits {
        day: Option<i64>,
    }

    #[test]
    fn an_array_is_not_an_object() {
        let read = |text: &str| serde_json::from_str::<Vec<Object<Limits>>>(text).map_err(|e| e.to_string());
        assert_eq!(read(r#"[{"day": 5}, {}]"#).unwrap().len(), 2);
        assert!(read("[[5]]").err().unwrap().contains("must be a JSON object"));
        assert!(read(r#"[{"dya": 5}]"#).err().unwrap().contains("dya"));
    }

    #[test]
    fn only_the_character_counts_not_the_text_about_it() {
        assert!(holds_nul(br#"{"a": "x\u0000y"}"#));
        assert!(holds_nul(br#"{"a": "\\\u0000"}"#));
        assert!(!holds_nul(br#"{"a": "\\u0000"}"#));
        assert!(!holds_nul(br#"{"a": "\u0001"}"#));
    }
}
