//! The spans and events of `tracing`.

use std::fmt;
use std::sync::{Arc, Mutex};

use crate::support::{answer, limited, request};
use steadfast_core::BoxError;
use steadfast_retry::RetryOn429Layer;
use tower::{ServiceBuilder, ServiceExt};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Records each span with its fields, and the spans that are entered.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    spans: Vec<Vec<String>>,
    events: Vec<Vec<String>>,
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
        // Like a filter for the name of the span.
        let is_own = metadata.target().starts_with("steadfast_retry");
        metadata.is_span() && metadata.name() == "attempt" || metadata.is_event() && is_own
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

    fn event(&self, event: &Event<'_>) {
        let mut fields = Vec::new();
        event.record(&mut Fields(&mut fields));
        self.0.lock().unwrap().events.push(fields);
    }
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
    // The inner layer leaves the retries to the outer layer.
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
        "the client runs in the span"
    );
}

#[tokio::test(start_paused = true)]
async fn reason_of_last_attempt_is_logged() {
    for (layer, method, status, reason) in [
        (
            RetryOn429Layer::new(),
            "POST",
            500,
            "to send it twice is not safe",
        ),
        (
            RetryOn429Layer::new().max_attempts(2),
            "GET",
            503,
            "no attempt is left",
        ),
        (
            RetryOn429Layer::new(),
            "GET",
            404,
            "its outcome allows no other attempt",
        ),
    ] {
        let spans = Spans::default();
        let _guard = tracing::subscriber::set_default(spans.clone());
        let client = tower::service_fn(move |_: http::Request<_>| async move {
            Ok::<_, BoxError>(answer(status))
        });
        let service = ServiceBuilder::new().layer(layer).service(client);
        service.oneshot(request(method)).await.unwrap();
        let events = spans.0.lock().unwrap().events.concat();
        assert!(events.contains(&format!("reason={reason:?}")), "{events:?}");
    }
}
