use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::time::sleep;
use tower_service::Service;

use super::reply::BoxError;
use super::servers::Net;

/// The client of all servers of a [`Net`].
///
/// It is always ready. Readiness belongs to one handle: a clone needs its own.
///
/// # Panics
///
/// If it is called without readiness, with a relative URI, or for a server that does not exist.
#[derive(Debug)]
pub struct Client<B> {
    net: Net<B>,
    ready: bool,
}

impl<B> Net<B> {
    /// Creates a client of all servers.
    #[must_use]
    pub fn client(&self) -> Client<B> {
        Client {
            net: self.clone(),
            ready: false,
        }
    }
}

impl<ReqBody, B: Send + 'static> Service<Request<ReqBody>> for Client<B> {
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        assert!(self.ready, "called without readiness of its own");
        self.ready = false;
        let (reply, running) = self.net.receive(&request);
        Box::pin(async move {
            let _running = running;
            if !reply.wait.is_zero() {
                sleep(reply.wait).await;
            }
            match reply.result {
                Some(result) => result,
                None => std::future::pending().await,
            }
        })
    }
}

impl<B> Clone for Client<B> {
    // Readiness belongs to one handle.
    fn clone(&self) -> Self {
        self.net.client()
    }
}
