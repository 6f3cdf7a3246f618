use std::any::Any;
use std::fmt;
use std::sync::Arc;

use steadfast_core::{BoxError, Class, End, Exhausted, OnEnd, Trail, Watched};
use tokio::time::Instant;

use crate::numbers::{Numbers, Route};

/// The response body of [`Metrics`](crate::Metrics): it measures the end of the response.
pub type ResponseBody<B> = Watched<B, Running>;

/// A request or an attempt between its start and its end.
///
/// Held by the response future, then by the response body. Its drop is the end, so there is
/// exactly one for each start, whoever goes away first.
pub struct Running {
    numbers: Arc<Numbers>,
    started: Instant,
    class: Class,
    route: Option<Route>,
}

impl Running {
    pub(crate) fn start(numbers: Arc<Numbers>) -> Self {
        numbers.start();
        Self {
            numbers,
            started: Instant::now(),
            class: Class::Cancelled,
            route: None,
        }
    }

    /// Notes the head of the response. Unless the body breaks, the end has this class too.
    pub(crate) fn head(&mut self, class: Class, trail: Option<&Trail>) {
        self.answered(class, trail);
        self.numbers.head(class, self.started.elapsed());
    }

    /// Whether the head was all that counts. A refused attempt is over with it: its body is kept
    /// until the next attempt has answered, which may be long after.
    pub(crate) fn ends_at_head(&self) -> bool {
        self.numbers.is_of_attempts() && self.class != Class::Success
    }

    /// Ends with an error instead of a response.
    pub(crate) fn fail<E: 'static>(mut self, class: Class, error: &E) {
        self.answered(class, trail_of_error(error));
    }

    fn answered(&mut self, class: Class, trail: Option<&Trail>) {
        self.class = class;
        self.route = Some(self.numbers.route_of(trail));
    }
}

impl OnEnd for Running {
    fn on_end(&mut self, end: End) {
        if let End::Broken(verdict) = end {
            self.class = verdict.class();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.numbers
            .end(self.class, self.started.elapsed(), self.route);
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

/// Finds the trail that a request without any answer ends with.
///
/// By `Any`, since a boxed error is no `std::error::Error`.
fn trail_of_error<E: 'static>(error: &E) -> Option<&Trail> {
    let error = (error as &dyn Any).downcast_ref::<BoxError>()?;
    Exhausted::find(&**error).map(Exhausted::trail)
}
