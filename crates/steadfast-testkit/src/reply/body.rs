//! The body of a reply: its steps as frames.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::plan::{Plan, Step};
use crate::wire::events::KEEP_ALIVE;

/// Receives the end of a body.
pub(crate) trait Settle {
    /// Every step was taken.
    fn completed(&mut self);

    /// The connection must close after all earlier data is on the wire.
    fn cut(&mut self);
}

/// The body of an answer: carries out a [`Plan`].
#[derive(Debug)]
pub(crate) struct ReplyBody<G> {
    plan: Plan,
    sleep: Option<Pin<Box<Sleep>>>,
    guard: G,
}

impl<G: Settle> ReplyBody<G> {
    pub(crate) fn new(plan: Plan, guard: G) -> Self {
        let mut body = Self {
            plan,
            sleep: None,
            guard,
        };
        body.settle_if_done();
        body
    }

    /// Settles with the last step, not at the next poll. No caller has to poll a body after
    /// `is_end_stream()`.
    fn settle_if_done(&mut self) {
        if self.is_done() {
            self.guard.completed();
        }
    }

    /// Returns whether all steps are done.
    fn is_done(&self) -> bool {
        self.plan.steps.is_empty() && self.sleep.is_none()
    }

    /// Starts a wait and queues what remains of it, or is pending if it is for ever.
    fn wait(&mut self, rest: Option<Duration>, keep_alive: Option<Duration>) -> Poll<()> {
        let steps = &mut self.plan.steps;
        let pause = match (rest, keep_alive) {
            (_, Some(every)) if rest.is_none_or(|rest| rest > every) => {
                let rest = rest.map(|rest| rest.saturating_sub(every));
                steps.push_front(Step::Wait { rest, keep_alive });
                steps.push_front(Step::Send(KEEP_ALIVE));
                every
            }
            (Some(rest), _) => rest,
            (None, _) => {
                steps.push_front(Step::Wait { rest, keep_alive });
                return Poll::Pending;
            }
        };
        self.sleep = Some(Box::pin(sleep(pause)));
        Poll::Ready(())
    }
}

impl<G: Settle + Unpin> Body for ReplyBody<G> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
                self.settle_if_done();
            }
            match self.plan.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => {
                    self.settle_if_done();
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Wait { rest, keep_alive }) => ready!(self.wait(rest, keep_alive)),
                Some(Step::Cut) => {
                    self.guard.cut();
                    // Nothing follows but the end of the connection, which drops this body.
                    self.plan.steps.push_front(Step::Cut);
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        match self.plan.length {
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    struct Completed(bool);

    impl Settle for Completed {
        fn completed(&mut self) {
            self.0 = true;
        }

        fn cut(&mut self) {}
    }

    /// The wait may be the last step of all: a truncated stream after a slow first token.
    #[tokio::test(start_paused = true)]
    async fn waiting_body_is_not_at_its_end() {
        let wait = Step::Wait {
            rest: Some(Duration::from_secs(1)),
            keep_alive: None,
        };
        let plan = Plan {
            steps: [wait].into(),
            length: None,
        };
        let mut body = ReplyBody::new(plan, Completed(false));
        let waited = tokio::time::timeout(Duration::from_millis(999), body.frame()).await;
        assert!(waited.is_err());
        assert!(!body.is_end_stream() && !body.guard.0);

        assert!(body.frame().await.is_none());
        assert!(body.is_end_stream() && body.guard.0);
    }
}
