//! A judge of JSON by JSON Schema, as far as our OpenAPI document uses it; a word it does not know is a fault of the document.

use serde_json::Value;

/// What is wrong with `value` by `schema`, each with its place; `document` is what references point into.
pub fn objections(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    judge(document, schema, value, "", &mut found);
    found
}

/// What a reference of the document stands for; anything else stands for itself.
///
/// # Panics
/// When it points nowhere.
pub fn resolved<'a>(document: &'a Value, of: &'a Value) -> &'a Value {
    match of["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("references stay inside");
            let target = document.pointer(pointer);
            resolved(
                document,
                target.unwrap_or_else(|| panic!("{reference} points nowhere")),
            )
        }
        None => of,
    }
}

fn judge(document: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let schema = resolved(document, schema);
    let rules = schema.as_object().expect("a schema is an object");
    for (rule, says) in rules {
        match rule.as_str() {
            "description" | "required" | "additionalProperties" => {}
            "type" => {
                let allowed: Vec<&str> = match says {
                    Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                if !allowed.iter().any(|kind| is(kind, value)) {
                    found.push(format!("{place}: {value} is none of {allowed:?}"));
                }
            }
            "enum" => {
                if !says.as_array().expect("a list").contains(value) {
                    found.push(format!("{place}: {value} is not among {says}"));
                }
            }
            "minimum" => {
                if value
                    .as_f64()
                    .is_some_and(|number| number < says.as_f64().expect("a number"))
                {
                    found.push(format!("{place}: {value} is less than {says}"));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    judge(document, says, item, &format!("{place}/{index}"), found);
                }
            }
            "anyOf" => {
                let all = says.as_array().expect("a list");
                if !all
                    .iter()
                    .any(|one| objections(document, one, value).is_empty())
                {
                    found.push(format!("{place}: {value} fits none of {says}"));
                }
            }
            "properties" => {
                if let Some(fields) = value.as_object() {
                    judge_fields(document, rules, fields, place, found);
                }
            }
            other => found.push(format!(
                "{place}: the document says {other}, which nobody here understands"
            )),
        }
    }
    // An object of any names.
    if !rules.contains_key("properties")
        && let (Some(more), Some(fields)) = (rules.get("additionalProperties"), value.as_object())
    {
        for (name, value) in fields {
            judge(document, more, value, &format!("{place}/{name}"), found);
        }
    }
}

type Fields = serde_json::Map<String, Value>;

fn judge_fields(
    document: &Value,
    rules: &Fields,
    fields: &Fields,
    place: &str,
    found: &mut Vec<String>,
) {
    let known = rules["properties"].as_object().expect("an object");
    let required = rules.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{place}: there is no {name}"));
        }
    }
    for (name, value) in fields {
        match known.get(name) {
            Some(schema) => judge(document, schema, value, &format!("{place}/{name}"), found),
            None if rules.get("additionalProperties") == Some(&Value::Bool(false)) => {
                found.push(format!("{place}: nobody described {name}"));
            }
            None => {}
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_rule_is_broken_by_what_breaks_it_and_by_nothing_else() {
        let document = json!({ "defs": { "Name": { "type": "string" } } });
        let schema = json!({
            "type": "object",
            "description": "anything",
            "properties": {
                "name": { "$ref": "#/defs/Name" },
                "count": { "type": ["integer", "null"], "minimum": 1 },
                "way": { "enum": ["in", null] },
                "list": { "type": "array", "items": { "anyOf": [{ "type": "boolean" }, { "type": "number" }] } },
                "map": { "type": "object", "additionalProperties": { "type": "integer" } },
            },
            "required": ["name"],
            "additionalProperties": false,
        });
        for fine in [
            json!({ "name": "x" }),
            json!({ "name": "", "count": null, "way": null, "list": [true, 1.5], "map": { "a": 1 } }),
        ] {
            assert_eq!(objections(&document, &schema, &fine), [""; 0], "{fine}");
        }
        for (wrong, place) in [
            (json!([]), ": [] is none of"),
            (json!({}), ": there is no name"),
            (json!({ "name": 1 }), "/name: 1 is none of"),
            (json!({ "name": "x", "count": 0 }), "/count: 0 is less"),
            (
                json!({ "name": "x", "count": 1.5 }),
                "/count: 1.5 is none of",
            ),
            (
                json!({ "name": "x", "way": "out" }),
                "/way: \"out\" is not among",
            ),
            (
                json!({ "name": "x", "list": [true, "y"] }),
                "/list/1: \"y\" fits none",
            ),
            (
                json!({ "name": "x", "map": { "a": "b" } }),
                "/map/a: \"b\" is none",
            ),
            (json!({ "name": "x", "more": 1 }), ": nobody described more"),
        ] {
            let found = objections(&document, &schema, &wrong);
            assert!(
                found.len() == 1 && found[0].starts_with(place),
                "{wrong}: {found:?}"
            );
        }
        let unknown = objections(&document, &json!({ "nullable": true }), &json!(1));
        assert!(unknown[0].contains("says nullable"), "{unknown:?}");
    }
}
