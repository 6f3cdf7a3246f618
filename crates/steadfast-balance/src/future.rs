use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use steadfast_core::{BoxError, Event, Watched};
use tokio::time::Instant;
use tower_service::Service;

use crate::admitted::{Admitted, Load};
use crate::pool::{Asked, Pool};
use crate::rewrite::rewrite;

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
        Selecting { selecting: Option<Selecting<S, B>> },
        Calling { #[pin] future: F, admitted: Option<Admitted> },
    }
}

/// A request that has no endpoint yet.
struct Selecting<S, B> {
    pool: Arc<Pool>,
    services: Arc<[S]>,
    request: Request<B>,
    asked: Asked,
    /// Services of endpoints that are busy, kept so that they can wake this request.
    busy: Vec<(usize, S)>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn new(pool: Arc<Pool>, services: Arc<[S]>, request: Request<B>) -> Self {
        let selecting = Selecting {
            asked: Asked::of(request.extensions()),
            pool,
            services,
            request,
            busy: Vec::new(),
        };
        Self {
            state: State::Selecting {
                selecting: Some(selecting),
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
        if let StateProj::Selecting { selecting } = this.state.as_mut().project() {
            let waiting = selecting.as_mut().expect("polled after completion");
            let (mut service, admitted) = match ready!(waiting.poll_select(cx)) {
                Ok(selected) => selected,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let mut request = selecting.take().expect("it was there above").request;
            let endpoint = admitted.endpoint();
            rewrite(&mut request, endpoint, &admitted.pool().request_root);
            tracing::trace!(endpoint = %endpoint.name, "endpoint chosen");
            let future = service.call(request);
            this.state.set(State::Calling {
                future,
                admitted: Some(admitted),
            });
        }
        let StateProj::Calling { future, admitted } = this.state.project() else {
            unreachable!("an endpoint was chosen above");
        };
        let outcome = ready!(future.poll(cx));
        let admitted = admitted.take().expect("polled after completion");
        Poll::Ready(match outcome {
            Ok(response) => {
                let load = admitted.respond(&response);
                Ok(response.map(|body| match load {
                    Some(load) => Watched::new(body, load),
                    None => Watched::unwatched(body),
                }))
            }
            Err(error) => {
                let error = error.into();
                admitted.error(&error);
                Err(error)
            }
        })
    }
}

impl<S, B> Selecting<S, B>
where
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
{
    /// Finds an endpoint that can take the request, and a service of it that is ready.
    fn poll_select(&mut self, cx: &mut Context<'_>) -> Poll<Result<(S, Admitted), BoxError>> {
        let now = Instant::now();
        let wishes = self.asked.wishes();
        // Those that were busy are asked along with the others, and may have become free.
        let mut waited = std::mem::take(&mut self.busy);
        let mut skip = Vec::new();
        let mut broken = None;
        while let Some(index) = self.pool.choose(&wishes, &skip, now) {
            skip.push(index);
            let mut service = match waited.iter().position(|(at, _)| *at == index) {
                Some(at) => waited.swap_remove(at).1,
                None => self.services[index].clone(),
            };
            match service.poll_ready(cx) {
                Poll::Pending => self.busy.push((index, service)),
                Poll::Ready(ready) => {
                    // Whoever came first may have taken the last place.
                    let asked = self.asked.clone();
                    let Some(admitted) = Admitted::try_new(&self.pool, index, asked, now) else {
                        continue;
                    };
                    match ready {
                        Ok(()) => {
                            self.tell_of_failover(&admitted, now);
                            return Poll::Ready(Ok((service, admitted)));
                        }
                        // The service is not to be used again; the next candidate is asked.
                        Err(error) => {
                            let error = error.into();
                            admitted.error(&error);
                            broken = Some(error);
                        }
                    }
                }
            }
        }
        if !self.busy.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(Err(match broken {
            Some(error) => error,
            None => self.pool.exhausted(&self.asked, now).into(),
        }))
    }

    fn tell_of_failover(&self, admitted: &Admitted, now: Instant) {
        let Some(last) = self.asked.trail.as_ref().and_then(|trail| trail.last()) else {
            return;
        };
        let to = &admitted.endpoint().name;
        if let Some(from) = last.endpoint.filter(|from| from != to) {
            let ended = last.started + last.elapsed;
            self.pool.observers.emit(&Event::Failover {
                from,
                to: to.clone(),
                class: last.verdict.class(),
                after: now.saturating_duration_since(ended),
            });
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
