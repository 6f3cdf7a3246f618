use std::any::Any;
use std::sync::Arc;

use steadfast_core::layer::{End, OnEnd};
use steadfast_core::{BoxError, Class, Exhausted, Trail};
use tokio::time::Instant;

use crate::numbers::{Numbers, Route};

/// A request or an attempt between its start and its end.
///
/// Held by the response future, then by the response body. Its drop is the end, so each start has
/// exactly one end.
pub(crate) struct Running {
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

    /// Records the head of the response. Unless the body breaks, the end has this class too.
    pub(crate) fn head(&mut self, class: Class, trail: Option<&Trail>) {
        self.answered(class, trail);
        self.numbers.head(class, self.started.elapsed());
    }

    /// Whether the body does not count. A failed attempt ends with its head, since the retry layer
    /// may keep its body until a much later answer.
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
        let after = self.started.elapsed();
        self.numbers.end(self.class, after, self.route);
    }
}

/// Finds the trail in the error of a request without any answer.
///
/// Through `Any`, since a boxed error is no `std::error::Error`.
fn trail_of_error<E: 'static>(error: &E) -> Option<&Trail> {
    let error = (error as &dyn Any).downcast_ref::<BoxError>()?;
    Exhausted::find(&**error).map(Exhausted::trail)
}
