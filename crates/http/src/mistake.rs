//! Says in sentences of our own what is wrong with what somebody sent. The reader's words for programmers ("invalid type:
//! floating point") reach nobody.
//!
//! What could not be read is read once more, from a [`Tree`]: there each part knows what it was asked for, and a mistake
//! knows its place. A good body never comes here, so this may be slow.
//!
//! A type of ours says what it takes by the words of its `expecting` and of its custom errors, if they begin with
//! "must": a value that is not even of this form is a [`What::Form`], one that is out of bounds a [`What::Bounds`].

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Number;
use std::fmt;

use crate::problem::{Problem, ProblemKind};

/// What was sent, before anybody asks what it means. Fields keep their order, and doubles.
pub(crate) enum Tree {
    Null,
    Truth(bool),
    Number(Number),
    Text(String),
    /// From an address: whoever asks for a number finds one in it.
    Typed(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// Where something is wrong, and what.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// `purchases[3].amount_cents`; empty for the whole.
    place: String,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    Missing(&'static str),
    Unknown {
        field: String,
        known: &'static [&'static str],
    },
    Twice(&'static str),
    /// Not even of the right form. The words go on after "The field x".
    Form(String),
    /// Of the right form, but not possible.
    Bounds(String),
    /// Somebody else's words, which the part that was asked replaces by its own.
    Other,
}

/// What a part was asked to be.
#[derive(Clone, Copy)]
enum Asked {
    Whole,
    Fraction,
    Truth,
    Text,
    Word,
    List,
    Object,
    Anything,
}

/// The problem of a JSON text that `T` could not be read from.
pub(crate) fn of_json<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Problem {
    match serde_json::from_slice::<Tree>(bytes) {
        Ok(tree) => of_tree::<T>(&tree, "The body"),
        Err(error) => {
            let place = character_at(bytes, error.line(), error.column());
            let ends = if error.is_eof() { "it ends too early" } else { "it cannot be read" };
            let sentence = format!("The body is not JSON: {ends}, at character {place}.");
            Problem::new(ProblemKind::BadJson, sentence)
        }
    }
}

/// The problem of an address whose part behind the question mark `T` could not be read from.
pub(crate) fn of_query<T: for<'de> Deserialize<'de>>(query: &str) -> Problem {
    let fields = url::form_urlencoded::parse(query.as_bytes());
    let tree = Tree::Object(fields.map(|(name, text)| (name.into_owned(), Tree::Typed(text.into_owned()))).collect());
    let problem = of_tree::<T>(&tree, "The address");
    Problem { kind: ProblemKind::Invalid, ..problem }
}

/// `whole` is what the tree is called when no field of it is to blame.
fn of_tree<T: for<'de> Deserialize<'de>>(tree: &Tree, whole: &str) -> Problem {
    match T::deserialize(Node(tree)) {
        Err(mistake) => mistake.problem(whole),
        // It could not be read the first time, for a reason that only shows in the text itself.
        Ok(_) => Problem::new(ProblemKind::BadJson, format!("{whole} is not what can be read here.")),
    }
}

fn character_at(bytes: &[u8], line: usize, column: usize) -> usize {
    let lines = bytes.split_inclusive(|b| *b == b'\n');
    let before: usize = lines.take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    String::from_utf8_lossy(&bytes[..(before + column).min(bytes.len())]).chars().count()
}

impl Mistake {
    fn new(what: What) -> Mistake {
        Mistake { place: String::new(), what }
    }

    fn at(mut self, outer: &str) -> Mistake {
        let apart = !outer.is_empty() && !self.place.is_empty() && !self.place.starts_with('[');
        let joint = if apart { "." } else { "" };
        self.place = format!("{outer}{joint}{}", self.place);
        self
    }

    fn problem(self, whole: &str) -> Problem {
        let kind = match self.what {
            What::Bounds(_) => ProblemKind::Invalid,
            _ => ProblemKind::BadJson,
        };
        let named = if self.place.is_empty() { whole.to_owned() } else { format!("The field {}", self.place) };
        let inner = |field: &str| Mistake { place: field.to_owned(), what: What::Other }.at(&self.place).place;
        let sentence = match self.what {
            What::Missing(field) => format!("The field {} is missing.", inner(field)),
            What::Twice(field) => format!("The field {} is there twice.", inner(field)),
            What::Unknown { ref field, known } => {
                let field: String = field.chars().take(60).collect();
                match known {
                    [] => format!("There is no field {} here, and no other one.", inner(&field)),
                    known => format!("There is no field {} here. Possible are {}.", inner(&field), known.join(", ")),
                }
            }
            What::Form(ref words) | What::Bounds(ref words) => format!("{named} {words}."),
            What::Other => format!("{named} is not what can be read here."),
        };
        Problem::new(kind, sentence)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}", self.what, self.place)
    }
}

impl std::error::Error for Mistake {}

fn own(words: &str) -> bool {
    words.starts_with("must ")
}

/// a, b or c.
fn any_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

impl Error for Mistake {
    fn custom<T: fmt::Display>(words: T) -> Mistake {
        let words = words.to_string();
        Mistake::new(if own(&words) { What::Bounds(words) } else { What::Other })
    }

