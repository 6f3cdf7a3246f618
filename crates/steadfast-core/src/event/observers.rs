use std::fmt;
use std::sync::Arc;

use super::kind::Event;
use super::observer::Observer;
use crate::limit_key::LimitKey;

/// The observers of a layer, in the order in which they are notified.
///
/// Cheap to clone. An empty set allocates nothing.
#[derive(Clone, Default)]
pub struct Observers(Option<Arc<[Arc<dyn Observer>]>>);

impl Observers {
    /// Creates an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an observer to this set. Existing clones are unchanged.
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

    /// Notifies all observers, and emits a `tracing` event: `info` for a change of state, `debug`
    /// for a decision about one request.
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
            key,
            per_credential,
            class,
            wait,
        } => {
            let key = key.as_ref().map(LimitKey::as_str);
            tracing::info!(%endpoint, key, per_credential, %class, ?wait, "endpoint cools down");
        }
        Event::CooldownEnded {
            endpoint,
            key,
            per_credential,
        } => {
            let key = key.as_ref().map(LimitKey::as_str);
            tracing::info!(%endpoint, key, per_credential, "endpoint takes requests again");
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
        Event::StreamBroken {
            endpoint,
            reason,
            after_tokens,
        } => {
            tracing::info!(%endpoint, reason, after_tokens, "stream broke");
        }
        // At `debug`, since a server can cause it for each request.
        Event::Exhausted { retry_in } => {
            tracing::debug!(?retry_in, "no endpoint could take a request");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::observer_fn;
    use std::sync::Mutex;

    #[test]
    fn each_observer_is_notified_once_and_in_order() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut observers = Observers::new();
        for name in ["first", "second"] {
            let seen = seen.clone();
            observers.add(observer_fn(move |event| {
                seen.lock().unwrap().push((name, event.clone()));
            }));
        }
        let event = Event::Exhausted { retry_in: None };
        observers.emit(&event);

        assert_eq!(
            *seen.lock().unwrap(),
            [("first", event.clone()), ("second", event)]
        );
    }
}
