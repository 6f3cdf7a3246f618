//! What `tracing` sees of each attempt.

mod support;

use std::fmt;
use std::sync::{Arc, Mutex};

use steadfast_core::BoxError;
use steadfast_retry::RetryOn429Layer;
use support::{answer, limited, request};
use tower::{ServiceBuilder, ServiceExt};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes down each span and what is recorded in it, and whether the client ran in it.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    spans: Vec<Vec<String>>,
    entered: Vec<u64>,
}

struct Fields<'a>(&'a mut Vec<String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push(format!("{field}={value:?}"));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // As a filter does that names the span.
        metadata.is_span() && metadata.name() == "attempt"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut state = self.0.lock().unwrap();
        let mut fields = vec![attributes.metadata().name().to_owned()];
        attributes.record(&mut Fields(&mut fields));
        state.spans.push(fields);
        Id::from_u64(state.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut state = self.0.lock().unwrap();
        let index = usize::try_from(span.into_u64()).unwrap() - 1;
        values.record(&mut Fields(&mut state.spans[index]));
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().entered.pop();
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_span() {
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(spans.clone());
    let current = Arc::new(Mutex::new(Vec::new()));
    let (log, state) = (current.clone(), spans.0.clone());
    let client = tower::service_fn(move |_: http::Request<_>| {
        let (log, state) = (log.clone(), state.clone());
        async move {
            let mut log = log.lock().unwrap();
            log.push(state.lock().unwrap().entered.clone());
            match log.len() {
                1 => Ok(limited("1")),
                2 => Err(BoxError::from("reset")),
                _ => Ok(answer(200)),
            }
        }
    });
    // The inner one sees that the outer one is at work.
    let service = ServiceBuilder::new()
        .layer(RetryOn429Layer::new())
        .layer(RetryOn429Layer::new().prepared_body())
        .service(client);
    service.oneshot(request("GET")).await.unwrap();

    let state = spans.0.lock().unwrap();
    let expected: [&[&str]; 3] = [
        &[
            "attempt",
            "class=rate_limited",
            "http.response.status_code=429",
        ],
        &["attempt", "http.request.resend_count=1", "class=transport"],
        &[
            "attempt",
            "http.request.resend_count=2",
            "class=success",
            "http.response.status_code=200",
        ],
    ];
    assert_eq!(state.spans, expected);
    assert_eq!(
        *current.lock().unwrap(),
        [[1], [2], [3]],
        "the client runs in it"
    );
}
