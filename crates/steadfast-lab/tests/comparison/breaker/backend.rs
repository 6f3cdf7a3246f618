//! The service behind a circuit.

use std::future::{Future, pending};
use std::io;
use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tower::{Service, ServiceExt};

use super::ask::{Ask, Outcome};

/// Records calls and polls. A clone is not ready.
#[derive(Debug, Default)]
pub(crate) struct Backend {
    noted: Arc<Noted>,
    is_ready: bool,
}

#[derive(Debug, Default)]
struct Noted {
    calls: AtomicUsize,
    calls_of_unready: AtomicUsize,
    begun: AtomicUsize,
}

impl Backend {
    /// How often it was called. Many services begin to send there.
    pub(crate) fn calls(&self) -> usize {
        self.noted.calls.load(Ordering::Relaxed)
    }

    /// How many calls were begun. The others waited to be polled, in vain.
    pub(crate) fn begun(&self) -> usize {
        self.noted.begun.load(Ordering::Relaxed)
    }

    /// The number of calls on a handle that had not reported readiness.
    pub(crate) fn calls_of_unready(&self) -> usize {
        self.noted.calls_of_unready.load(Ordering::Relaxed)
    }
}

impl Clone for Backend {
    fn clone(&self) -> Self {
        Self {
            noted: self.noted.clone(),
            is_ready: false,
        }
    }
}

impl Service<Ask> for Backend {
    type Response = Response<Script>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<Script>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        self.noted.calls.fetch_add(1, Ordering::Relaxed);
        if !mem::take(&mut self.is_ready) {
            self.noted.calls_of_unready.fetch_add(1, Ordering::Relaxed);
        }
        let begin = {
            let noted = self.noted.clone();
            move || noted.begun.fetch_add(1, Ordering::Relaxed)
        };
        if let Ask::PanicInCall = ask {
            begin();
            unwind();
        }
        Box::pin(async move {
            begin();
            answer(ask).await
        })
    }
}

async fn answer(mut ask: Ask) -> io::Result<Response<Script>> {
    while let Ask::Later(told) = ask {
        // A dropped sender leaves the call hanging.
        ask = told.await.unwrap_or(Ask::Hang);
    }
    let (status, body) = match ask {
        Ask::Status(status) => (status, Script::Short),
        Ask::Break => (StatusCode::OK, Script::Break),
        Ask::Stream => (StatusCode::OK, Script::Endless),
        Ask::Fail => return Err(io::ErrorKind::ConnectionRefused.into()),
        Ask::Lose => return Err(io::ErrorKind::ConnectionReset.into()),
        Ask::PanicInCall | Ask::PanicInFuture => unwind(),
        Ask::Hang | Ask::Later(_) => pending().await,
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Ok(response)
}

/// A panic that prints nothing.
fn unwind() -> ! {
    resume_unwind(Box::new("the backend panics"))
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Script {
    Short,
    Break,
    Endless,
    Ended,
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match mem::replace(&mut *self, Self::Ended) {
            Self::Short => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"short"))))),
            Self::Break => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Self::Endless => {
                *self = Self::Endless;
                Poll::Pending
            }
            Self::Ended => Poll::Ready(None),
        }
    }
}

/// What a caller of the client makes of an answer.
pub(crate) async fn read<B: Body>(response: Response<B>) -> Outcome {
    let is_failed = response.status().is_server_error();
    match response.into_body().collect().await {
        Ok(_) if !is_failed => Outcome::Answered,
        _ => Outcome::Failed,
    }
}

/// Why the future that is given to a value fails.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No answer, or one that broke.
    Lost,
    Status(StatusCode),
}

impl Fault {
    /// Whether the outcome is evidence about the backend.
    pub(crate) fn counts(&self) -> bool {
        !matches!(self, Self::Status(StatusCode::TOO_MANY_REQUESTS))
    }

    /// The outcome for the caller of the client.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.counts() {
            Outcome::Failed
        } else {
            Outcome::Answered
        }
    }
}

/// The future that is given to a value.
pub(crate) async fn exchange(mut backend: Backend, ask: Ask) -> Result<(), Fault> {
    let Ok(ready) = backend.ready().await else {
        return Err(Fault::Lost);
    };
    let response = ready.call(ask).await.map_err(|_| Fault::Lost)?;
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Err(Fault::Status(status));
    }
    let body = response.into_body().collect().await;
    body.map(drop).map_err(|_| Fault::Lost)
}
