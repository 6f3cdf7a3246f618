use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use pin_project_lite::pin_project;
use steadfast_core::{BoxError, Class, Classified, Event, Verdict, Watched};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::admitted::{Admitted, Load};
use crate::pool::{Asked, Pool, Wishes};
use crate::rewrite::rewrite;

/// How soon a request that waits for a busy endpoint looks again at one that could be asked now:
/// another request was faster.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
    /// Endpoints whose services broke, not to be asked again, and the last of their errors.
    lost: Vec<usize>,
    error: Option<BoxError>,
    /// Wakes this request for what no busy service knows of.
    timer: Option<Pin<Box<Sleep>>>,
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
            lost: Vec::new(),
            error: None,
            timer: None,
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
            if let Err(error) = rewrite(&mut request, endpoint, &admitted.pool().request_root) {
                admitted.withdraw();
                let fault = Verdict::new(Class::CallerFault).neutral();
                return Poll::Ready(Err(Classified::new(fault, error).into()));
            }
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
                Ok(match load {
                    Some(load) => Watched::response(response, load),
                    None => response.map(Watched::unwatched),
                })
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
        let mut skip = self.lost.clone();
        while let Some(index) = self.pool.choose(&wishes, &skip, now) {
            let mut service = match waited.iter().position(|(at, _)| *at == index) {
                Some(at) => waited.swap_remove(at).1,
                None => self.services[index].clone(),
            };
            let Poll::Ready(ready) = service.poll_ready(cx) else {
                self.busy.push((index, service));
                skip.push(index);
                continue;
            };
            // Whoever came first may have taken the last place.
            let admitted = Admitted::try_new(&self.pool, index, self.asked.clone(), now);
            match (ready, admitted) {
                (Ok(()), Some(admitted)) => {
                    self.tell_of_failover(&admitted, now);
                    return Poll::Ready(Ok((service, admitted)));
                }
                (Ok(()), None) => {}
                (Err(error), admitted) => {
                    let error = error.into();
                    if let Some(admitted) = admitted {
                        admitted.error(&error);
                    }
                    self.error = Some(error);
                    self.lost.push(index);
                }
            }
            skip.push(index);
        }
        let time_is_over =
            (self.asked.deadline).is_some_and(|deadline| deadline.remaining(now).is_zero());
        if !self.busy.is_empty() && !time_is_over {
            let wake_at = self.wake_at(&wishes, &skip, now);
            Self::poll_timer(&mut self.timer, wake_at, cx);
            return Poll::Pending;
        }
        Poll::Ready(Err(match self.error.take() {
            Some(error) => error,
            None => self.pool.exhausted(&self.asked, now).into(),
        }))
    }

    /// When to look again although no busy endpoint has become free: another one has recovered,
    /// or the caller's time is over.
    fn wake_at(&self, wishes: &Wishes<'_>, skip: &[usize], now: Instant) -> Option<Instant> {
        let recovery = self.pool.soonest(wishes, skip, now);
        let recovery = recovery.map(|at| if at > now { at } else { now + LOOK_AGAIN });
        let deadline = self.asked.deadline.map(|deadline| deadline.instant());
        recovery.into_iter().chain(deadline).min()
    }

    fn poll_timer(timer: &mut Option<Pin<Box<Sleep>>>, at: Option<Instant>, cx: &mut Context<'_>) {
        let Some(at) = at else {
            *timer = None;
            return;
        };
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        timer.as_mut().reset(at);
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
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
