//! The bounds on clients: time, connections and memory.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use steadfast::InvalidConfig;

/// The default size of the largest request body, in bytes. It includes images and documents.
pub const MAX_BODY: usize = 32 * 1024 * 1024;

/// The default time for answers in progress after the stop signal. Kubernetes kills after 30 s.
pub const DRAIN: Duration = Duration::from_secs(25);

/// The bounds on clients. Beyond a bound, the gateway answers with `503` and `Retry-After`.
///
/// | Field | Default | Bound |
/// |---|---|---|
/// | `max_connections` | 4096 | connections at a time |
/// | `max_requests` | 4096 | requests in progress at a time |
/// | `max_streams` | 100 | streams of one HTTP/2 connection at a time |
/// | `max_body` | 32 MiB | bytes of one request body; beyond it: `413` |
/// | `body_memory` | 256 MiB | bytes of all request bodies together |
/// | `head_timeout` | 30 s | time of an unfinished head, and of an unused HTTP/1.1 connection |
/// | `body_timeout` | 30 s | time of an unfinished body, besides the time that `body_rate` grants |
/// | `body_rate` | 32 KiB | bytes per second of an unfinished body after `body_timeout` |
/// | `idle_timeout` | 60 s | time of an unused HTTP/2 connection, and of an answer that the client does not read |
/// | `drain` | 25 s | time for answers in progress after the stop signal |
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// The number of connections. At the bound, the connection that waits longest for a complete
    /// request is closed for a new one.
    pub max_connections: u32,
    /// The number of requests in progress.
    pub max_requests: u32,
    /// The number of concurrent streams of an HTTP/2 connection.
    pub max_streams: u32,
    /// The size of the largest request body.
    pub max_body: usize,
    /// The bytes that all request bodies may hold together. They count until the answer ends.
    pub body_memory: u64,
    /// The time for a head. On HTTP/1.1 it includes the time before the first byte.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub head_timeout: Duration,
    /// The time for a body. Each received byte adds to it by `body_rate`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub body_timeout: Duration,
    /// The bytes per second that a body needs after `body_timeout`.
    pub body_rate: u32,
    /// The time of a connection without progress.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub idle_timeout: Duration,
    /// The time for answers in progress after the stop signal.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub drain: Duration,
}

impl Limits {
    pub(crate) fn validate(&self) -> Result<(), InvalidConfig> {
        let positive = [
            ("max_connections", self.max_connections == 0),
            ("max_requests", self.max_requests == 0),
            ("max_streams", self.max_streams == 0),
            ("max_body", self.max_body == 0),
            ("head_timeout", self.head_timeout.is_zero()),
            ("body_timeout", self.body_timeout.is_zero()),
            ("body_rate", self.body_rate == 0),
            ("idle_timeout", self.idle_timeout.is_zero()),
        ];
        for (field, is_zero) in positive {
            if is_zero {
                return Err(InvalidConfig::new(field, 0, "must be greater than zero"));
            }
        }
        if self.body_memory < self.max_body as u64 {
            let reason = "must be at least max_body";
            return Err(InvalidConfig::new("body_memory", self.body_memory, reason));
        }
        if self.body_memory > MAX_MEMORY {
            let reason = "must be at most 1 TiB";
            return Err(InvalidConfig::new("body_memory", self.body_memory, reason));
        }
        Ok(())
    }

    /// Lowers the number of connections to the descriptors of the process. A request needs one for
    /// its client and one for its endpoint.
    pub(crate) fn fit(&mut self, descriptors: u64) {
        let fitting = (descriptors / 2).saturating_sub(OTHER_DESCRIPTORS).max(1);
        let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
        if fitting < self.max_connections {
            tracing::warn!(
                descriptors,
                max_connections = fitting,
                "the limit of descriptors lowers the number of connections"
            );
            self.max_connections = fitting;
        }
    }

    /// Returns the time that a body of `received` bytes may have taken.
    pub(crate) fn body_time(&self, received: usize) -> Duration {
        let earned = received as f64 / f64::from(self.body_rate);
        self.body_timeout
            .saturating_add(Duration::try_from_secs_f64(earned).unwrap_or(Duration::MAX))
    }
}

/// Half of the descriptors for other purposes: logs, timers, listeners, idle connections.
const OTHER_DESCRIPTORS: u64 = 32;

/// The largest `body_memory`. Its permits of 1 KiB fit into `u32`.
const MAX_MEMORY: u64 = 1 << 40;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_requests: 4096,
            max_streams: 100,
            max_body: MAX_BODY,
            body_memory: 256 * 1024 * 1024,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            body_rate: 32 * 1024,
            idle_timeout: Duration::from_secs(60),
            drain: DRAIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_descriptors() {
        for (descriptors, expected) in
            [(0, 1), (66, 1), (1024, 480), (8256, 4096), (u64::MAX, 4096)]
        {
            let mut limits = Limits::default();
            limits.fit(descriptors);
            assert_eq!(limits.max_connections, expected, "{descriptors}");
        }
    }
}
