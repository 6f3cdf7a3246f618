//! The requests that a limit concerns.

use steadfast_core::{EndpointName, Event, LimitKey};

/// The requests that a limit concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Concerned {
    /// Their key. `None` for all keys.
    pub(crate) key: Option<LimitKey>,
    /// Whether only the requests of one caller are concerned, the ones with its credential.
    pub(crate) per_credential: bool,
}

impl Concerned {
    /// Returns the event of the end of their cooldown.
    pub(crate) fn ended(self, endpoint: EndpointName) -> Event {
        Event::CooldownEnded {
            endpoint,
            key: self.key,
            per_credential: self.per_credential,
        }
    }
}
