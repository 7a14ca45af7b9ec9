//! Reads `tests/facts`: what the published protocol says of answers and messages, as JSON Schema.

use serde_json::{Map, Value, json};

/// What a file says.
pub struct Facts {
    /// The named shapes.
    pub shapes: Value,
    /// `GET /markets 200` or `ticker`, with its schema; null for an answer without a body.
    pub said: Vec<(String, Value)>,
}

pub fn read(text: &str) -> Facts {
    let (mut shapes, mut said) = (Map::new(), Vec::new());
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(shape) = line.strip_prefix("shape ") {
            name = shape.to_owned();
            shapes.insert(name.clone(), json!({ "type": "object", "properties": {}, "required": [] }));
        } else if let Some(field) = line.strip_prefix("    ") {
            add(&mut shapes[&name], field);
        } else {
            let (what, kind) = line.split_once(": ").unwrap();
            let what = what.trim_start_matches("answer ").trim_start_matches("message ");
            said.push((what.to_owned(), schema(kind)));
        }
    }
    Facts { shapes: Value::Object(shapes), said }
}

fn add(shape: &mut Value, field: &str) {
    let (name, kind) = field.split_once(": ").unwrap();
    let plain = name.trim_end_matches('!');
    if plain == "*" {
        shape["additionalProperties"] = schema(kind);
        return;
    }
    shape["properties"][plain] = schema(kind);
    if plain != name {
        shape["required"].as_array_mut().unwrap().push(json!(plain));
    }
}

fn schema(kind: &str) -> Value {
    if let Some(inner) = kind.strip_suffix(" or null") {
        return json!({ "anyOf": [schema(inner), { "type": "null" }] });
    }
    if let Some(inner) = kind.strip_prefix("list of ") {
        let inner = inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(inner);
        return json!({ "type": "array", "items": schema(inner) });
    }
    if let Some(inner) = kind.strip_prefix("map of ") {
        return json!({ "type": "object", "additionalProperties": schema(inner) });
    }
    if let Some(values) = kind.strip_prefix("one of ") {
        let values: Vec<Value> =
            serde_json::Deserializer::from_str(values).into_iter().collect::<Result<_, _>>().unwrap();
        return json!({ "enum": values });
    }
    if let Some(value) = kind.strip_prefix("exactly ") {
        return json!({ "const": serde_json::from_str::<Value>(value).unwrap() });
    }
    match kind {
        "text" => json!({ "type": "string" }),
        "time" => json!({ "type": "string", "format": "date-time" }),
        "date" => json!({ "type": "string", "format": "date" }),
        "uuid" => json!({ "type": "string", "format": "uuid" }),
        "whole" => json!({ "type": "integer" }),
        "number" => json!({ "type": "number" }),
        "yes/no" => json!({ "type": "boolean" }),
        "anything" => json!({}),
        "nothing" => Value::Null,
        shape => {
            assert!(shape.chars().all(|c| c.is_alphanumeric() || c == '_'), "{shape:?} is no kind");
            json!({ "$ref": format!("#/$defs/{shape}") })
        }
    }
}
