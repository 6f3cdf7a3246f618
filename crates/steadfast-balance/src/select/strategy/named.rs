//! The names of strategies: `failover`, `round_robin`, `least_loaded`, `scored`, `headroom` and
//! `sticky`.

use std::fmt;
use std::str::FromStr;

use steadfast_core::InvalidConfig;

use super::Strategy;

impl Strategy {
    /// All strategies, for parsers and lists of names.
    pub const ALL: &[Self] = &[
        Self::Failover,
        Self::RoundRobin,
        Self::LeastLoaded,
        Self::Scored,
        Self::Headroom,
        Self::Sticky,
    ];
}

/// Returns the name in a configuration.
const fn name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Failover => "failover",
        Strategy::RoundRobin => "round_robin",
        Strategy::LeastLoaded => "least_loaded",
        Strategy::Scored => "scored",
        Strategy::Headroom => "headroom",
        Strategy::Sticky => "sticky",
    }
}

impl FromStr for Strategy {
    type Err = InvalidConfig;

    /// Parses a name in snake case, such as `least_loaded`.
    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        let mut all = Self::ALL.iter().copied();
        let known = all.find(|strategy| name(*strategy) == text);
        known.ok_or_else(|| {
            let rule = "must be failover, round_robin, least_loaded, scored, headroom or sticky";
            InvalidConfig::new("strategy", text, rule)
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let error = "fastest".parse::<Strategy>().unwrap_err();
        assert_eq!(error.field(), "strategy");
        for strategy in Strategy::ALL {
            let name = strategy.to_string();
            assert_eq!(name.parse::<Strategy>(), Ok(*strategy));
            assert!(error.to_string().contains(&name), "{error}");
        }
    }
}
