//! The checked service.

use std::any::{Any, type_name};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tower_service::Service;

use super::future::{ContractFuture, Flight};
use super::gate::{Admission, AnyError, Permit};
use super::probe::{Probe, Shared};
use super::readiness::Readiness;

/// Wraps a service, and panics when its caller breaks a promise of `tower_service::Service`.
///
/// Put it under the layer to be checked. Each of these is a panic and a
/// [violation](crate::Report::violations):
///
/// * `call` on a handle that has not itself reported readiness since it was made, cloned or called;
/// * `poll_ready` after it has returned an error;
/// * an inner service that reports readiness and is pending when it is asked again.
///
/// Its [`Probe`] counts the rest: cancelled calls, and handles with unused readiness. A clone
/// starts not ready and shares the probe.
///
/// # Checking a layer
///
/// * Send requests through it, some of which are dropped half way: [`Probe::assert_idle`].
/// * Give it one permit with [`limit`](Self::limit) and two callers: a layer that sits on readiness
///   starves one of them.
/// * [`Probe::hold`] it, drop a request that waits, and [`Probe::allow`] it: no handle is ready,
///   and none was ready for nothing ([`Report::unused`](crate::Report::unused)).
/// * [`Probe::fail_ready`]: the error comes out of the layer, and the failed handle is not used
///   again.
///
/// # Example
///
/// A layer in which each request is sent by a clone of a handle that was ready:
///
/// ```
/// use std::{convert::Infallible, task::{Context, Poll}};
/// use steadfast_testkit::Contract;
/// use tower::{Service, ServiceExt, service_fn};
///
/// #[derive(Clone)]
/// struct Hasty<S>(S);
///
/// impl<S: Service<u32> + Clone> Service<u32> for Hasty<S> {
///     type Response = S::Response;
///     type Error = S::Error;
///     type Future = S::Future;
///
///     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
///         self.0.poll_ready(cx)
///     }
///
///     fn call(&mut self, request: u32) -> S::Future {
///         self.0.clone().call(request) // the clone was never ready
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let inner = Contract::new(service_fn(|n: u32| async move { Ok::<_, Infallible>(n + 1) }));
/// let probe = inner.probe();
///
/// assert_eq!(inner.clone().oneshot(1).await, Ok(2));
/// assert_eq!(probe.report().completed, 1);
/// probe.assert_idle();
///
/// let hasty = tokio::spawn(Hasty(inner).oneshot(1)).await;
/// assert!(hasty.is_err_and(|error| error.is_panic()));
/// assert_eq!(probe.report().violations, 1);
/// # }
/// ```
pub struct Contract<S> {
    inner: S,
    shared: Arc<Shared>,
    state: State,
}

/// The readiness of a handle.
enum State {
    Idle,
    /// Waits for the probe to let it pass.
    Waiting(Admission),
    /// Waits for the inner service.
    Admitted(Permit),
    Ready(Readiness),
    Failed,
}

impl<S> Contract<S> {
    /// Creates a checked service. It is ready whenever `inner` is.
    pub fn new(inner: S) -> Self {
        Self::with(inner, Arc::default())
    }

    /// Sets how many handles may be ready or in a call at the same time.
    ///
    /// A handle that becomes ready reserves one of `permits`, as with tower's `ConcurrencyLimit`.
    /// It comes back when the call ends or is dropped, or the handle is dropped without a call.
    /// The limit holds for all clones.
    #[must_use]
    pub fn limit(self, permits: usize) -> Self {
        self.shared.gate.limit(permits);
        self
    }

    /// Returns the probe that reads the numbers of this handle and of its clones.
    #[must_use]
    pub fn probe(&self) -> Probe {
        Probe {
            shared: self.shared.clone(),
        }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes `self` and returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Creates a handle that is not ready.
    fn with(inner: S, shared: Arc<Shared>) -> Self {
        Self {
            inner,
            shared,
            state: State::Idle,
        }
    }

    /// Counts a readiness error and returns it.
    fn fail<E>(&mut self, error: E) -> Poll<Result<(), E>> {
        self.state = State::Failed;
        self.shared.note(|report| report.failed_ready += 1);
        Poll::Ready(Err(error))
    }
}

impl<S, Req> Service<Req> for Contract<S>
where
    S: Service<Req>,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ContractFuture<S::Future>;

    #[track_caller]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        loop {
            match &mut self.state {
                State::Idle => self.state = State::Waiting(self.shared.clone().admit()),
                State::Waiting(admission) => match ready!(admission.as_mut().poll(cx)) {
                    Ok(permit) => self.state = State::Admitted(permit),
                    Err(error) => return self.fail(downcast(error)),
                },
                State::Admitted(permit) => match ready!(self.inner.poll_ready(cx)) {
                    Ok(()) => {
                        let ready = Readiness::new(self.shared.clone(), permit.take());
                        self.state = State::Ready(ready);
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) => return self.fail(error),
                },
                // Asked again, as a caller may. The inner service can still fail.
                State::Ready(ready) => match self.inner.poll_ready(cx) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => {
                        ready.revoke();
                        return self.fail(error);
                    }
                    Poll::Pending => self
                        .shared
                        .violation("a service took back the readiness it had reported"),
                },
                State::Failed => self
                    .shared
                    .violation("poll_ready on a handle that has failed"),
            }
        }
    }

    #[track_caller]
    fn call(&mut self, request: Req) -> Self::Future {
        let State::Ready(ready) = mem::replace(&mut self.state, State::Idle) else {
            self.shared
                .violation("call on a handle that was not polled ready itself");
        };
        let flight = Flight::start(self.shared.clone(), ready.spend());
        ContractFuture::new(self.inner.call(request), flight)
    }
}

impl<S: Clone> Clone for Contract<S> {
    fn clone(&self) -> Self {
        // Readiness belongs to the handle that reported it.
        Self::with(self.inner.clone(), self.shared.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for Contract<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contract")
            .field("inner", &self.inner)
            .field("probe", &self.shared)
            .finish_non_exhaustive()
    }
}

/// Returns a scripted readiness error as the error type of the service.
fn downcast<E: 'static>(error: AnyError) -> E {
    let error: Box<dyn Any> = error;
    match error.downcast() {
        Ok(error) => *error,
        Err(_) => panic!("Probe::fail_ready was not given a {}", type_name::<E>()),
    }
}
