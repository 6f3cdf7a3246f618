use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, counter, gauge, histogram};
use steadfast_core::{Class, EndpointName};

use crate::names;

/// The series of one layer, which are looked up at their first use and kept.
///
/// A look-up builds a key and searches the registry of the recorder. This cost occurs once per
/// series, and not once per request.
#[derive(Debug)]
pub(crate) struct Handles {
    names: &'static Names,
    /// The labels of all series of the layer.
    labels: Vec<Label>,
    start: OnceLock<Start>,
    heads: PerClass<Histogram>,
    ends: PerClass<End>,
    route: OnceLock<Route>,
}

#[derive(Debug)]
struct Start {
    started: Counter,
    in_flight: Gauge,
}

#[derive(Debug)]
struct End {
    ended: Counter,
    duration: Histogram,
}

#[derive(Debug)]
struct Route {
    attempts: Histogram,
    failovers: Counter,
}

/// One value per class, created at its first use.
#[derive(Debug)]
struct PerClass<T>([OnceLock<T>; Class::ALL.len()]);

#[derive(Debug)]
struct Names {
    started: &'static str,
    ended: &'static str,
    in_flight: &'static str,
    duration: &'static str,
    head: &'static str,
}

static REQUESTS: Names = Names {
    started: names::REQUESTS_STARTED,
    ended: names::REQUESTS,
    in_flight: names::REQUESTS_IN_FLIGHT,
    duration: names::REQUEST_DURATION,
    head: names::REQUEST_HEAD,
};

static ATTEMPTS: Names = Names {
    started: names::ATTEMPTS_STARTED,
    ended: names::ATTEMPTS,
    in_flight: names::ATTEMPTS_IN_FLIGHT,
    duration: names::ATTEMPT_DURATION,
    head: names::ATTEMPT_HEAD,
};

// ===== impl Handles =====

impl Handles {
    pub(crate) fn requests() -> Self {
        Self::new(&REQUESTS, Vec::new())
    }

    pub(crate) fn attempts(endpoint: &EndpointName) -> Self {
        Self::new(
            &ATTEMPTS,
            vec![Label::new("endpoint", endpoint.to_string())],
        )
    }

    fn new(names: &'static Names, labels: Vec<Label>) -> Self {
        Self {
            names,
            labels,
            start: OnceLock::new(),
            heads: PerClass::new(),
            ends: PerClass::new(),
            route: OnceLock::new(),
        }
    }

    /// Counts a start.
    pub(crate) fn record_start(&self) {
        let start = self.start();
        start.started.increment(1);
        start.in_flight.increment(1.0);
    }

    /// Records the time to the head.
    pub(crate) fn record_head(&self, class: Class, after: Duration) {
        self.head(class).record(after);
    }

    /// Counts an end, and records the time to it.
    pub(crate) fn record_end(&self, class: Class, after: Duration) {
        let end = self.end(class);
        end.ended.increment(1);
        end.duration.record(after);
        self.start().in_flight.decrement(1.0);
    }

    /// Records the attempts and the failovers of a request.
    pub(crate) fn record_route(&self, attempts: u64, failovers: u64) {
        let route = self.route();
        route.attempts.record(attempts as f64);
        route.failovers.increment(failovers);
    }

    fn start(&self) -> &Start {
        self.start.get_or_init(|| Start {
            started: counter!(self.names.started, self.labels.clone()),
            in_flight: gauge!(self.names.in_flight, self.labels.clone()),
        })
    }

    fn head(&self, class: Class) -> &Histogram {
        self.heads.get(class, || {
            histogram!(self.names.head, self.labels_with(class))
        })
    }

    fn end(&self, class: Class) -> &End {
        self.ends.get(class, || End {
            ended: counter!(self.names.ended, self.labels_with(class)),
            duration: histogram!(self.names.duration, self.labels_with(class)),
        })
    }

    fn route(&self) -> &Route {
        self.route.get_or_init(|| Route {
            attempts: histogram!(names::REQUEST_ATTEMPTS),
            failovers: counter!(names::REQUEST_FAILOVERS),
        })
    }

    fn labels_with(&self, class: Class) -> Vec<Label> {
        let outcome = Label::from_static_parts("outcome", class.as_str());
        self.labels.iter().cloned().chain([outcome]).collect()
    }
}

// ===== impl PerClass =====

impl<T> PerClass<T> {
    fn new() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }

    fn get(&self, class: Class, make: impl FnOnce() -> T) -> &T {
        self.0[class as usize].get_or_init(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A class that is not in `ALL` would have no element in the array.
    #[test]
    fn each_class_has_its_own_value() {
        let places = PerClass::new();
        for class in Class::ALL {
            assert_eq!(*places.get(class, || class), class);
        }
        assert!(places.0.iter().all(|place| place.get().is_some()));
    }
}
