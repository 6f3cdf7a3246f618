use std::sync::Arc;

use super::kind::Event;

/// Receives [`Event`]s.
///
/// Layers call it while they process a request and from destructors, so it must neither block nor
/// panic. A closure becomes an observer with [`observer_fn`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an `Observer`",
    label = "not an observer",
    note = "wrap a closure with `observer_fn(|event| …)`"
)]
pub trait Observer: Send + Sync {
    /// Called once for each event.
    fn on_event(&self, event: &Event);
}

impl<T: Observer + ?Sized> Observer for Arc<T> {
    fn on_event(&self, event: &Event) {
        (**self).on_event(event);
    }
}

/// Creates an observer from a closure.
///
/// ```
/// use steadfast_core::{Event, Observer, observer_fn};
///
/// let observer = observer_fn(|event| {
///     if let Event::Cooldown { endpoint, wait, .. } = event {
///         println!("{endpoint} cools for {wait:?}");
///     }
/// });
/// observer.on_event(&Event::Exhausted { retry_in: None });
/// ```
pub fn observer_fn<F>(f: F) -> impl Observer + 'static
where
    F: Fn(&Event) + Send + Sync + 'static,
{
    struct ObserverFn<F>(F);

    impl<F: Fn(&Event) + Send + Sync> Observer for ObserverFn<F> {
        fn on_event(&self, event: &Event) {
            (self.0)(event);
        }
    }

    ObserverFn(f)
}
