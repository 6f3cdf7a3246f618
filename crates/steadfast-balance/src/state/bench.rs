//! The escalation of benches. A bench is a cooldown for a reason that time alone may not end: a
//! spent quota, a rejected credential or a missing model.
//!
//! The first bench lasts a minute, or as long as a header or a structured field requests. It
//! doubles each time the next probe is refused for such a reason again. A success resets it. One
//! request alone causes no bench of more than a minute: a second, different request must be refused
//! in the same way.

use std::num::NonZeroU16;
use std::time::Duration;

use steadfast_core::Class;

use crate::state::trigger::Trigger;

/// The first bench without a hint, and the longest one that a single request causes.
pub(crate) const FIRST_BENCH: Duration = Duration::from_secs(60);
/// The longest bench without a hint.
const MAX_BENCH: Duration = Duration::from_secs(30 * 60);
/// The longest bench with a hint: one day.
const MAX_HINT: Duration = Duration::from_secs(86_400);
/// The shortest bench. A hint of zero is no hint.
const MIN_BENCH: Duration = Duration::from_secs(1);

/// The identity of a request, to distinguish the requests that an endpoint refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestId {
    /// The digest of its target and its body.
    Digest(NonZeroU16),
    /// Without a digest, each request differs from the others.
    Unknown,
    /// An earlier attempt of the same request was refused at the same endpoint.
    Repeated,
}

/// A refusal for a bench reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause {
    pub(crate) class: Class,
    /// The hint of a header or a structured field.
    pub(crate) hint: Option<Duration>,
    pub(crate) request: RequestId,
    pub(crate) trigger: Trigger,
    /// The response time, if the refusal was the response to the attempt.
    pub(crate) took: Option<Duration>,
    /// The usual time to the head of a success, if there was one.
    pub(crate) latency: Option<Duration>,
    /// Whether another endpoint refuses the request alike and takes others.
    pub(crate) is_own: bool,
    /// Whether different requests have led to the bench.
    pub(crate) is_confirmed: bool,
}

/// The health checks of the benches of one state.
#[cfg(feature = "health")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checks {
    /// The generation of the last bench that checks covered, with its consecutive successes.
    pub(crate) passed: (u64, u32),
    /// The generation of the last bench that a check has ended.
    pub(crate) ended: Option<u64>,
}

/// The benches of one state since its last success.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Escalation(Option<Last>);

/// The last bench.
#[derive(Clone, Copy, Debug)]
struct Last {
    wait: Duration,
    class: Class,
    /// The first request that was refused.
    request: RequestId,
    /// A different request that was refused in the same way.
    other: Option<RequestId>,
    /// Whether several requests had led to the bench.
    is_confirmed: bool,
}

impl Last {
    /// Returns whether different requests support the bench.
    fn is_confirmed(&self) -> bool {
        self.is_confirmed || self.other.is_some()
    }
}

impl RequestId {
    /// Returns whether this is a different request than `first`.
    pub(crate) fn differs_from(self, first: Self) -> bool {
        match (self, first) {
            (Self::Repeated, _) => false,
            (Self::Digest(a), Self::Digest(b)) => a != b,
            _ => true,
        }
    }
}

impl Escalation {
    /// Returns whether no success has come since a bench for the same reason.
    pub(crate) fn is_again(&self, class: Class) -> bool {
        self.0.is_some_and(|last| last.class == class)
    }

    /// Returns whether only one request supports the last bench.
    pub(crate) fn is_single(&self) -> bool {
        self.0.is_some_and(|last| !last.is_confirmed())
    }

    /// Records a refusal that begins no bench, because a bench has begun.
    pub(crate) fn confirm(&mut self, cause: &Cause) {
        if let Some(last) = &mut self.0 {
            if last.class == cause.class && cause.request.differs_from(last.request) {
                last.other.get_or_insert(cause.request);
            }
        }
    }

    /// Removes a request that is at fault itself. Returns whether no request supports the last
    /// bench.
    pub(crate) fn take_back(&mut self, request: RequestId) -> bool {
        let Some(last) = &mut self.0 else {
            return false;
        };
        if !matches!(request, RequestId::Digest(_)) || last.is_confirmed {
            return false;
        }
        if last.other == Some(request) {
            last.other = None;
        } else if last.request == request {
            match last.other.take() {
                Some(other) => last.request = other,
                None => return true,
            }
        }
        false
    }

