//! Numbers, times and texts from outside, each with its bounds. The reader and the document take them from the same type,
//! so that neither can forget them.
//!
//! A value of the wrong form is a body that cannot be read (400), one out of bounds a value that is not possible (422).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{RefOr, extensions::Extensions};
use utoipa::{PartialSchema, ToSchema};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole<const MIN: i64, const MAX: i64>(pub i64);

/// What any amount of points from outside stays below: a thousand million are more than any town gives out.
pub const POINTS_MAX: i64 = 1_000_000_000;
/// Points, none included.
pub type Amount = Whole<0, POINTS_MAX>;

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Between<const MIN: i64, const MAX: i64>;
        impl<const MIN: i64, const MAX: i64> Visitor<'_> for Between<MIN, MAX> {
            type Value = Whole<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "must be a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: Error>(self, n: i64) -> Result<Self::Value, E> {
                if (MIN..=MAX).contains(&n) { Ok(Whole(n)) } else { Err(E::custom(say(&self))) }
            }

            fn visit_u64<E: Error>(self, n: u64) -> Result<Self::Value, E> {
                self.visit_i64(i64::try_from(n).map_err(|_| E::custom(say(&Between::<MIN, MAX>)))?)
            }

            fn visit_f64<E: Error>(self, n: f64) -> Result<Self::Value, E> {
                // A number with many noughts is a whole one, only too large.
                let beyond = n.fract() == 0.0 && n.abs() >= 9_007_199_254_740_992.0;
                Err(if beyond { E::custom(say(&self)) } else { E::invalid_type(Unexpected::Float(n), &self) })
            }
        }
        deserializer.deserialize_i64(Between)
    }
}

impl<const MIN: i64, const MAX: i64> PartialSchema for Whole<MIN, MAX> {
    fn schema() -> RefOr<Schema> {
        let whole =
            ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
        whole.minimum(Some(MIN)).maximum(Some(MAX)).into()
    }
}

impl<const MIN: i64, const MAX: i64> ToSchema for Whole<MIN, MAX> {
    fn name() -> Cow<'static, str> {
        format!("WholeFrom{MIN}To{MAX}").replace('-', "Minus").into()
    }
}

/// A text of `MIN` to `MAX` characters. A character is what Unicode calls one, however many bytes it takes. Of a `LINE` one can be
/// seen at least, and none is a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<const MIN: usize, const MAX: usize, const LINE: bool = false>(pub String);

/// A text in one line, such as a name.
pub type Line<const MIN: usize, const MAX: usize> = Text<MIN, MAX, true>;

/// Of a line, in the words of patterns: [`char::is_control`], and [`char::is_whitespace`] as far as patterns know it.
const LINE_PATTERN: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";

impl<'de, const MIN: usize, const MAX: usize, const LINE: bool> Deserialize<'de> for Text<MIN, MAX, LINE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Long<const MIN: usize, const MAX: usize, const LINE: bool>;
        impl<const MIN: usize, const MAX: usize, const LINE: bool> Visitor<'_> for Long<MIN, MAX, LINE> {
            type Value = Text<MIN, MAX, LINE>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match MIN {
                    0 => write!(f, "must be a text of at most {MAX} characters")?,
                    _ => write!(f, "must be a text of {MIN} to {MAX} characters")?,
                }
                if LINE { f.write_str(" in one line") } else { Ok(()) }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                let long = text.chars().take(MAX + 1).count();
                let in_one_line = || !text.trim().is_empty() && !text.contains(char::is_control);
                let possible = (MIN..=MAX).contains(&long) && (!LINE || in_one_line());
                if possible { Ok(Text(text.to_owned())) } else { Err(E::custom(say(&self))) }
            }
        }
        deserializer.deserialize_str(Long)
    }
}

impl<const MIN: usize, const MAX: usize, const LINE: bool> PartialSchema for Text<MIN, MAX, LINE> {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(MAX));
        text.min_length((MIN > 0).then_some(MIN)).pattern(LINE.then_some(LINE_PATTERN)).into()
    }
}

impl<const MIN: usize, const MAX: usize, const LINE: bool> ToSchema for Text<MIN, MAX, LINE> {
    fn name() -> Cow<'static, str> {
        format!("{}Of{MIN}To{MAX}", if LINE { "Line" } else { "Text" }).into()
    }
}

/// A moment that a programme of today can meet: from the year 2000 to the end of 2099, with its offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

/// 2000-01-01T00:00:00Z and 2100-01-01T00:00:00Z, in seconds.
const FIRST_SECOND: i64 = 946_684_800;
const AFTER_SECOND: i64 = 4_102_444_800;

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Moment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("must be a time with its offset from UTC, such as 2026-11-23T12:00:00Z or 2026-11-23T07:00:00-05:00")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Moment, E> {
                match text.parse::<Timestamp>() {
                    Ok(at) if (FIRST_SECOND..AFTER_SECOND).contains(&at.as_second()) => Ok(Moment(at)),
                    Ok(_) => Err(E::custom("must be a time in the years 2000 to 2099")),
                    // Beyond what a calendar of ours can count.
                    Err(_) if is_far(text) => Err(E::custom("must be a time in the years 2000 to 2099")),
                    Err(_) if text.parse::<DateTime>().is_ok() => {
                        let wanted = "must say its offset from UTC as well: end it with Z, or with one such as -05:00";
                        Err(E::invalid_value(Unexpected::Str(text), &wanted))
                    }
                    Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_str(Written)
    }
}

