use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Extensions, StatusCode};
use tokio::time::Instant;

use crate::endpoint::EndpointName;
use crate::verdict::Verdict;

/// The record of a request's attempts, shared by the layers that it passes.
///
/// It is in the extensions of the request while that is under way, in those of the response to a
/// request that took more than one attempt, and in [`Exhausted`](crate::Exhausted). Clones share
/// one record. A trail is for one request: a second one with it is not retried.
#[derive(Clone, Default)]
pub struct Trail(pub(crate) Arc<Record>);

#[derive(Default)]
pub(crate) struct Record {
    pub(crate) retried: AtomicBool,
    /// Attempts that were made, of which the oldest may be forgotten.
    pub(crate) count: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// The first attempt is kept apart, so that a request with one attempt allocates nothing.
    first: Option<Attempt>,
    more: Vec<Attempt>,
    pub(crate) next: Option<Next>,
    pub(crate) last_next: Option<Next>,
}

/// One try of a request at one endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The endpoint, if one was chosen by a balancer.
    pub endpoint: Option<EndpointName>,
    /// The tier of the endpoint.
    pub tier: u16,
    /// When it was sent.
    pub started: Instant,
    /// How long it took to the head of the response, or to the error.
    pub elapsed: Duration,
    /// The status, if there was a response.
    pub status: Option<StatusCode>,
    /// What it showed.
    pub verdict: Verdict,
    /// Whether it was sent while another attempt of the request was under way.
    pub hedge: bool,
}

/// When the next attempt of a request can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Another endpoint can take it at once.
    Now,
    /// The same endpoint is to be asked again at once, as its failure may have been an accident.
    RetrySameNow,
    /// Some endpoint can take it at this instant, which may have passed already.
    At(Instant),
    /// No endpoint will take this request again.
    Never,
}

// ===== impl Trail =====

impl Trail {
    /// How many attempts are remembered: the first, and the latest of the others.
    pub const MAX_ATTEMPTS: usize = 128;

    /// Creates an empty trail.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the trail in the extensions of a request or of a response.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Returns the number of attempts so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Returns whether there was no attempt yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the attempts, oldest first.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        let state = self.lock();
        state.attempts().cloned().collect()
    }

    /// Returns the latest attempt.
    #[must_use]
    pub fn last(&self) -> Option<Attempt> {
        let state = self.lock();
        state.more.last().or(state.first.as_ref()).cloned()
    }

    /// Looks at the attempts without copying them. The trail is locked meanwhile.
    pub fn with_attempts<T>(
        &self,
        look: impl FnOnce(&mut dyn Iterator<Item = &Attempt>) -> T,
    ) -> T {
        let state = self.lock();
        look(&mut state.attempts())
    }

    /// Returns how often the request moved from one endpoint to another. A hedge is no move.
    #[must_use]
    pub fn failovers(&self) -> usize {
        self.with_attempts(|attempts| {
            let mut last: Option<&EndpointName> = None;
            attempts
                .filter(|attempt| !attempt.hedge)
                .filter_map(|attempt| attempt.endpoint.as_ref())
                .filter(|endpoint| last.replace(endpoint).is_some_and(|last| last != *endpoint))
                .count()
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Values are pushed and replaced whole, so a panic cannot have broken them.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn push(&mut self, attempt: Attempt) {
        if self.first.is_none() {
            self.first = Some(attempt);
            return;
        }
        if self.more.len() + 1 == Trail::MAX_ATTEMPTS {
            self.more.remove(0);
        }
        self.more.push(attempt);
    }

    fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.more)
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.attempts()).finish()
    }
}

/// Prints `primary: rate_limited (429), backup: success (200)`.
impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, attempt) in self.attempts().iter().enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            fmt::Display::fmt(attempt, f)?;
        }
        Ok(())
    }
}

// ===== impl Attempt =====

impl Attempt {
    /// Creates the record of an attempt that was sent at `started` and ends now.
    #[must_use]
    pub fn new(started: Instant, verdict: Verdict) -> Self {
        Self::until(started, Instant::now(), verdict)
    }

    /// Creates the record of an attempt that was sent at `started` and ended at `ended`.
    #[must_use]
    pub fn until(started: Instant, ended: Instant, verdict: Verdict) -> Self {
        Self {
            endpoint: None,
            tier: 0,
            started,
            elapsed: ended.saturating_duration_since(started),
            status: None,
            verdict,
            hedge: false,
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(endpoint) = &self.endpoint {
            write!(f, "{endpoint}: ")?;
        }
        write!(f, "{}", self.verdict.class())?;
        if let Some(status) = self.status {
            write!(f, " ({})", status.as_u16())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;
    use crate::layer::RecordAttempts;

    fn attempt(endpoint: &str, class: Class) -> Attempt {
        Attempt {
            endpoint: Some(endpoint.into()),
            ..Attempt::new(Instant::now(), Verdict::new(class))
        }
    }

    #[test]
    fn tells_the_attempts_in_order() {
        let trail = Trail::new();
        assert!(trail.is_empty());
        trail.record(attempt("primary", Class::RateLimited));
        let mut last = attempt("backup", Class::Success);
        last.status = Some(StatusCode::OK);
        trail.record(last);

        assert_eq!(trail.len(), 2);
        assert_eq!(
            trail.to_string(),
            "primary: rate_limited, backup: success (200)"
        );
        assert_eq!(
            trail.last().and_then(|last| last.endpoint),
            Some("backup".into())
        );
    }

    #[test]
    fn a_retry_at_the_same_endpoint_is_no_failover() {
        let trail = Trail::new();
        for endpoint in ["a", "a", "b", "a"] {
            trail.record(attempt(endpoint, Class::Transport));
        }
        assert_eq!(trail.failovers(), 2);
    }

    /// The winner is noted before the attempt that lost, and neither followed the other.
    #[test]
    fn a_hedge_is_no_failover() {
        let trail = Trail::new();
        trail.record(Attempt {
            hedge: true,
            ..attempt("b", Class::Success)
        });
        trail.record(attempt("a", Class::Cancelled));
        assert_eq!(trail.failovers(), 0);
    }

    #[test]
    fn a_request_that_never_gives_up_does_not_fill_the_memory() {
        let trail = Trail::new();
        for n in 0..1000 {
            trail.record(attempt(&n.to_string(), Class::RateLimited));
        }
        let attempts = trail.attempts();
        assert_eq!((trail.len(), attempts.len()), (1000, Trail::MAX_ATTEMPTS));
        assert_eq!(attempts[0].endpoint, Some("0".into()));
        assert_eq!(attempts[127].endpoint, Some("999".into()));
    }

    #[test]
    fn what_comes_next_is_said_once() {
        let trail = Trail::new();
        trail.set_next(Next::Now);
        assert_eq!(trail.clone().take_next(), Some(Next::Now));
        assert_eq!(trail.take_next(), None);
        assert_eq!(trail.last_next(), Some(Next::Now));
    }

    #[test]
    fn one_layer_is_in_charge() {
        let trail = Trail::new();
        assert!(!trail.is_claimed());
        assert!(trail.claim_retries());
        assert!(trail.is_claimed());
        assert!(!trail.clone().claim_retries());
    }
}
