//! Callers: the measured code around a service.

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use metrics::{Recorder, set_default_local_recorder};
use metrics_exporter_prometheus::PrometheusRecorder;
use tower::Service;

use super::request::{Body, template};

/// Sends requests.
pub(crate) trait Client: Send + 'static {
    /// Makes a request, sends it and reads the answer to its end.
    fn send(&mut self) -> impl Future<Output = ()> + Send;

    /// Returns where metrics go, if they go anywhere.
    fn recorder(&self) -> Option<Arc<PrometheusRecorder>> {
        None
    }
}

/// A client that is a service.
pub(crate) struct Requests<S> {
    service: S,
    succeed: bool,
    body: Option<Bytes>,
    template: Option<Request<Body>>,
}

/// A client with a recorder of its own.
#[derive(Clone)]
pub(crate) struct Recorded<C> {
    client: C,
    recorder: Arc<PrometheusRecorder>,
}

/// A caller of a service that was built.
pub(crate) trait Call: Send {
    /// Sends a number of requests, one after the other.
    fn call(&mut self, requests: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Returns another caller of the same service, unless that cannot be cloned.
    fn another(&self) -> Option<Box<dyn Call>>;
}

pub(crate) struct Caller<C> {
    client: C,
    clone: Option<fn(&C) -> C>,
}

// ===== impl Requests =====

impl<S> Requests<S> {
    /// Creates a client with successful requests.
    pub(crate) fn new(service: S) -> Self {
        Self::with(service, true)
    }

    /// Creates a client. All of its requests succeed, or all fail.
    pub(crate) fn with(service: S, succeed: bool) -> Self {
        Self {
            service,
            succeed,
            body: None,
            template: None,
        }
    }

    /// Replaces the body of its requests.
    pub(crate) fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }
}

impl<S, B> Client for Requests<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Error: Send,
    S::Future: Send,
    B: http_body::Body + Send,
{
    async fn send(&mut self) {
        let request = self
            .template
            .get_or_insert_with(|| template(self.body.clone()))
            .clone();
        let ready = poll_fn(|cx| self.service.poll_ready(cx)).await;
        let outcome = match ready {
            Ok(()) => self.service.call(request).await,
            Err(error) => Err(error),
        };
        let succeeded = match black_box(outcome) {
            Ok(response) => {
                let succeeded = response.status().is_success();
                let mut body = pin!(response.into_body());
                while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                    black_box(frame.is_ok());
                }
                succeeded
            }
            Err(_) => false,
        };
        assert_eq!(succeeded, self.succeed, "not what the case is about");
    }
}

impl<S: Clone> Clone for Requests<S> {
    fn clone(&self) -> Self {
        // Without the template: two threads that copy one fight for its reference counts, and
        // would do so through any layer.
        Self {
            body: self.body.clone(),
            ..Self::with(self.service.clone(), self.succeed)
        }
    }
}

// ===== impl Recorded =====

impl<C> Recorded<C> {
    pub(crate) fn new(client: C, recorder: PrometheusRecorder) -> Self {
        let recorder = Arc::new(recorder);
        Self { client, recorder }
    }
}

impl<C: Client> Client for Recorded<C> {
    async fn send(&mut self) {
        self.client.send().await;
    }

    fn recorder(&self) -> Option<Arc<PrometheusRecorder>> {
        Some(self.recorder.clone())
    }
}

// ===== impl Caller =====

impl<C: Client> Caller<C> {
    pub(crate) fn new(client: C, clone: Option<fn(&C) -> C>) -> Self {
        Self { client, clone }
    }

    async fn send(&mut self, requests: u64) {
        for _ in 0..requests {
            self.client.send().await;
        }
    }
}

impl<C: Client> Call for Caller<C> {
    fn call(&mut self, requests: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let Some(recorder) = self.client.recorder() else {
            return Box::pin(self.send(requests));
        };
        Box::pin(async move {
            record(&*recorder, self.send(requests)).await;
            // A recorder keeps each sample until it is drained.
            recorder.handle().run_upkeep();
        })
    }

    fn another(&self) -> Option<Box<dyn Call>> {
        let clone = self.clone?;
        Some(Box::new(Self::new(clone(&self.client), self.clone)))
    }
}

/// Runs a future with a recorder, on whatever thread it is polled.
async fn record(recorder: &(dyn Recorder + Sync), future: impl Future<Output = ()> + Send) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _recording = set_default_local_recorder(recorder);
        future.as_mut().poll(cx)
    })
    .await;
}