    fn invalid_type(_: Unexpected, wanted: &dyn Expected) -> Mistake {
        let words = wanted.to_string();
        Mistake::new(if own(&words) { What::Form(words) } else { What::Other })
    }

    fn invalid_value(seen: Unexpected, wanted: &dyn Expected) -> Mistake {
        Mistake::invalid_type(seen, wanted)
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Mistake {
        Mistake::new(What::Form(format!("must be {}", any_of(known))))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Mistake {
        Mistake::new(What::Unknown { field: field.to_owned(), known })
    }

    fn missing_field(field: &'static str) -> Mistake {
        Mistake::new(What::Missing(field))
    }

    fn duplicate_field(field: &'static str) -> Mistake {
        Mistake::new(What::Twice(field))
    }
}

/// One part of what was sent, as it answers when asked.
#[derive(Clone, Copy)]
struct Node<'t>(&'t Tree);

impl Node<'_> {
    fn hand<'de, V: Visitor<'de>>(self, asked: Asked, visitor: V) -> Result<V::Value, Mistake> {
        let read = match self.0 {
            Tree::Null => visitor.visit_unit(),
            Tree::Truth(truth) => visitor.visit_bool(*truth),
            Tree::Number(number) => hand_number(number, visitor),
            Tree::Text(text) => visitor.visit_str(text),
            Tree::Typed(text) => hand_typed(text, asked, visitor),
            Tree::List(items) => visitor.visit_seq(Items { items, at: 0 }),
            Tree::Object(fields) => visitor.visit_map(Fields { fields, at: 0 }),
        };
        read.map_err(|mistake| match mistake.what {
            What::Other if mistake.place.is_empty() => {
                Mistake::new(self.named(asked, std::any::type_name::<V::Value>()))
            }
            _ => mistake,
        })
    }

    /// What is wrong, where nobody had words of ours for it. `of` is the type's name: an id or a date is asked for as a
    /// text.
    fn named(self, asked: Asked, of: &str) -> What {
        let form = |words: &str| What::Form(words.to_owned());
        match (asked, self.0) {
            (Asked::Whole, Tree::Number(number)) if is_whole(number) => {
                What::Bounds("is not a possible number".to_owned())
            }
            (Asked::Whole, Tree::Typed(text)) if text.parse::<f64>().is_ok_and(|n| n.fract() == 0.0) => {
                What::Bounds("is not a possible number".to_owned())
            }
            (Asked::Whole, _) => form("must be a whole number"),
            (Asked::Fraction, _) => form("must be a number"),
            (Asked::Truth, _) => form("must be true or false"),
            (Asked::Text, _) if of.contains("Uuid") => {
                form("must be an id such as 6f1c1f9e-2f4b-4d7a-9c3e-5a8b7c6d5e4f")
            }
            (Asked::Text, _) if of.contains("Timestamp") => form("must be a time such as 2026-11-23T12:00:00Z"),
            (Asked::Text, _) if of.contains("Date") => form("must be a date such as 1990-05-01"),
            (Asked::Text, _) => form("must be text"),
            (Asked::Word, _) => form("must be one of the words that are possible here"),
            (Asked::List, _) => form("must be a list"),
            (Asked::Object, _) => form("must be a JSON object"),
            (Asked::Anything, _) => form("is not what can be read here"),
        }
    }
}

/// Whether a number that no integer of ours can hold would be one on paper.
fn is_whole(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() >= 9_007_199_254_740_992.0)
}

