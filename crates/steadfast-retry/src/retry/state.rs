//! The state of a request that can be sent again.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, Request};
use http_body::Body;
use steadfast_core::Trail;
use steadfast_core::layer::RecordAttempts;
use tokio::time::Instant;
use tracing::Span;

use super::past::Past;
use crate::attempt;
use crate::mode::BodyMode;
use crate::policy::{Limits, Policy};

/// The settings that all requests of a service share.
pub(crate) struct Settings {
    /// The rules of the layer.
    pub(crate) policy: Policy,
    /// The request header that carries the number of the attempt.
    pub(crate) attempt_header: Option<HeaderName>,
    /// Whether a final answer gets `x-should-retry: false`.
    pub(crate) marks_final: bool,
}

/// A request that can be sent again, and its attempts so far.
pub(crate) struct Retry<S, K, B: Body> {
    /// The handle that made the first call. It is polled for readiness before each further call.
    pub(crate) service: S,
    /// The head of the request, copied for each further attempt.
    pub(super) head: Parts,
    /// The kept body.
    pub(super) body: K,
    /// Whether a note in the body marks the request as safe to repeat.
    noted: bool,
    /// The settings of the service.
    pub(super) settings: Arc<Settings>,
    /// The record that layers below write to.
    pub(super) trail: Trail,
    /// The number of attempts that this layer sent, the time of the last one, and the length of the
    /// trail at that time.
    pub(super) sent: u32,
    pub(super) started: Instant,
    recorded: u32,
    /// The length of the trail before the first attempt of this layer.
    before: u32,
    /// Boxed, since most requests need none of it.
    pub(super) past: Option<Box<Past<B>>>,
}

impl<S, K, B: Body> Retry<S, K, B> {
    /// Starts with an attempt that was sent at `started`, when the trail had `recorded` attempts.
    #[inline]
    pub(crate) fn new(
        service: S,
        (head, body, noted): (Parts, K, bool),
        settings: Arc<Settings>,
        trail: Trail,
        (recorded, started): (usize, Instant),
    ) -> Self {
        Self {
            service,
            head,
            body,
            noted,
            settings,
            trail,
            sent: 1,
            started,
            recorded: count(recorded),
            before: count(recorded),
            past: None,
        }
    }

    /// Creates the request of a further attempt, which is sent now.
    ///
    /// Returns `None` if the body can no longer be sent again.
    pub(crate) fn again<ReqBody, M>(&mut self) -> Option<(Request<M::Body>, Span)>
    where
        M: BodyMode<ReqBody, Kept = K>,
    {
        let body = M::again(&self.body)?;
        if let Some(past) = &mut self.past {
            past.begin_attempt();
        }
        self.sent = self.sent.saturating_add(1);
        self.started = Instant::now();
        self.recorded = count(self.trail.len());
        // Of an earlier attempt.
        let _ = self.trail.take_slow();
        let (head, span) = self.next_head(1);
        Some((Request::from_parts(head, body), span))
    }

    /// Returns the head and the span of the attempt that is `more` behind the recorded ones.
    pub(super) fn next_head(&self, more: u32) -> (Parts, Span) {
        let mut head = self.head.clone();
        head.extensions.insert(self.trail.clone());
        let recorded = count(self.trail.len()).saturating_sub(self.before);
        let number = recorded.saturating_add(more);
        let header = self.settings.attempt_header.as_ref();
        attempt::number(&mut head.headers, header, number);
        (head, attempt::span(number))
    }

    /// Returns whether a layer below has recorded the last attempt.
    pub(super) fn is_recorded(&self) -> bool {
        count(self.trail.len()) > self.recorded
    }

    /// Returns the limits of the request.
    pub(super) fn limits(&self) -> Limits {
        self.settings.policy.limits(&self.head, self.noted)
    }

    /// Returns the record of the attempts.
    pub(crate) fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Starts a wait before the next attempt.
    pub(crate) fn begin_wait(&mut self) {
        if let Some(past) = &mut self.past {
            past.begin_wait(Instant::now());
        }
    }

    /// Ends the wait.
    pub(crate) fn end_wait(&mut self) {
        if let Some(past) = &mut self.past {
            past.end_wait();
        }
    }

    /// Returns the longest time that an attempt may wait for readiness.
    pub(crate) fn time_left(&self) -> Duration {
        let past = self.past.as_deref();
        past.map_or(Duration::MAX, |past| past.time_left(Instant::now()))
    }

    /// Whether a further attempt would cut off the kept answer.
    ///
    /// A further attempt cuts off the request body of the attempt before it, and with it the
    /// connection of an answer that is still arriving.
    pub(crate) fn has_more_to_read<ReqBody, M>(&self) -> bool
    where
        M: BodyMode<ReqBody, Kept = K>,
    {
        let answer = self.past.as_ref().and_then(|past| past.best.answer());
        answer.is_some_and(|answer| answer.is_unread()) && M::is_open(&self.body)
    }

    /// Reads the available part of the kept answer, so that its connection becomes free.
    #[inline]
    pub(crate) fn read_ahead(&mut self, cx: &mut Context<'_>) {
        let answer = self.past.as_mut().and_then(|past| past.best.answer_mut());
        if let Some(answer) = answer {
            answer.read(cx);
        }
    }
}

/// Returns a number of attempts, which is far below the largest one.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
