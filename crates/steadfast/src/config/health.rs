//! Health checks in a configuration file.

use std::time::Duration;

use http::StatusCode;
use http::status::InvalidStatusCode;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use steadfast_balance::HealthCheck;

#[cfg(feature = "schema")]
use super::schema;
use super::set::{Set, invalid};
use crate::duration::deserialize_some;

/// The settings of health checks.
#[derive(Default, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "HealthConfig")
)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Fields {
    /// The time from one check of an endpoint to the next.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    interval: Option<Duration>,
    /// The time limit of a check.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    timeout: Option<Duration>,
    /// The share by which the interval varies, from 0 to 1.
    jitter: Option<f64>,
    /// The consecutive successes that end a bench.
    healthy: Option<u32>,
    /// The consecutive failures that open a closed breaker.
    unhealthy: Option<u32>,
    /// The path of a check, behind the base of the endpoint.
    path: Option<String>,
    /// The only status with which a check passes.
    expect_status: Option<u16>,
    /// The seed of the jitter, for repeatable runs.
    seed: Option<u64>,
}

/// Reads the table `health`.
pub(super) fn deserialize<'de, D>(table: D) -> Result<Option<HealthCheck>, D::Error>
where
    D: Deserializer<'de>,
{
    let fields = Fields::deserialize(table)?;
    let check = fields.check().map_err(D::Error::custom)?;
    check.validate().map_err(|error| invalid(&error))?;
    Ok(Some(check))
}

impl Fields {
    /// Creates the check. A field that is absent has its default.
    ///
    /// The values are not validated: `HealthCheck::validate` follows.
    fn check(self) -> Result<HealthCheck, InvalidStatusCode> {
        let status = self.expect_status.map(StatusCode::from_u16).transpose()?;
        Ok(HealthCheck::new()
            .set(self.interval, HealthCheck::interval)
            .set(self.timeout, HealthCheck::timeout)
            .set(self.jitter, HealthCheck::jitter)
            .set(self.healthy, HealthCheck::healthy)
            .set(self.unhealthy, HealthCheck::unhealthy)
            .set(self.path, HealthCheck::path)
            .set(status, HealthCheck::expect_status)
            .set(self.seed, HealthCheck::seed))
    }
}