fn hand_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Mistake> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(n), _, _) => visitor.visit_i64(n),
        (None, Some(n), _) => visitor.visit_u64(n),
        (None, None, Some(n)) => visitor.visit_f64(n),
        (None, None, None) => Err(Mistake::new(What::Other)),
    }
}

fn hand_typed<'de, V: Visitor<'de>>(text: &str, asked: Asked, visitor: V) -> Result<V::Value, Mistake> {
    let other = || Mistake::new(What::Other);
    match asked {
        Asked::Whole => visitor.visit_i64(text.parse().map_err(|_| other())?),
        Asked::Fraction => visitor.visit_f64(text.parse().map_err(|_| other())?),
        Asked::Truth => visitor.visit_bool(text.parse().map_err(|_| other())?),
        _ => visitor.visit_str(text),
    }
}

macro_rules! ask {
    ($($method:ident: $asked:ident),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            self.hand(Asked::$asked, visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Mistake;

    ask!(
        deserialize_i8: Whole, deserialize_i16: Whole, deserialize_i32: Whole, deserialize_i64: Whole,
        deserialize_u8: Whole, deserialize_u16: Whole, deserialize_u32: Whole, deserialize_u64: Whole,
        deserialize_f32: Fraction, deserialize_f64: Fraction, deserialize_bool: Truth,
        deserialize_str: Text, deserialize_string: Text, deserialize_char: Text,
        deserialize_seq: List, deserialize_map: Object, deserialize_any: Anything
    );

    forward_to_deserialize_any! { i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct identifier }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 {
            Tree::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.hand(Asked::Object, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match self.0 {
            Tree::Text(text) | Tree::Typed(text) => {
                let word: StrDeserializer<'_, Mistake> = text.as_str().into_deserializer();
                visitor.visit_enum(word)
            }
            _ if words.is_empty() => Err(Mistake::new(self.named(Asked::Word, ""))),
            _ => Err(Mistake::unknown_variant("", words)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_unit()
    }
}

struct Items<'t> {
    items: &'t [Tree],
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Mistake;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        let Some(item) = self.items.get(self.at) else { return Ok(None) };
        let place = format!("[{}]", self.at);
        self.at += 1;
        seed.deserialize(Node(item)).map(Some).map_err(|mistake| mistake.at(&place))
    }
}

struct Fields<'t> {
    fields: &'t [(String, Tree)],
    at: usize,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Mistake;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        let Some((name, _)) = self.fields.get(self.at) else { return Ok(None) };
        let name: StrDeserializer<'_, Mistake> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mistake> {
        let Some((name, value)) = self.fields.get(self.at) else { return Err(Mistake::new(What::Other)) };
        self.at += 1;
        seed.deserialize(Node(value)).map_err(|mistake| mistake.at(name))
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        struct Anything;
        impl<'de> Visitor<'de> for Anything {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Tree, E> {
                Ok(Tree::Truth(truth))
            }

            fn visit_i64<E>(self, n: i64) -> Result<Tree, E> {
                Ok(Tree::Number(n.into()))
            }

            fn visit_u64<E>(self, n: u64) -> Result<Tree, E> {
                Ok(Tree::Number(n.into()))
            }

            fn visit_f64<E>(self, n: f64) -> Result<Tree, E> {
                Ok(Number::from_f64(n).map_or(Tree::Null, Tree::Number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Tree::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Tree, A::Error> {
                let mut object = Vec::new();
                while let Some(field) = fields.next_entry()? {
                    object.push(field);
                }
                Ok(Tree::Object(object))
            }
        }
        deserializer.deserialize_any(Anything)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Object;
    use uuid::Uuid;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Stake {
        stake_points: i64,
        #[serde(default)]
        shard: i16,
        side: Option<Side>,
        quote: Option<Uuid>,
        at: Option<jiff::Timestamp>,
        born: Option<jiff::civil::Date>,
        weight: Option<f64>,
        on: Option<bool>,
        name: Option<String>,
        parts: Option<Vec<Object<Part>>>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "lowercase")]
    enum Side {
        Yes,
        No,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Part {
        cents: i64,
    }

    fn told(body: &str) -> (ProblemKind, String) {
        assert!(serde_json::from_str::<Object<Stake>>(body).is_err(), "{body} can be read");
        let problem = of_json::<Object<Stake>>(body.as_bytes());
        (problem.kind, problem.detail.unwrap())
    }

    #[test]
    fn each_mistake_is_told_with_its_field_and_what_belongs_there() {
        let form = [
            (r#"{"stake_points": 3.5}"#, "The field stake_points must be a whole number."),
            (r#"{"stake_points": null}"#, "The field stake_points must be a whole number."),
            (r#"{"stake_points": "7"}"#, "The field stake_points must be a whole number."),
            (r#"{"stake_points": [7]}"#, "The field stake_points must be a whole number."),
            ("{}", "The field stake_points is missing."),
            (r#"{"stake_points": 7, "stake_points": 8}"#, "The field stake_points is there twice."),
            (r#"{"stake_points": 7, "side": "maybe"}"#, "The field side must be yes or no."),
            (r#"{"stake_points": 7, "side": 4}"#, "The field side must be yes or no."),
            (
                r#"{"stake_points": 7, "quote": "+1 555"}"#,
                "The field quote must be an id such as 6f1c1f9e-2f4b-4d7a-9c3e-5a8b7c6d5e4f.",
            ),
            (r#"{"stake_points": 7, "at": "2026-11-23"}"#, "The field at must be a time such as 2026-11-23T12:00:00Z."),
            (r#"{"stake_points": 7, "born": "May"}"#, "The field born must be a date such as 1990-05-01."),
            (r#"{"stake_points": 7, "weight": "heavy"}"#, "The field weight must be a number."),
            (r#"{"stake_points": 7, "on": 1}"#, "The field on must be true or false."),
            (r#"{"stake_points": 7, "name": {}}"#, "The field name must be text."),
            (r#"{"stake_points": 7, "parts": {}}"#, "The field parts must be a list."),
            (r#"{"stake_points": 7, "parts": [{"cents": 1}, [2]]}"#, "The field parts[1] must be a JSON object."),
            (r#"{"stake_points": 7, "parts": [{"cents": true}]}"#, "The field parts[0].cents must be a whole number."),
            (r#"{"stake_points": 7, "parts": [{}]}"#, "The field parts[0].cents is missing."),
            (
                r#"{"stake_points": 7, "parts": [{"cents": 1, "dollars": 2}]}"#,
                "There is no field parts[0].dollars here. Possible are cents.",
            ),
            ("[]", "The body must be a JSON object."),
            ("7", "The body must be a JSON object."),
            ("{\"stake_points\":", "The body is not JSON: it ends too early, at character 16."),
            ("{\n\"stäke\": ]", "The body is not JSON: it cannot be read, at character 12."),
        ];
        for (body, sentence) in form {
            assert_eq!(told(body), (ProblemKind::BadJson, sentence.to_owned()), "{body}");
        }
    }

    #[test]
    fn a_number_that_is_too_large_is_a_value_that_is_not_possible() {
        for number in ["1e20", "9223372036854775808", "-1e300"] {
            let (kind, sentence) = told(&format!(r#"{{"stake_points": {number}}}"#));
            assert_eq!(
                (kind, sentence.as_str()),
                (ProblemKind::Invalid, "The field stake_points is not a possible number.")
            );
        }
        let (kind, sentence) = told(r#"{"stake_points": 1, "shard": 70000}"#);
        assert_eq!((kind, sentence.as_str()), (ProblemKind::Invalid, "The field shard is not a possible number."));
    }

    #[test]
    fn addresses_are_told_in_the_same_words() {
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "only read")]
        struct Page {
            limit: Option<i64>,
            device: Option<Uuid>,
        }
        let told = |query: &str| {
            let problem = of_query::<Page>(query);
            (problem.kind, problem.detail.unwrap())
        };
        let limit = "The field limit must be a whole number.".to_owned();
        assert_eq!(told("limit=x"), (ProblemKind::Invalid, limit.clone()));
        assert_eq!(told("limit=NaN"), (ProblemKind::Invalid, limit));
        assert_eq!(told("limit=99999999999999999999").1, "The field limit is not a possible number.");
        assert!(told("device=phone").1.starts_with("The field device must be an id such as"));
        assert_eq!(told("limit=1&limit=2").1, "The field limit is there twice.");
    }
}
