use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::copy::CopyBody;
use crate::running::Running;

pin_project! {
    /// The response future of [`Hedge`](crate::Hedge).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, C>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        first: Option<S::Future>,
        // Created if the first attempt does not answer at once.
        #[pin]
        timer: Option<Sleep>,
        // Absent if the request is neither hedged nor measured.
        running: Option<Running<S, B, C>>,
    }
}

/// A step of a poll.
enum Step {
    First,
    Hedges,
    Timer,
}

impl<S, B, C> ResponseFuture<S, B, C>
where
    S: Service<Request<B>>,
{
    pub(crate) fn new(first: S::Future, running: Option<Running<S, B, C>>) -> Self {
        Self {
            first: Some(first),
            timer: None,
            running,
        }
    }
}

impl<S, B, C, ResBody> ResponseFuture<S, B, C>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    S::Error: 'static,
    C: CopyBody<B>,
{
    fn poll_attempts(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.project();
        let Some(running) = this.running else {
            let first = this.first.as_pin_mut();
            return first.expect("polled after it was ready").poll(cx);
        };
        let mut step = Step::First;
        loop {
            step = match step {
                // The first attempt is polled once. A failure does not end the hedges.
                Step::First => {
                    if let Some(first) = this.first.as_mut().as_pin_mut() {
                        if let Poll::Ready(outcome) = first.poll(cx) {
                            this.first.set(None);
                            if let Some(outcome) = running.first_ended(outcome) {
                                return Poll::Ready(outcome);
                            }
                        }
                    }
                    Step::Hedges
                }
                // The first hedge that succeeds ends the request, and so does the last failure.
                Step::Hedges => {
                    if let Some(outcome) = running.poll_hedges(this.first.is_some(), cx) {
                        return Poll::Ready(outcome);
                    }
                    if this.first.is_none() {
                        if let Some(outcome) = running.give_up() {
                            return Poll::Ready(outcome);
                        }
                    }
                    Step::Timer
                }
                // A hedge that is due is sent and polled.
                Step::Timer => {
                    let Some(due) = running.due() else {
                        return Poll::Pending;
                    };
                    ready!(poll_timer(this.timer.as_mut(), due, cx));
                    running.send_hedge(cx);
                    Step::Hedges
                }
            }
        }
    }
}

impl<S, B, C, ResBody> Future for ResponseFuture<S, B, C>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    S::Error: 'static,
    C: CopyBody<B>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.as_mut().poll_attempts(cx));
        let mut this = self.project();
        // Ends all attempts before the answer is returned, so that the trail is complete.
        this.first.set(None);
        *this.running = None;
        Poll::Ready(outcome)
    }
}

/// Waits until `due`, which may differ from the one of the previous call.
fn poll_timer(mut timer: Pin<&mut Option<Sleep>>, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if timer.is_none() {
        timer.set(Some(sleep_until(due)));
    }
    let mut timer = timer.as_pin_mut().expect("set above");
    if timer.deadline() != due {
        timer.as_mut().reset(due);
    }
    timer.poll(cx)
}

impl<S, B, C> fmt::Debug for ResponseFuture<S, B, C>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