/// A time in a year that has more than four digits, or is before the first.
fn is_far(text: &str) -> bool {
    let year = text.trim_start_matches(['+', '-']).split('-').next().unwrap_or_default();
    let far = text.starts_with('-') || year.len() > 4;
    far && text.contains('T') && !year.is_empty() && year.bytes().all(|b| b.is_ascii_digit())
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let time = ObjectBuilder::new().schema_type(Type::String);
        let time = time.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        time.extensions(Some(in_years("2000 to 2099"))).into()
    }
}

impl ToSchema for Moment {}

/// A day of somebody's life: from 1900 to the end of 2099.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(pub Date);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Day;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("must be a date such as 1990-05-01")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Day, E> {
                let date: Date = text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
                let near = (1900..2100).contains(&date.year());
                if near { Ok(Day(date)) } else { Err(E::custom("must be a date in the years 1900 to 2099")) }
            }
        }
        deserializer.deserialize_str(Written)
    }
}

impl PartialSchema for Day {
    fn schema() -> RefOr<Schema> {
        let date = ObjectBuilder::new().schema_type(Type::String);
        let date = date.format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)));
        date.extensions(Some(in_years("1900 to 2099"))).into()
    }
}

impl ToSchema for Day {}

/// JSON Schema has no words for the bounds of a date.
fn in_years(years: &str) -> Extensions {
    Extensions::from_iter([("x-years", years)])
}

fn say<'de>(visitor: &impl Visitor<'de>) -> String {
    struct Said<'v, V>(&'v V);
    impl<'de, V: Visitor<'de>> fmt::Display for Said<'_, V> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.expecting(f)
        }
    }
    Said(visitor).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::item;
    use crate::problem::ProblemKind;
    use serde_json::{Value, json};

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Body {
        points: Option<Whole<1, 100>>,
        name: Option<Text<1, 3>>,
        line: Option<Line<1, 3>>,
        at: Option<Moment>,
        born: Option<Day>,
    }

    fn told(body: &Value) -> Option<(ProblemKind, String)> {
        let problem = item::<Body>(body.to_string().as_bytes()).err()?;
        Some((problem.kind, problem.detail.unwrap()))
    }

    #[test]
    fn what_is_within_bounds_is_read() {
        for points in [1, 100] {
            assert_eq!(told(&json!({"points": points})), None);
        }
        // Three characters, nine bytes.
        assert_eq!(told(&json!({"name": "日本語"})), None);
        for line in ["a b", " é "] {
            assert_eq!(told(&json!({"line": line})), None, "{line}");
        }
        for at in ["2000-01-01T00:00:00Z", "2099-12-31T23:59:59.999Z", "2026-11-23T07:00:00-05:00"] {
            assert_eq!(told(&json!({"at": at})), None, "{at}");
        }
        for born in ["1900-01-01", "2099-12-31"] {
            assert_eq!(told(&json!({"born": born})), None, "{born}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_a_value_that_is_not_possible() {
        for points in [json!(0), json!(-1), json!(101), json!(i64::MIN), json!(i64::MAX), json!(u64::MAX), json!(1e300)]
        {
            let sentence = "The field points must be a whole number from 1 to 100.".to_owned();
            assert_eq!(told(&json!({"points": points})), Some((ProblemKind::Invalid, sentence)), "{points}");
        }
        for name in ["", "日本語語"] {
            let sentence = "The field name must be a text of 1 to 3 characters.".to_owned();
            assert_eq!(told(&json!({"name": name})), Some((ProblemKind::Invalid, sentence)), "{name}");
        }
        for line in ["", " \u{2003}", "a\nb", "a\u{85}", "\u{1}", "four"] {
            let sentence = "The field line must be a text of 1 to 3 characters in one line.".to_owned();
            assert_eq!(told(&json!({"line": line})), Some((ProblemKind::Invalid, sentence)), "{line:?}");
        }
        for at in [
            "1999-12-31T23:59:59Z",
            "2100-01-01T00:00:00Z",
            "-004713-01-01T00:00:00Z",
            "9999-12-30T22:00:00Z",
            "+010000-01-01T00:00:00Z",
            "-009999-01-02T01:59:59Z",
            "-999999-01-01T00:00:00Z",
        ] {
            let sentence = "The field at must be a time in the years 2000 to 2099.".to_owned();
            assert_eq!(told(&json!({"at": at})), Some((ProblemKind::Invalid, sentence)), "{at}");
        }
        for born in ["1899-12-31", "2100-01-01", "9999-12-31"] {
            let sentence = "The field born must be a date in the years 1900 to 2099.".to_owned();
            assert_eq!(told(&json!({"born": born})), Some((ProblemKind::Invalid, sentence)), "{born}");
        }
    }

    #[test]
    fn what_has_another_form_is_told_what_belongs_there() {
        let (kind, sentence) = told(&json!({"points": 3.5})).unwrap();
        assert_eq!(
            (kind, sentence.as_str()),
            (ProblemKind::BadJson, "The field points must be a whole number from 1 to 100.")
        );
        let (kind, sentence) = told(&json!({"at": "2026-11-23T12:00:00"})).unwrap();
        assert_eq!(kind, ProblemKind::BadJson);
        assert!(sentence.contains("offset from UTC"), "{sentence}");
        for at in [json!("now"), json!(""), json!(7), json!("NaN"), json!("2026-02-30T00:00:00Z"), json!("-T")] {
            let (kind, sentence) = told(&json!({"at": at})).unwrap();
            assert_eq!(kind, ProblemKind::BadJson);
            assert!(sentence.starts_with("The field at must be a time with its offset"), "{at}: {sentence}");
        }
    }
}
