//! The trigger of a cooldown, for rejections and the status.

use http::StatusCode;
use steadfast_core::Class;
use tokio::time::Instant;

use crate::state::reason::Reason;

/// The trigger of a cooldown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A call of [`PoolHandle::cool`](crate::PoolHandle::cool).
    Order,
    /// The outcome of an attempt. A success is a trigger if its headers report a used-up quota.
    Outcome(Class, Option<StatusCode>),
}

/// A cooldown at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PresentCooldown {
    /// The end of the cooldown.
    pub(crate) until: Instant,
    /// The trigger of the cooldown.
    pub(crate) trigger: Trigger,
    /// Whether the cooldown is a bench.
    pub(crate) bench: bool,
}

impl Trigger {
    /// The trigger of a cooldown after a success with a used-up quota.
    pub(crate) const USED_UP: Self = Self::Outcome(Class::Success, None);

    /// Returns the class of the reason. The reason itself formats a text.
    pub(crate) fn class(self) -> Class {
        match self {
            Self::Order | Self::Outcome(Class::Success, _) => Class::RateLimited,
            Self::Outcome(class, _) => class,
        }
    }

    /// Returns the reason for rejections and the status.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Order => Reason::with_text(self.class(), "an order"),
            Self::Outcome(Class::Success, _) => Reason::with_text(self.class(), "a used-up quota"),
            Self::Outcome(class, status) => Reason::new(class, status, None),
        }
    }
}

impl Default for Trigger {
    /// A refusal without a known status.
    fn default() -> Self {
        Self::Outcome(Class::RateLimited, None)
    }
}
