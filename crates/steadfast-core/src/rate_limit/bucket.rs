use std::time::Duration;

/// One limit of a provider: an amount per time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket<'a> {
    pub(super) family: &'static str,
    pub(super) name: &'a str,
    pub(super) limit: Option<u64>,
    pub(super) remaining: Option<u64>,
    pub(super) reset: Option<Reset>,
}

/// The unit of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Requests. Also the unit of a bucket without a named unit.
    Requests,
    /// Tokens of a language model.
    Tokens,
}

/// The time at which a bucket has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reset {
    /// The bucket fills steadily and is full after this time. OpenAI and Groq send it as a Go
    /// duration.
    UntilFull(Duration),
    /// The bucket gets nothing before the window ends, which is after this time.
    UntilWindow(Duration),
}

impl<'a> Bucket<'a> {
    pub(super) fn new(family: &'static str, name: &'a str) -> Self {
        Self {
            family,
            name,
            limit: None,
            remaining: None,
            reset: None,
        }
    }

    /// Returns the name in the headers, such as `tokens`. It may be empty.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the unit.
    #[must_use]
    pub fn unit(&self) -> Unit {
        let tokens = self.name.contains("token") || self.family.contains("bysize");
        if tokens { Unit::Tokens } else { Unit::Requests }
    }

    /// Returns the amount in a full bucket.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Returns the remaining amount.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.remaining
    }

    /// Returns the time of the reset.
    #[must_use]
    pub fn reset(&self) -> Option<Reset> {
        self.reset
    }

    /// Sets the time of the reset, unless a doubled header has a later one.
    pub(super) fn set_reset(&mut self, reset: Option<Reset>) {
        let time = |reset: Option<Reset>| match reset {
            Some(Reset::UntilFull(wait) | Reset::UntilWindow(wait)) => Some(wait),
            None => None,
        };
        if time(reset) > time(self.reset) {
            self.reset = reset;
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.remaining == Some(0)
    }

    /// Returns the time until an empty bucket has enough for the next request.
    pub(super) fn pause(&self, tokens: Option<u64>) -> Option<Duration> {
        let full = match self.reset? {
            Reset::UntilWindow(wait) => return Some(wait),
            Reset::UntilFull(wait) => wait,
        };
        let needed = match self.unit() {
            Unit::Requests => Some(1),
            Unit::Tokens => tokens,
        };
        Some(match (needed, self.limit) {
            (Some(needed), Some(limit)) if needed < limit => {
                full.mul_f64(needed as f64 / limit as f64)
            }
            _ => full,
        })
    }

    pub(super) fn assume_spent_if_reset(&mut self) {
        if self.reset.is_some() {
            self.remaining = Some(0);
        }
    }
}
