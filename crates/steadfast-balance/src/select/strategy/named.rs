//! The names of strategies: `failover`, `round_robin`, `least_loaded`, `scored`, `headroom` and
//! `sticky`.

use std::fmt;
use std::str::FromStr;

use steadfast_core::InvalidConfig;

use super::Strategy;

/// Each strategy with its name in a configuration.
const NAMES: [(&str, Strategy); 6] = [
    ("failover", Strategy::Failover),
    ("round_robin", Strategy::RoundRobin),
    ("least_loaded", Strategy::LeastLoaded),
    ("scored", Strategy::Scored),
    ("headroom", Strategy::Headroom),
    ("sticky", Strategy::Sticky),
];

impl FromStr for Strategy {
    type Err = InvalidConfig;

    /// Parses a name in snake case, such as `least_loaded`.
    fn from_str(name: &str) -> Result<Self, InvalidConfig> {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, strategy)| *strategy).ok_or_else(|| {
            let rule = "must be failover, round_robin, least_loaded, scored, headroom or sticky";
            InvalidConfig::new("strategy", name, rule)
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = NAMES.iter().find(|(_, strategy)| strategy == self);
        f.write_str(known.map_or("", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for (name, strategy) in NAMES {
            assert_eq!(name.parse::<Strategy>().unwrap(), strategy);
            assert_eq!(strategy.to_string(), name);
        }
        assert_eq!(
            "fastest".parse::<Strategy>().unwrap_err().field(),
            "strategy"
        );
    }
}
