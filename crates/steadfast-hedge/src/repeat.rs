use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use http::request::Parts;
use steadfast_core::layer::{AttemptGroup, TICK, saturating_add};

use tokio::time::Instant;
use tower_service::Service;

use crate::copy::CopyBody;

/// The longest time between two checks whether a hedge can be sent, unless the delay is longer.
const LONGEST_CHECK: Duration = Duration::from_secs(1);

/// The copy of a request from which hedges are sent.
pub(crate) struct Repeat<S, B> {
    pub(crate) service: S,
    pub(crate) head: Parts,
    body: B,
    pub(crate) delay: Duration,
    /// When a hedge could not be sent, and the time of the next check.
    check_again: Option<(Instant, Instant)>,
    /// The number of hedges that were created, and that count.
    created: u32,
    sent: u32,
    /// No further hedge is sent, since the deadline has passed.
    closed: bool,
}

impl<S, B> Repeat<S, B> {
    pub(crate) fn new(service: S, (head, body): (Parts, B), delay: Duration) -> Self {
        Self {
            service,
            head,
            body,
            delay,
            check_again: None,
            created: 0,
            sent: 0,
            closed: false,
        }
    }

    /// Returns whether a further hedge is allowed.
    pub(crate) fn may_hedge(&self, max_hedges: u32) -> bool {
        !self.closed && self.sent < max_hedges
    }

    /// Returns the time of the next hedge after an attempt at `since`.
    pub(crate) fn due(&self, since: Instant) -> Instant {
        let due = saturating_add(since, self.delay);
        match self.check_again {
            // No attempt was sent after the check.
            Some((checked, next)) if since < checked => due.max(next),
            _ => due,
        }
    }

    /// Checks again after `least`, or after the time that a hedge has been missing, if that is
    /// longer. So the checks of a request become rare.
    pub(crate) fn check_again_in(&mut self, least: Duration, missing: Duration, now: Instant) {
        let time = missing.min(LONGEST_CHECK).max(least).max(TICK);
        self.check_again = Some((now, saturating_add(now, time)));
    }

    /// Sends no further hedge.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Uncounts a hedge that was not sent.
    pub(crate) fn unsent(&mut self) {
        self.sent -= 1;
    }

    /// Adds a hedge to the group of the request.
    pub(crate) fn next_group(&mut self, group: &AttemptGroup) -> AttemptGroup {
        self.created += 1;
        group.hedge(self.created)
    }

    /// Sends a hedge, unless the service is busy or the body can no longer be copied.
    pub(crate) fn call(
        &mut self,
        group: &AttemptGroup,
        copy: &impl CopyBody<B>,
        cx: &mut Context<'_>,
    ) -> Option<S::Future>
    where
        S: Service<Request<B>> + Clone,
    {
        // A service that is not ready, or has failed, is dropped: readiness that no request uses
        // would occupy a slot of a layer below.
        let mut service = self.service.clone();
        let Poll::Ready(Ok(())) = service.poll_ready(cx) else {
            return None;
        };
        let body = copy.copy(&self.body)?;
        let mut head = self.head.clone();
        head.extensions.insert(group.clone());
        self.sent += 1;
        Some(service.call(Request::from_parts(head, body)))
    }
}
