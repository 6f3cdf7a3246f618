use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, Uri};
use pin_project_lite::pin_project;
use steadfast_core::{BoxError, Class, Classified, Verdict};
use tower_service::Service;

use crate::endpoint::rewrite::rewrite;
use crate::pool::services::Services;
use crate::select::request_context::RequestContext;
use crate::service::acquire::Selecting;
use crate::service::body::ResponseBody;
use crate::service::in_flight::InFlight;

pin_project! {
    /// The response future of [`EndpointBalance`](crate::EndpointBalance).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S::Future, B, S>,
        in_flight: InFlight,
        services: Arc<Services<S>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B, S> {
        Selecting { selecting: Selecting<S, B> },
        Calling {
            // `None` after it was ready. It is dropped before the attempt is settled, because it
            // may hold what a waiter needs.
            #[pin]
            future: Option<F>,
            // The target that the caller has sent. Only a rejection reads it.
            target: Uri,
        },
        Done,
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    #[inline]
    pub(crate) fn new(services: Arc<Services<S>>, mut request: Request<B>) -> Self {
        let context = RequestContext::take(request.extensions_mut());
        Self {
            state: State::Selecting {
                selecting: Selecting::new(request),
            },
            in_flight: InFlight::new(context),
            services,
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
        let pool = &this.services.pool;
        if let StateProj::Selecting { selecting } = this.state.as_mut().project() {
            let mut service = match ready!(selecting.poll(this.services, this.in_flight, cx)) {
                Ok(service) => service,
                Err(error) => {
                    this.state.set(State::Done);
                    return Poll::Ready(Err(error));
                }
            };
            // The request is rewritten in place, because it is large to move.
            let request = selecting.request();
            this.in_flight.note_caller(request);
            let endpoint = this.in_flight.endpoint();
            let target = match rewrite(request, endpoint, &pool.shared.config.request_root) {
                Ok(target) => target,
                Err(error) => {
                    this.in_flight.withdraw();
                    this.state.set(State::Done);
                    let fault = Verdict::new(Class::CallerFault).neutral();
                    return Poll::Ready(Err(Classified::new(fault, error).into()));
                }
            };
            tracing::trace!(endpoint = %endpoint.name, "endpoint chosen");
            let future = service.call(selecting.take_request());
            let future = Some(future);
            this.state.set(State::Calling { future, target });
        }
        let StateProj::Calling { mut future, target } = this.state.project() else {
            panic!("polled after it was ready");
        };
        let call = future.as_mut().as_pin_mut();
        let result = ready!(call.expect("polled after it was ready").poll(cx));
        future.set(None);
        match result {
            Err(error) => {
                let error = error.into();
                this.in_flight.error(pool, &error, target);
                Poll::Ready(Err(error))
            }
            Ok(response) => match this.in_flight.respond(pool, &response, target) {
                Some(load) => Poll::Ready(Ok(ResponseBody::watched(response, load))),
                None => Poll::Ready(Ok(response.map(ResponseBody::settled))),
            },
        }
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
