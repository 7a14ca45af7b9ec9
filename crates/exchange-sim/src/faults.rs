//! Faults on demand. Each is armed with a count and, if wanted, one ticker or one client_order_id, and
//! is used up by the next request or message that it fits.

use crate::units::Qty;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The order is done; the answer never comes. The connection is held this long, then cut.
    TimeoutAfterAccept {
        #[serde(default = "hold")]
        hold_ms: u64,
    },
    /// A server error, before or after the request was carried out.
    #[serde(rename = "error_5xx")]
    Error5xx {
        #[serde(default = "unavailable")]
        status: u16,
        #[serde(default)]
        after_accept: bool,
    },
    /// 429, as when a bucket is empty.
    RateLimit,
    /// The book gives the next order at most this much, in hundredths of a contract.
    PartialFill {
        at_most: Qty,
    },
    /// What the next immediate order does not get at once stays in the book, and the answer says so.
    RestRemainder,
    /// Success, and this field of its answer holds another value than the truth, wherever it stands. The request was carried
    /// out, and the books are right.
    Misreport {
        field: String,
        value: String,
    },
    /// Success that nobody can read: the answer is cut in the middle. The request was carried out.
    #[serde(rename = "malformed_2xx")]
    Malformed2xx,
    /// A list's element with one field that nobody understands, or without it. Only readings hit it that show the
    /// element.
    SpoilElement {
        /// As the answer calls it: `markets`, `orders`, `fills`; or `market` for an answer about one.
        list: String,
        /// Its ticker or one of its ids.
        name: String,
        field: String,
        #[serde(default)]
        value: Value,
        /// The field is left out altogether.
        #[serde(default)]
        absent: bool,
    },
    /// Cuts the socket without a close frame when a message is due (or at once with `now`).
    DropSocket {
        #[serde(default)]
        now: bool,
    },
    DuplicateMessage,
    /// The message is gone; its sequence number is not used again.
    LoseMessage,
}

fn hold() -> u64 {
    30_000
}
fn unavailable() -> u16 {
    503
}

/// Which requests a REST fault fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    #[default]
    CreateOrder,
    Read,
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    #[serde(flatten)]
    pub kind: FaultKind,
    #[serde(default)]
    pub on: On,
    #[serde(default)]
    pub ticker: Option<String>,
    #[serde(default)]
    pub client_order_id: Option<String>,
    /// REST faults only: the path below the base, such as `/portfolio/orders`.
    #[serde(default)]
    pub path: Option<String>,
    /// Socket faults only: the message type, such as `fill` or `market_lifecycle_v2`.
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default = "once")]
    pub count: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    pub fn once(kind: FaultKind) -> Fault {
        Fault { kind, on: On::default(), ticker: None, client_order_id: None, path: None, message: None, count: 1 }
    }

    pub fn times(self, count: u32) -> Fault {
        Fault { count, ..self }
    }

    pub fn ticker(self, ticker: &str) -> Fault {
        Fault { ticker: Some(ticker.to_owned()), ..self }
    }

    pub fn client_order_id(self, id: &str) -> Fault {
        Fault { client_order_id: Some(id.to_owned()), ..self }
    }

    /// Any request to this path below the base.
    pub fn path(self, path: &str) -> Fault {
        Fault { path: Some(path.to_owned()), on: On::Any, ..self }
    }

    pub fn message(self, kind: &str) -> Fault {
        Fault { message: Some(kind.to_owned()), ..self }
    }

    pub fn on(self, on: On) -> Fault {
        Fault { on, ..self }
    }
}

/// What a request or message is, for matching.
#[derive(Clone, Copy, Default)]
pub struct Subject<'a> {
    pub on: On,
    pub ticker: Option<&'a str>,
    pub client_order_id: Option<&'a str>,
    pub path: Option<&'a str>,
    pub message: Option<&'a str>,
}

#[derive(Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub fn arm(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn armed(&self) -> &[Fault] {
        &self.0
    }

    /// Uses up the first armed fault of a wanted kind that fits.
    pub fn take(&mut self, subject: &Subject<'_>, wanted: impl Fn(&FaultKind) -> bool) -> Option<FaultKind> {
        let fits = |limit: &Option<String>, is: Option<&str>| limit.as_deref().is_none_or(|l| is == Some(l));
        let at = self.0.iter().position(|fault| {
            wanted(&fault.kind)
                && (fault.on == On::Any || fault.on == subject.on || subject.message.is_some())
                && fits(&fault.ticker, subject.ticker)
                && fits(&fault.client_order_id, subject.client_order_id)
                && fits(&fault.path, subject.path)
                && fits(&fault.message, subject.message)
        })?;
        let kind = self.0[at].kind.clone();
        self.0[at].count = self.0[at].count.saturating_sub(1);
        if self.0[at].count == 0 {
            self.0.remove(at);
        }
        Some(kind)
    }
}

impl Faults {
    pub fn spoils_elements(&self) -> bool {
        self.0.iter().any(|fault| matches!(fault.kind, FaultKind::SpoilElement { .. }))
    }

    /// Spoils what the armed faults name in an answer, and uses up those that found their element.
    pub fn spoil(&mut self, answer: &mut Value) {
        for fault in &mut self.0 {
            let FaultKind::SpoilElement { list, name, field, value, absent } = &fault.kind else { continue };
            let Some(element) = element(answer, list, name) else { continue };
            if *absent {
                element.remove(field);
            } else {
                element.insert(field.clone(), value.clone());
            }
            fault.count = fault.count.saturating_sub(1);
        }
        self.0.retain(|fault| fault.count > 0);
    }
}

fn element<'a>(answer: &'a mut Value, list: &str, name: &str) -> Option<&'a mut Map<String, Value>> {
    let elements = match answer.get_mut(list)? {
        Value::Array(elements) => elements.as_mut_slice(),
        one => std::slice::from_mut(one),
    };
    let named = |element: &&mut Map<String, Value>| element.values().any(|value| value.as_str() == Some(name));
    elements.iter_mut().filter_map(Value::as_object_mut).find(named)
}

impl FaultKind {
    /// Whether it changes how an order is matched, and not how it is answered.
    pub fn is_matching(&self) -> bool {
        matches!(self, FaultKind::PartialFill { .. } | FaultKind::RestRemainder)
    }

    /// Changes an element of what is answered, not whether and when it is.
    pub fn is_within_an_answer(&self) -> bool {
        matches!(self, FaultKind::SpoilElement { .. })
    }

    pub fn is_socket(&self) -> bool {
        matches!(self, FaultKind::DropSocket { .. } | FaultKind::DuplicateMessage | FaultKind::LoseMessage)
    }
}
