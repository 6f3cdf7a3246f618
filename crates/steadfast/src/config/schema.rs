//! Types that stand in the JSON schema for types of other crates.

// The schema reads the names and the docs of these types. They have no values.
#![allow(dead_code)]

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A duration such as `500ms`, `30s` or `10m`.
#[derive(JsonSchema)]
pub(super) struct Duration(String);

/// The names of strategies.
pub(super) struct Strategy;

impl JsonSchema for Strategy {
    fn schema_name() -> Cow<'static, str> {
        "Strategy".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let all = steadfast_balance::Strategy::ALL.iter();
        let names: Vec<_> = all.map(ToString::to_string).collect();
        json_schema!({ "description": "The names of strategies.", "type": "string", "enum": names })
    }
}

/// The names of the checks of answers.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(super) enum Answers {
    Checked,
    Unchecked,
}

/// The names of the modes of streams.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(super) enum StreamMode {
    Direct,
    Buffered,
}

/// The treatments of a request without an admissible endpoint.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(super) enum WhenExhausted {
    Fail,
    Wait,
    LeastBad,
}

/// The name of a profile, or a table.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Timeouts {
    Profile(Profile),
    Table(TimeoutTable),
}

/// The names of profiles of timeouts.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(super) enum Profile {
    Short,
    Medium,
    Long,
}

/// The limits of an attempt. A limit that is absent has its default.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct TimeoutTable {
    /// Until the connection is established, with DNS and TLS.
    connect: Option<Duration>,
    /// Until the head of a stream.
    head: Option<Duration>,
    /// Until the first visible token of a stream.
    first_token: Option<Duration>,
    /// Between two chunks of a stream.
    idle: Option<Duration>,
    /// Until the end of a whole answer.
    total: Option<Duration>,
    /// Until a second attempt starts elsewhere.
    rescue_after: Option<Duration>,
    /// Until the end of a request, with all its attempts.
    deadline: Option<Duration>,
}

/// A route from a model to endpoints.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Route {
    /// The name, which may have `*` at its end.
    model: String,
    /// Other names.
    aliases: Option<Vec<String>>,
    /// The endpoints.
    target: Vec<Target>,
}

/// An endpoint of a route.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Target {
    /// The name of the endpoint.
    endpoint: String,
    /// The model there.
    model: String,
    /// The tier within the route. Defaults to 0.
    tier: Option<u16>,
    /// Whether the answers are of lesser quality. Defaults to another model than the one of the
    /// first target.
    degraded: Option<bool>,
    /// The share of requests among the targets of one rank. Defaults to 1 if another target has
    /// one.
    weight: Option<f64>,
    /// Whether the model is a deployment of Azure. Defaults to `false`.
    deployment: Option<bool>,
}
