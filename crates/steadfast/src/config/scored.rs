//! The shares of the strategy `scored`.

use serde::{Deserialize, Deserializer};
use steadfast_balance::Scored;

use super::set::invalid;

/// The shares of the scores.
#[derive(Default, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "Scored")
)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Shares {
    /// The share of successes.
    health: f64,
    /// The share of the latency.
    latency: f64,
    /// The share of the cost.
    cost: f64,
}

/// Reads a table of shares.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(table: D) -> Result<Option<Scored>, D::Error> {
    let Shares {
        health,
        latency,
        cost,
    } = Shares::deserialize(table)?;
    Scored::mix(health, latency, cost)
        .map(Some)
        .map_err(|error| invalid(&error))
}
