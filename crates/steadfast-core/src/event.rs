use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::class::Class;
use crate::endpoint::EndpointName;

/// Something that an operator acts on, or that explains where a request went.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A circuit breaker changed its state.
    Breaker {
        /// The name of the breaker, in a balancer that of its endpoint.
        endpoint: EndpointName,
        /// The state before.
        from: BreakerState,
        /// The state now.
        to: BreakerState,
        /// How long it stays open, if it does.
        retry_in: Option<Duration>,
    },
    /// An endpoint is left alone for a while.
    Cooldown {
        /// The endpoint.
        endpoint: EndpointName,
        /// What it answered. `Success` if its headers say that nothing remains.
        class: Class,
        /// For how long.
        wait: Duration,
    },
    /// An endpoint that was cooling takes all its requests again.
    CooldownEnded {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// A request moved to another endpoint.
    Failover {
        /// The endpoint that did not serve it.
        from: EndpointName,
        /// The endpoint that is asked next.
        to: EndpointName,
        /// What the first one answered.
        class: Class,
        /// The time between the end of one attempt and the start of the next.
        after: Duration,
    },
    /// A request was sent to another endpoint as well, since the first had not answered.
    Hedge {
        /// The endpoint that has not answered yet.
        from: EndpointName,
        /// The endpoint that is asked besides.
        to: EndpointName,
        /// For how long the first attempt has been under way.
        after: Duration,
    },
    /// A request waits before its next attempt.
    Retry {
        /// What the last attempt showed.
        class: Class,
        /// The number of the attempt that comes, from 2.
        attempt: usize,
        /// How long it waits.
        wait: Duration,
    },
    /// No endpoint could take a request.
    Exhausted {
        /// When the soonest one recovers, if that is known.
        retry_in: Option<Duration>,
    },
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// Requests are rejected.
    Open,
    /// A few probes pass.
    HalfOpen,
}

/// Is told of events.
///
/// Called on the way of a request and from destructors, so it must neither block nor panic.
pub trait Observer: Send + Sync {
    /// Called once for each event.
    fn on_event(&self, event: &Event);
}

/// The observers of a layer, in the order they are told.
///
/// Cheap to clone, and free where there is none.
#[derive(Clone, Default)]
pub struct Observers(Option<Arc<[Arc<dyn Observer>]>>);

// ===== impl BreakerState =====

impl BreakerState {
    /// Returns the name as it stands in metrics and logs, such as `half_open`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// ===== impl Observers =====

impl Observers {
    /// Creates an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an observer. Clones made before do not have it.
    pub fn add(&mut self, observer: impl Observer + 'static) {
        let observer: Arc<dyn Observer> = Arc::new(observer);
        let known = self.0.iter().flat_map(|known| known.iter().cloned());
        self.0 = Some(known.chain([observer]).collect());
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: &Self) {
        for observer in others.0.iter().flat_map(|known| known.iter()) {
            self.add(observer.clone());
        }
    }

    /// Tells everyone, and writes a `tracing` event: `info` for a change of state, `debug` for a
    /// decision about one request.
    pub fn emit(&self, event: &Event) {
        trace(event);
        for observer in self.0.iter().flat_map(|known| known.iter()) {
            observer.on_event(event);
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |known| known.len());
        f.debug_tuple("Observers").field(&count).finish()
    }
}

fn trace(event: &Event) {
    match event {
        Event::Breaker {
            endpoint,
            from,
            to,
            retry_in,
        } => {
            tracing::info!(%endpoint, %from, %to, ?retry_in, "breaker changed");
        }
        Event::Cooldown {
            endpoint,
            class,
            wait,
        } => {
            tracing::info!(%endpoint, %class, ?wait, "endpoint cools down");
        }
        Event::CooldownEnded { endpoint } => {
            tracing::info!(%endpoint, "endpoint takes requests again");
        }
        Event::Failover {
            from,
            to,
            class,
            after,
        } => {
            tracing::debug!(%from, %to, %class, ?after, "request moved");
        }
        Event::Hedge { from, to, after } => {
            tracing::debug!(%from, %to, ?after, "request sent twice");
        }
        Event::Retry {
            class,
            attempt,
            wait,
        } => {
            tracing::debug!(%class, attempt, ?wait, "request waits for its next attempt");
        }
        // At `debug`, as a server can bring it about for every request.
        Event::Exhausted { retry_in } => {
            tracing::debug!(?retry_in, "no endpoint could take a request");
        }
    }
}

impl<T: Observer + ?Sized> Observer for Arc<T> {
    fn on_event(&self, event: &Event) {
        (**self).on_event(event);
    }
}

/// Makes an observer from a closure.
///
/// ```
/// use steadfast_core::{Event, Observers, observer_fn};
///
/// let mut observers = Observers::new();
/// observers.add(observer_fn(|event| {
///     if let Event::Cooldown { endpoint, wait, .. } = event {
///         println!("{endpoint} is left alone for {wait:?}");
///     }
/// }));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_observer_is_told_once_and_in_order() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut observers = Observers::new();
        for name in ["first", "second"] {
            let told = told.clone();
            observers.add(observer_fn(move |event| {
                told.lock().unwrap().push((name, event.clone()));
            }));
        }
        let event = Event::Exhausted { retry_in: None };
        observers.emit(&event);

        assert_eq!(
            *told.lock().unwrap(),
            [("first", event.clone()), ("second", event)]
        );
    }
}
