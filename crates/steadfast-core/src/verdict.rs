use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::BoxError;
use crate::chain::find_error;
use crate::class::{BreakerEffect, Class, SameEndpoint};

/// What one attempt showed: a [`Class`], and what the endpoint said beside it.
///
/// The classifier next to the client puts it into the extensions of a response that did not
/// succeed. The hint is kept as it came; who waits for it caps it for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    class: Class,
    hint: Option<Duration>,
    should_retry: Option<bool>,
    neutral: bool,
}

impl Verdict {
    /// The verdict of an endpoint that did its work.
    pub const SUCCESS: Self = Self::new(Class::Success);

    /// Creates a verdict without a hint.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self {
            class,
            hint: None,
            should_retry: None,
            neutral: false,
        }
    }

    /// Changes the class, and keeps what the endpoint said beside it.
    #[must_use]
    pub const fn with_class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Sets how long the endpoint asks to be left alone.
    #[must_use]
    pub const fn with_hint(mut self, hint: Option<Duration>) -> Self {
        self.hint = hint;
        self
    }

    /// Sets what the endpoint said in `x-should-retry`.
    #[must_use]
    pub const fn with_should_retry(mut self, should_retry: Option<bool>) -> Self {
        self.should_retry = should_retry;
        self
    }

    /// Makes the verdict say nothing to a circuit breaker, whatever its class says.
    #[must_use]
    pub const fn neutral(mut self) -> Self {
        self.neutral = true;
        self
    }

    /// Returns the class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Returns how long the endpoint asks to be left alone, if it does.
    #[must_use]
    pub const fn hint(&self) -> Option<Duration> {
        self.hint
    }

    /// Returns whether the endpoint did its work.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.class, Class::Success)
    }

    /// Returns what a circuit breaker makes of it.
    #[must_use]
    pub const fn breaker(&self) -> BreakerEffect {
        if self.neutral {
            BreakerEffect::Neutral
        } else {
            self.class.breaker()
        }
    }

    /// Returns whether the same endpoint may be asked again: the word of the endpoint itself in
    /// `x-should-retry`, or else that of the class.
    #[must_use]
    pub const fn same_endpoint(&self) -> SameEndpoint {
        match (self.should_retry, self.class.same_endpoint()) {
            (Some(false), _) => SameEndpoint::Never,
            (Some(true), SameEndpoint::Never | SameEndpoint::OnceAfterBackoff)
                if !self.is_success() =>
            {
                SameEndpoint::AfterBackoff
            }
            (_, rule) => rule,
        }
    }

    /// Returns whether the request was certainly not processed, so that it can be sent again
    /// whatever its method is.
    ///
    /// That is so for every [refusal](Class::is_refusal), and for an overloaded endpoint that
    /// says when to come back.
    #[must_use]
    pub const fn proves_unprocessed(&self) -> bool {
        self.class.is_refusal() || matches!(self.class, Class::Overloaded) && self.hint.is_some()
    }
}

/// An error, and what it showed about the endpoint.
///
/// Only the place next to the client can tell a connection that was never made from one that was
/// lost. It wraps the error in this type, so that every layer above knows too.
#[derive(Debug)]
pub struct Classified {
    verdict: Verdict,
    source: BoxError,
}

impl Classified {
    /// Wraps `source`.
    pub fn new(verdict: Verdict, source: impl Into<BoxError>) -> Self {
        Self {
            verdict,
            source: source.into(),
        }
    }

    /// Finds this error in `error` or in one of its sources.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        find_error(error)
    }

    /// Returns the verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns the error that was classified.
    #[must_use]
    pub fn into_source(self) -> BoxError {
        self.source
    }
}

impl fmt::Display for Classified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt failed: {}", self.verdict.class)
    }
}

impl Error for Classified {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoints_own_word_overrides_the_table() {
        for (class, should_retry, expected) in [
            (Class::RateLimited, Some(false), SameEndpoint::Never),
            (Class::RateLimited, Some(true), SameEndpoint::AfterHint),
            (Class::CallerFault, Some(true), SameEndpoint::AfterBackoff),
            (Class::ServerError, Some(true), SameEndpoint::AfterBackoff),
            (Class::ServerError, None, SameEndpoint::OnceAfterBackoff),
            (Class::Success, Some(true), SameEndpoint::Never),
        ] {
            let verdict = Verdict::new(class).with_should_retry(should_retry);
            assert_eq!(
                verdict.same_endpoint(),
                expected,
                "{class} {should_retry:?}"
            );
        }
    }

    #[test]
    fn an_overloaded_endpoint_proves_nothing_unless_it_gives_a_hint() {
        let verdict = Verdict::new(Class::Overloaded);
        assert!(!verdict.proves_unprocessed());
        assert!(verdict.with_hint(Some(Duration::ZERO)).proves_unprocessed());
    }

    #[test]
    fn a_classified_error_is_found_under_other_errors() {
        let inner = Classified::new(Verdict::new(Class::Connect), "refused");
        let outer = Classified::new(Verdict::new(Class::Transport), inner);
        let found = Classified::find(&outer).expect("the outermost counts");
        assert_eq!(found.verdict().class(), Class::Transport);

        let error = std::io::Error::other(Classified::new(Verdict::new(Class::Connect), "refused"));
        assert!(Classified::find(&error).is_some());
    }
}
