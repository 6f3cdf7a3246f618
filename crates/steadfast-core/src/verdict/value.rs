use std::num::NonZeroU16;
use std::time::Duration;

use super::scope::Scope;
use crate::class::{BreakerEffect, Class, SameEndpoint};

/// The outcome of an attempt: a [`Class`] and further signals of the endpoint.
///
/// The classifier next to the client inserts it into the extensions of a response that did not
/// succeed. The hint is kept as received; each consumer caps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    class: Class,
    hint: Option<Duration>,
    should_retry: Option<bool>,
    neutral: bool,
    /// Whether the request was certainly not processed, if that differs from the class.
    unprocessed: Option<bool>,
    /// The scope, if it differs from the scope of the class.
    scope: Option<Scope>,
    /// The part that message text alone supports.
    from_text: FromText,
    /// The digest of the request. Two bytes keep the size of the verdict.
    request: Option<NonZeroU16>,
}

/// The part of a verdict that message text alone supports. One byte keeps the size of the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FromText {
    Nothing,
    Hint,
    /// The class, and the hint.
    Class,
}

impl Verdict {
    /// The verdict on an attempt that succeeded.
    pub const SUCCESS: Self = Self::new(Class::Success);

    /// Creates a verdict without a hint.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self {
            class,
            hint: None,
            should_retry: None,
            neutral: false,
            unprocessed: None,
            scope: None,
            from_text: FromText::Nothing,
            request: None,
        }
    }

    /// Replaces the class, and keeps the other signals.
    #[must_use]
    pub const fn with_class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Sets the hint: the delay that the endpoint asks for.
    #[must_use]
    pub const fn with_hint(mut self, hint: Option<Duration>) -> Self {
        self.hint = hint;
        self
    }

    /// Sets the value of the header `x-should-retry`.
    #[must_use]
    pub const fn with_should_retry(mut self, should_retry: Option<bool>) -> Self {
        self.should_retry = should_retry;
        self
    }

    /// Removes the effect on a circuit breaker, for any class.
    #[must_use]
    pub const fn neutral(mut self) -> Self {
        self.neutral = true;
        self
    }

    /// Removes the proof that the request was not processed, for any class.
    ///
    /// A machine without memory can lose a connection that has carried the whole request.
    #[must_use]
    pub const fn maybe_processed(mut self) -> Self {
        self.unprocessed = Some(false);
        self
    }

    /// Marks the request as not sent, for any class: a proof that it was not processed.
    ///
    /// A layer below may reject an attempt without a hint, as an isolated circuit breaker does.
    #[must_use]
    pub const fn unsent(mut self) -> Self {
        self.unprocessed = Some(true);
        self
    }

    /// Sets the state that this verdict affects. Defaults to the scope of the class.
    ///
    /// A body can report a limit of the account, or a quota of one model.
    #[must_use]
    pub const fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Marks the class or the hint as supported by message text alone.
    ///
    /// A server can repeat text of a request in its message, so a caller can influence the text.
    /// Such a verdict is weak evidence. A status, a header, a code and a structured field are
    /// strong evidence.
    #[must_use]
    pub const fn with_text_origin(mut self) -> Self {
        self.from_text = FromText::Class;
        self
    }

    /// Marks only the hint as supported by message text alone. A status or a code supports the
    /// class.
    #[must_use]
    pub const fn with_text_hint(mut self) -> Self {
        if matches!(self.from_text, FromText::Nothing) {
            self.from_text = FromText::Hint;
        }
        self
    }

    /// Sets the digest of the request: of its target and its body.
    ///
    /// It shows whether two refusals concern different requests. One request alone, sent again and
    /// again, must not take an endpoint from the others. Only the lower 16 bits are kept.
    #[must_use]
    pub const fn with_request_digest(mut self, digest: u64) -> Self {
        // Zero stands for another value. A rare collision only delays a longer bench.
        let digest = NonZeroU16::new(digest as u16);
        self.request = Some(match digest {
            Some(digest) => digest,
            None => NonZeroU16::MIN,
        });
        self
    }

    /// Returns the digest of the request, if the classifier knows the request.
    #[must_use]
    pub const fn request_digest(&self) -> Option<NonZeroU16> {
        self.request
    }

    /// Returns the class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Returns the delay that the endpoint asks for, if there is a hint.
    #[must_use]
    pub const fn hint(&self) -> Option<Duration> {
        self.hint
    }

    /// Returns the state that this verdict affects.
    ///
    /// Without [`with_scope`](Self::with_scope) it is `Key` for `RateLimited` and
    /// `ModelUnavailable`, and `Endpoint` for all other classes.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        match (self.scope, self.class) {
            (Some(scope), _) => scope,
            (None, Class::RateLimited | Class::ModelUnavailable) => Scope::Key,
            (None, _) => Scope::Endpoint,
        }
    }

    /// Returns whether message text alone supports the class or the hint.
    #[must_use]
    pub const fn is_from_text(&self) -> bool {
        !matches!(self.from_text, FromText::Nothing)
    }

    /// Returns whether message text alone supports the class.
    #[must_use]
    pub const fn is_class_from_text(&self) -> bool {
        matches!(self.from_text, FromText::Class)
    }

    /// Returns whether the attempt succeeded.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.class, Class::Success)
    }

    /// Returns the effect on a circuit breaker.
    #[must_use]
    pub const fn breaker(&self) -> BreakerEffect {
        if self.neutral {
            BreakerEffect::Neutral
        } else {
            self.class.breaker()
        }
    }

    /// Returns whether the request may be sent again to the same endpoint.
    ///
    /// `x-should-retry` overrides the rule of the class. It does not shorten a wait: a rate-limited
    /// endpoint is still left alone until the end of its hint.
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

    /// Returns whether the request was certainly not processed.
    ///
    /// Such a request can be sent again with any method. Each [refusal](Class::is_refusal) is such
    /// a proof, and so is `Overloaded` with a hint, unless the verdict is
    /// [`maybe_processed`](Self::maybe_processed). An [`unsent`](Self::unsent) one always is.
    #[must_use]
    pub const fn proves_unprocessed(&self) -> bool {
        let is_shed = matches!(self.class, Class::Overloaded) && self.hint.is_some();
        match self.unprocessed {
            Some(unprocessed) => unprocessed,
            None => self.class.is_refusal() || is_shed,
        }
    }
}
