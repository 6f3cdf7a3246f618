use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use steadfast_core::{BoxError, Class, Classified, Verdict, Watched};
use tower_service::Service;

use crate::admitted::{Admitted, Load};
use crate::pool::Pool;
use crate::rewrite::rewrite;
use crate::select::Selecting;
use crate::services::Services;

/// The body of a response: the endpoint counts it as in flight until it ends.
pub type ResponseBody<B> = Watched<B, Load>;

pin_project! {
    /// The response future of [`EndpointBalance`](crate::EndpointBalance).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, B> {
        Selecting { selecting: Selecting<S, B> },
        Calling { #[pin] future: F, admitted: Option<(Admitted, Arc<Pool>)> },
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn new(services: Arc<Services<S>>, request: Request<B>) -> Self {
        Self {
            state: State::Selecting {
                selecting: Selecting::new(services, request),
            },
        }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    S::Error: Into<BoxError>,
    ResBody: http_body::Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StateProj::Selecting { selecting: waiting } = this.state.as_mut().project() {
            let (mut service, admitted) = match ready!(waiting.poll(cx)) {
                Ok(selected) => selected,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let mut request = waiting.request.take().expect("it was there all the time");
            let pool = waiting.services.pool.clone();
            let endpoint = admitted.endpoint();
            if let Err(error) = rewrite(&mut request, endpoint, &pool.shared.rules.request_root) {
                admitted.withdraw();
                let fault = Verdict::new(Class::CallerFault).neutral();
                return Poll::Ready(Err(Classified::new(fault, error).into()));
            }
            tracing::trace!(endpoint = %endpoint.name, "endpoint chosen");
            let future = service.call(request);
            this.state.set(State::Calling {
                future,
                admitted: Some((admitted, pool)),
            });
        }
        let StateProj::Calling { future, admitted } = this.state.project() else {
            unreachable!("an endpoint was chosen above");
        };
        let outcome = ready!(future.poll(cx));
        let (admitted, pool) = admitted.take().expect("polled after completion");
        Poll::Ready(match outcome {
            Ok(response) => {
                let load = admitted.respond(&pool, &response);
                Ok(match load {
                    Some(load) => Watched::response(response, load),
                    None => response.map(Watched::unwatched),
                })
            }
            Err(error) => {
                let error = error.into();
                admitted.error(&pool, &error);
                Err(error)
            }
        })
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
