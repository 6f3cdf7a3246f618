//! What stands for the HTTP client.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tower::Service;

use super::request::Body;

const DONE: &[u8] = br#"{"choices":[{"message":{"role":"assistant","content":"Hi"}}]}"#;
const BUSY: &[u8] = br#"{"error":{"message":"Slow down.","type":"rate_limit_error"}}"#;
/// Enough for every breaker to open.
const ENOUGH: u64 = 1000;

/// Reads a request to its end and answers at once.
#[derive(Clone, Debug)]
pub(crate) struct Upstream<P>(pub(crate) P);

/// What an upstream answers.
pub(crate) trait Plan: Clone + Send + Sync + Unpin + 'static {
    fn answer(&self) -> Result<Response<Body>, Down>;
}

/// Always `200`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Healthy;

/// Always `429`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limited {
    pub(crate) retry_after: &'static str,
}

/// `429` without a wait, then `200`, and so on: each request needs two attempts.
#[derive(Clone, Debug, Default)]
pub(crate) struct BusyFirst(Arc<AtomicU64>);

/// Always an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dead;

/// The same as another plan, for layers that stop to ask after a while.
#[derive(Clone, Debug)]
pub(crate) struct LeftAlone<P> {
    plan: P,
    asked: Arc<AtomicU64>,
}

/// The error of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Down;

// ===== impl Upstream =====

impl<P: Plan, B: http_body::Body + Unpin> Service<Request<B>> for Upstream<P> {
    type Response = Response<Body>;
    type Error = Down;
    type Future = Answer<P, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Down>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Answer {
            plan: self.0.clone(),
            body: request.into_body(),
        }
    }
}

/// The response future of [`Upstream`].
pub(crate) struct Answer<P, B> {
    plan: P,
    body: B,
}

impl<P: Plan, B: http_body::Body + Unpin> Future for Answer<P, B> {
    type Output = Result<Response<Body>, Down>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while ready!(Pin::new(&mut self.body).poll_frame(cx)).is_some() {}
        Poll::Ready(self.plan.answer())
    }
}

// ===== impl Plan =====

impl Plan for Healthy {
    fn answer(&self) -> Result<Response<Body>, Down> {
        Ok(Response::new(Full::new(Bytes::from_static(DONE))))
    }
}

impl Plan for Limited {
    fn answer(&self) -> Result<Response<Body>, Down> {
        let mut response = Response::new(Full::new(Bytes::from_static(BUSY)));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let wait = HeaderValue::from_static(self.retry_after);
        response.headers_mut().insert(RETRY_AFTER, wait);
        Ok(response)
    }
}

impl Plan for BusyFirst {
    fn answer(&self) -> Result<Response<Body>, Down> {
        if self.0.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
            Limited { retry_after: "0" }.answer()
        } else {
            Healthy.answer()
        }
    }
}

impl Plan for Dead {
    fn answer(&self) -> Result<Response<Body>, Down> {
        Err(Down)
    }
}

impl<P> LeftAlone<P> {
    pub(crate) fn new(plan: P) -> Self {
        Self {
            plan,
            asked: Arc::default(),
        }
    }
}

impl<P: Plan> Plan for LeftAlone<P> {
    fn answer(&self) -> Result<Response<Body>, Down> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        assert!(asked < ENOUGH, "requests should be rejected by now");
        self.plan.answer()
    }
}

// ===== impl Down =====

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream is down")
    }
}

impl Error for Down {}
