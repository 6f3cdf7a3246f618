//! The compared breakers.
//!
//! Our breaker appears with its own defaults, and with the defaults of an endpoint of the balancer.
//! The other rows are the rules of other libraries and proxies with their defaults.

use std::fmt;
use std::time::Duration;

use steadfast_balance::Endpoint;
use steadfast_breaker::{CircuitBreaker, CircuitBreakerBuilder};

use super::ours::Ours;
use super::rules::{breaker, envoy, failsafe, linkerd, recloser, tower_resilience};
use super::{Breaker, Counts};

/// A row of the tables.
pub(crate) struct Row {
    /// The name in the tables.
    name: &'static str,
    /// The description on the page.
    about: &'static str,
    /// Creates a breaker from a seed.
    make: Box<dyn Fn(u64) -> Box<dyn Breaker> + Send + Sync>,
    /// The counts that open it, if the rule consists of counts.
    counts: Option<Counts>,
    /// Whether it is our breaker.
    is_ours: bool,
}

/// Returns all rows, ours first.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::ours(
            "steadfast-breaker",
            "ours with its defaults: 5 failures in a row; open for 60 s, then 120 .. 300 s; one \
             probe at a time, 3 successes close it",
            CircuitBreaker::builder,
        )
        .opens_at(Counts::in_a_row(5)),
        Row::ours(
            "steadfast-balance",
            "ours as an endpoint of the balancer has it: 7 in a row or 6 beyond 22 %; open for 5 \
             s, then 10 .. 20 s; the same probes",
            endpoint,
        )
        .opens_at(Counts::in_a_row(7).or_beyond(6, 22)),
        Row::rule(
            "linkerd's rule",
            "7 in a row, or success below 0.8 over 10 s and at least 5 requests; shut for 1 s, \
             2 .. 60 s and up to half as much again; one probe decides",
            |seed| Box::new(linkerd::Linkerd::new(seed)),
        )
        .opens_at_least_at(Counts::in_a_row(7)),
        Row::rule(
            "Envoy, one of ten hosts",
            "outlier detection with its defaults: 5 in a row; ejected for 30 s, 60 .. 300 s, \
             rounded up to intervals of 10 s; no probes",
            |_| Box::new(envoy::Envoy::new(10)),
        )
        .opens_at(Counts::in_a_row(5)),
        Row::rule(
            "Envoy, a host alone",
            "the same: `max_ejection_percent` 10 ejects no single host",
            |_| Box::new(envoy::Envoy::new(1)),
        ),
        Row::rule(
            "breaker's rule",
            "the crate `breaker`: 5 in a row or 5 of the last 10; open for 30 s; 3 probes at a \
             time, 3 successes close it",
            |_| Box::new(breaker::Rule::default()),
        )
        .opens_at(Counts::in_a_row(5).or_of_last(5, 10)),
        Row::rule(
            "tower-resilience's rule",
            "`tower-resilience-circuitbreaker`: half of all calls since it was closed, of 100 \
             at least; open for 30 s; one probe decides",
            |_| Box::new(tower_resilience::Rule::default()),
        ),
        Row::rule(
            "recloser's rule",
            "half of the last 100 once there were 100 before; open for 30 s; then all calls pass, \
             and the 11th end decides",
            |_| Box::new(recloser::Rule::default()),
        ),
        Row::rule(
            "failsafe's rule",
            "5 in a row, or a moving average over 30 s below 0.8; open for 5-10 s, 10-20 .. \
             150-300 s; then all calls pass, and the first end decides",
            |seed| Box::new(failsafe::Rule::new(seed)),
        )
        .opens_at_least_at(Counts::in_a_row(5)),
    ]
}

/// Returns the builder of the breaker of an endpoint.
pub(crate) fn endpoint() -> CircuitBreakerBuilder {
    Endpoint::default_breaker()
}

/// Returns the breaker of an endpoint, and variations of the settings for its recovery.
pub(crate) fn variations() -> Vec<Row> {
    const MAX: Duration = Duration::from_secs(20);
    vec![
        Row::ours("as it is", "", endpoint),
        Row::ours("`probes(3)`", "", || endpoint().probes(3)),
        Row::ours("`max_recovery_timeout(30 s)`", "", || {
            endpoint().max_recovery_timeout(Duration::from_secs(30))
        }),
        Row::ours("`max_recovery_timeout(20 s)`", "", || {
            endpoint().max_recovery_timeout(MAX)
        }),
        Row::ours("`max_recovery_timeout(10 s)`", "", || {
            endpoint().max_recovery_timeout(Duration::from_secs(10))
        }),
        Row::ours("20 s and `probes(3)`", "", || {
            endpoint().max_recovery_timeout(MAX).probes(3)
        }),
    ]
}

impl Row {
    /// Creates a row of our breaker from its builder.
    pub(crate) fn ours(
        name: &'static str,
        about: &'static str,
        builder: fn() -> CircuitBreakerBuilder,
    ) -> Self {
        let make = move |seed| -> Box<dyn Breaker> {
            let breaker = builder().seed(seed).build();
            Box::new(Ours(breaker.expect("a valid configuration")))
        };
        Self {
            is_ours: true,
            ..Self::new(name, about, Box::new(make))
        }
    }

    /// Creates a row of the rule of another library.
    fn rule(name: &'static str, about: &'static str, make: fn(u64) -> Box<dyn Breaker>) -> Self {
        Self::new(name, about, Box::new(make))
    }

    /// Creates a row without counts.
    fn new(
        name: &'static str,
        about: &'static str,
        make: Box<dyn Fn(u64) -> Box<dyn Breaker> + Send + Sync>,
    ) -> Self {
        Self {
            name,
            about,
            make,
            counts: None,
            is_ours: false,
        }
    }

    /// Declares the counts that open the breaker. Its false alarms can then be computed.
    pub(crate) fn opens_at(mut self, counts: Counts) -> Self {
        self.counts = Some(counts);
        self
    }

    /// Declares counts that open the breaker beside other rules. The computed false alarms are then
    /// a lower bound.
    fn opens_at_least_at(self, counts: Counts) -> Self {
        self.opens_at(counts.at_least())
    }

    /// Returns the name in the tables.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the description on the page.
    pub(crate) fn about(&self) -> &'static str {
        self.about
    }

    /// Returns the counts that open it, if the rule consists of counts.
    pub(crate) fn counts(&self) -> Option<Counts> {
        self.counts
    }

    /// Returns whether it is our breaker.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Creates a closed breaker, on the current clock.
    pub(crate) fn make(&self, seed: u64) -> Box<dyn Breaker> {
        (self.make)(seed)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
