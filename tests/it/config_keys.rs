//! The configuration covers every setting of the builders.

use std::collections::BTreeSet;

use serde_json::Value;
use steadfast::config::StackConfig;

const SCHEMA: &str = include_str!("../../docs/config.schema.json");

/// The sources with setters, the pointer to their keys in the schema, and the setters without a key
/// of their name: a key of another name, or a reason.
const SETTERS: [(&str, &str, &[(&str, &str)]); 7] = [
    (
        include_str!("../../crates/steadfast/src/builder.rs"),
        "StackConfig",
        &[
            ("balance", "the keys of the balancer are keys of this table"),
            ("endpoint", "the table `endpoint` of the file"),
            ("endpoints", "the table `endpoint` of the file"),
            ("deadline", "a key of the table `retry`"),
            ("endpoint_with_tokens", "the table `token` of an endpoint"),
            ("observer", "code"),
        ],
    ),
    (
        include_str!("../../crates/steadfast-balance/src/builder.rs"),
        "StackConfig",
        &[
            ("endpoint", "the table `endpoint` of the file"),
            ("endpoints", "the table `endpoint` of the file"),
            ("endpoint_layer", "code"),
            ("endpoint_layer_by", "code"),
            ("observer", "code"),
            ("observers", "code"),
            ("map_endpoints", "code"),
        ],
    ),
    (
        include_str!("../../crates/steadfast-retry/src/layer.rs"),
        "RetryConfig",
        &[
            (
                "backoff",
                "the keys `base_delay`, `max_delay`, `delays` and `jitter`",
            ),
            ("clone_body", "the stack has its own body"),
            ("mark_final", "the stack marks final answers"),
            ("observer", "code"),
            ("observers", "code"),
            ("prepared_body", "the stack has its own body"),
            ("random", "code"),
            ("safe_if", "code"),
            ("without_budget", "the key `budget` with 0"),
        ],
    ),
    (
        include_str!("../../crates/steadfast-hedge/src/layer.rs"),
        "HedgeConfig",
        &[
            ("budget", "the stack has one budget per layer"),
            ("copy_body", "the stack has its own body"),
            ("copy_body_by", "the stack has its own body"),
            ("safe_if", "code"),
        ],
    ),
    (
        include_str!("../../crates/steadfast-balance/src/health/settings.rs"),
        "HealthConfig",
        &[],
    ),
    (
        include_str!("../../crates/steadfast-balance/src/endpoint/mod.rs"),
        "EndpointConfig",
        &[
            ("api_key", "the key `api_key_env`"),
            ("header", "the table `headers`"),
            ("limit_key_alias", "the table `route` of the stack"),
            ("default_header", "the preset of a provider"),
            ("default_query", "the key `api_version`"),
        ],
    ),
    (
        include_str!("../../crates/steadfast-breaker/src/value/builder.rs"),
        "BreakerConfig",
        &[
            ("name", "the name of the endpoint"),
            ("observer", "code"),
            ("observers", "code"),
        ],
    ),
];

/// Returns the names of the methods that take and return their builder.
fn setters(source: &str) -> impl Iterator<Item = &str> {
    let methods = source.split("\n    pub fn ").skip(1);
    methods.filter_map(|method| {
        let head = method.split_once('{')?.0;
        let head = head.split("\n    where").next()?;
        let (name, rest) = head.split_once(['(', '<'])?;
        let takes_self = rest.split_once(')')?.0.contains("self") && !rest.contains("&self");
        let returned = rest.rsplit_once("->")?.1.trim_start();
        let is_builder = returned.starts_with("Self")
            || ["RetryOn429Layer<", "HedgeLayer<", "EndpointBalanceBuilder<"]
                .iter()
                .any(|name| returned.starts_with(name));
        (takes_self && is_builder).then_some(name)
    })
}

#[test]
fn each_setter_of_a_builder_has_a_key() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for (source, table, others) in SETTERS {
        let keys = &schema["$defs"][table]["properties"];
        assert!(keys.is_object(), "{table} is not in the schema");
        let mut count = 0;
        for setter in setters(source) {
            count += 1;
            let has_key = keys.get(setter).is_some();
            let has_reason = others.iter().any(|(name, _)| *name == setter);
            assert!(
                has_key != has_reason,
                "{table}: {setter} needs a key or a reason"
            );
        }
        assert!(count > 3, "{table}: no setters were found");
        for (name, _) in others {
            assert!(
                setters(source).any(|it| it == *name),
                "{table}: no setter {name}"
            );
        }
    }
}

/// The keys of the stack with a fixed list of names, and their types in the schema.
const NAMED: [(&str, &str); 5] = [
    ("strategy", "Strategy"),
    ("answers", "Answers"),
    ("stream_mode", "StreamMode"),
    ("when_exhausted", "WhenExhausted"),
    ("timeouts", "Profile"),
];

/// Returns the names that an error lists after `must be` or `expected`.
fn listed(message: &str) -> BTreeSet<&str> {
    let list = message
        .split_once("must be ")
        .or_else(|| message.split_once("expected "))
        .map_or("", |(_, list)| list);
    let list = list.split(", got").next().unwrap_or_default();
    if list.contains('`') {
        return list.split('`').skip(1).step_by(2).collect();
    }
    let words = list.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| !["", "or"].contains(word)).collect()
}

/// The schema repeats names of other crates by hand, so a new name could be missing in an editor.
#[test]
fn schema_lists_the_names_that_the_parser_accepts() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for (key, definition) in NAMED {
        let names = schema["$defs"][definition]["enum"].as_array().unwrap();
        let names: BTreeSet<_> = names.iter().filter_map(Value::as_str).collect();
        let error = toml::from_str::<StackConfig>(&format!("{key} = 'unknown'")).unwrap_err();
        assert_eq!(listed(error.message()), names, "{key}: {error}");
    }
}
