use std::fmt;
use std::str::FromStr;

use crate::unknown_name::UnknownName;

/// The state of a circuit breaker.
///
/// [`FromStr`] and, with the feature `serde`, `Serialize` and `Deserialize` use the names of
/// [`as_str`](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// Requests are rejected.
    Open,
    /// A few probes pass.
    HalfOpen,
}

impl BreakerState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    const NAMES: [&str; Self::ALL.len()] = [
        Self::Closed.as_str(),
        Self::Open.as_str(),
        Self::HalfOpen.as_str(),
    ];

    /// Returns the name for metrics, logs and configuration, such as `half_open`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BreakerState {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or_else(|| UnknownName::new("breaker state", name, &Self::NAMES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_parsed_to_its_state() {
        for state in BreakerState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("Open".parse::<BreakerState>().is_err());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn state_is_serialized_as_its_name() {
        let json = serde_json::to_string(&BreakerState::HalfOpen).expect("a name");
        assert_eq!(json, r#""half_open""#);
        let state: BreakerState = serde_json::from_str(&json).expect("a known name");
        assert_eq!(state, BreakerState::HalfOpen);
    }
}
