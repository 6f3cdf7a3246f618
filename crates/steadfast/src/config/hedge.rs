//! Hedges in a configuration file.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use steadfast_hedge::{HedgeLayer, Quantile, Share};

#[cfg(feature = "schema")]
use super::schema;
use super::set::{Set, invalid};
use crate::duration::deserialize_some;

/// The settings of hedges.
#[derive(Default, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "HedgeConfig")
)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Fields {
    /// A fixed time before a hedge, in place of a quantile.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    after: Option<Duration>,
    /// The quantile of latencies after which a request is hedged.
    quantile: Option<f64>,
    /// The minimum time before a hedge.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    min_delay: Option<Duration>,
    /// The maximum share of hedges in all requests, from 0 to 1.
    max_share: Option<f64>,
    /// The maximum number of hedges of a request.
    max_hedges: Option<u32>,
    /// Whether requests with a non-idempotent method are hedged.
    hedge_non_idempotent: Option<bool>,
}

/// Reads the table `hedge`.
pub(super) fn deserialize<'de, D>(table: D) -> Result<Option<HedgeLayer>, D::Error>
where
    D: Deserializer<'de>,
{
    let fields = Fields::deserialize(table)?;
    if fields.after.is_some() && fields.quantile.is_some() {
        return Err(D::Error::custom("has either `after` or `quantile`"));
    }
    let quantile = fields.quantile.map(Quantile::new).transpose();
    let share = fields.max_share.map(Share::new).transpose();
    let layer = HedgeLayer::new()
        .set(fields.after, HedgeLayer::after)
        .set(
            quantile.map_err(|error| invalid(&error))?,
            HedgeLayer::quantile,
        )
        .set(fields.min_delay, HedgeLayer::min_delay)
        .set(
            share.map_err(|error| invalid(&error))?,
            HedgeLayer::max_share,
        )
        .set(fields.max_hedges, HedgeLayer::max_hedges)
        .set(
            fields.hedge_non_idempotent,
            HedgeLayer::hedge_non_idempotent,
        );
    Ok(Some(layer))
}