    /// Returns the length of the bench that begins.
    pub(crate) fn next(&mut self, cause: &Cause) -> Duration {
        self.confirm(cause);
        let same = self.0.filter(|last| last.class == cause.class);
        let is_confirmed = cause.is_confirmed || same.is_some_and(|last| last.is_confirmed());
        let hint = cause.hint.filter(|hint| !hint.is_zero());
        let doubled = (self.0).map(|last| last.wait.saturating_mul(2).min(MAX_BENCH));
        let wait = doubled.max(hint).unwrap_or(FIRST_BENCH);
        let longest = if is_confirmed { MAX_HINT } else { FIRST_BENCH };
        let wait = wait.min(longest).max(MIN_BENCH);
        self.0 = Some(Last {
            wait,
            class: cause.class,
            request: same.map_or(cause.request, |last| last.request),
            other: same.and_then(|last| last.other),
            is_confirmed: cause.is_confirmed || same.is_some_and(|last| last.is_confirmed),
        });
        wait
    }

    /// Begins again with the first bench, after a success or by order.
    pub(crate) fn reset(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn cause(class: Class, request: u16, hint: Option<Duration>) -> Cause {
        Cause {
            class,
            hint,
            request: NonZeroU16::new(request).map_or(RequestId::Unknown, RequestId::Digest),
            trigger: Trigger::default(),
            took: None,
            latency: None,
            is_own: false,
            is_confirmed: false,
        }
    }

    fn minutes(escalation: &mut Escalation, request: u16) -> u64 {
        let wait = escalation.next(&cause(Class::QuotaExhausted, request, None));
        wait.as_secs() / 60
    }

    #[test]
    fn bench_doubles_to_half_an_hour_until_a_success() {
        let mut escalation = Escalation::default();
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(minutes(&mut escalation, 0), expected);
        }
        escalation.reset();
        assert_eq!(minutes(&mut escalation, 0), 1);
    }

    #[test]
    fn longer_bench_requires_a_different_request() {
        let mut escalation = Escalation::default();
        for _ in 0..5 {
            assert_eq!(minutes(&mut escalation, 1), 1, "the same request");
        }
        assert_eq!(minutes(&mut escalation, 2), 2);
        assert_eq!(minutes(&mut escalation, 1), 4, "it was confirmed");

        let mut escalation = Escalation::default();
        minutes(&mut escalation, 1);
        let other = cause(Class::ModelUnavailable, 2, None);
        assert_eq!(escalation.next(&other), MINUTE, "refused in another way");
        let again = Cause {
            request: RequestId::Repeated,
            ..other
        };
        assert_eq!(escalation.next(&again), MINUTE);
    }

    /// Hints may be wrong or absurd.
    #[test]
    fn hint_is_bounded() {
        let days = |days: u32| Some(Duration::from_secs(86_400) * days);
        for (hint, first, second) in [
            (days(1), 60, 86_400),
            (days(7), 60, 86_400),
            (Some(Duration::MAX), 60, 86_400),
            (Some(5 * MINUTE), 60, 300),
            (Some(MINUTE / 2), 30, 60),
            (Some(Duration::ZERO), 60, 120),
            (Some(Duration::from_nanos(1)), 1, 2),
        ] {
            let mut escalation = Escalation::default();
            let mut next = |request| escalation.next(&cause(Class::QuotaExhausted, request, hint));
            assert_eq!(next(1).as_secs(), first, "{hint:?}");
            assert_eq!(next(2).as_secs(), second, "{hint:?}");
        }
    }

    /// Requests in flight may confirm each other, although each of them is at fault.
    #[test]
    fn bench_without_supporters_is_taken_back() {
        let id = |request| cause(Class::QuotaExhausted, request, None).request;
        let mut escalation = Escalation::default();
        minutes(&mut escalation, 1);
        escalation.confirm(&cause(Class::QuotaExhausted, 2, None));
        escalation.confirm(&cause(Class::QuotaExhausted, 3, None));
        assert!(!escalation.take_back(id(3)), "two others");
        assert!(!escalation.take_back(id(1)));
        assert!(escalation.is_single());
        assert!(!escalation.take_back(id(0)), "unknown");
        assert!(escalation.take_back(id(2)));
    }

    #[test]
    fn hint_of_a_confirmed_bench_holds_at_once() {
        let hour = Some(60 * MINUTE);
        let mut escalation = Escalation::default();
        let confirmed = Cause {
            is_confirmed: true,
            ..cause(Class::Unauthorized, 1, hour)
        };
        assert_eq!(Some(escalation.next(&confirmed)), hour);
    }
}
