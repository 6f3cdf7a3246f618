//! Request bodies that are sent as a stream, and answers that arrive before their end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::support::{SECOND, answer, layer, limited};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{BoxError, Trail};
use steadfast_retry::{BodySuperseded, ReplayBody, RetryOn429Layer};
use tokio::time::{Instant, sleep};
use tower::{ServiceBuilder, ServiceExt};

/// A body of unknown size with a pause before each frame.
struct Slow {
    frames: VecDeque<&'static str>,
    apart: Duration,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Slow {
    fn new(frames: &[&'static str]) -> Self {
        Self {
            frames: frames.iter().copied().collect(),
            apart: SECOND,
            pause: None,
        }
    }

    fn apart(mut self, apart: Duration) -> Self {
        self.apart = apart;
        self
    }
}

impl Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let apart = self.apart;
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(apart)));
        std::task::ready!(pause.as_mut().poll(cx));
        self.pause = None;
        let frame = self.frames.pop_front();
        Poll::Ready(frame.map(|data| Ok(Frame::data(Bytes::from(data)))))
    }
}

/// The plan of a server: the number of frames that it reads, or all, and its answer.
type Plan = (Option<usize>, Result<Response<String>, &'static str>);

#[derive(Clone, Default)]
struct Log {
    /// The body of each attempt that was read to its end.
    whole: Arc<Mutex<Vec<Bytes>>>,
    /// The bodies that were not read to their end.
    open: Arc<Mutex<Vec<ReplayBody<Slow>>>>,
}

async fn send(
    layer: RetryOn429Layer,
    body: Slow,
    plans: Vec<Plan>,
) -> (Result<Response<String>, BoxError>, Log, usize) {
    let log = Log::default();
    let plans = Arc::new(Mutex::new(VecDeque::from(plans)));
    let (seen, left) = (log.clone(), plans.clone());
    let client = tower::service_fn(move |request: Request<ReplayBody<Slow>>| {
        let (log, plans) = (seen.clone(), plans.clone());
        async move {
            let (frames, answer) = plans.lock().unwrap().pop_front().expect("no more requests");
            let mut body = request.into_body();
            match frames {
                None => {
                    let whole = body.collect().await?.to_bytes();
                    log.whole.lock().unwrap().push(whole);
                }
                Some(frames) => {
                    for _ in 0..frames {
                        body.frame().await.expect("there is one")?;
                    }
                    log.open.lock().unwrap().push(body);
                }
            }
            answer.map_err(BoxError::from)
        }
    });
    let service = ServiceBuilder::new().layer(layer).service(client);
    let request = Request::put("http://upstream.test/").body(body).unwrap();
    let outcome = match service.oneshot(request).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let text = body.collect().await.unwrap().to_bytes();
            let text = String::from_utf8(text.to_vec()).unwrap();
            Ok(Response::from_parts(head, text))
        }
        Err(error) => Err(error),
    };
    let left = left.lock().unwrap().len();
    (outcome, log, left)
}

/// The server reads none, half or all of the body before the failure.
#[tokio::test(start_paused = true)]
async fn every_attempt_sends_whole_body() {
    for frames in [Some(0), Some(1), Some(2), None] {
        for failure in [Ok(limited("1")), Ok(answer(503)), Err("reset")] {
            let plans = vec![(frames, failure), (None, Ok(answer(200)))];
            let body = Slow::new(&["half", "half"]);
            let (outcome, log, _) = send(layer(), body, plans).await;
            assert_eq!(outcome.unwrap().status(), 200);
            let whole = log.whole.lock().unwrap();
            assert!(whole.iter().all(|body| body == "halfhalf"), "{whole:?}");
        }
    }
}

/// The server answers and continues to read. It must not take the part that it has read for a whole
/// request.
#[tokio::test(start_paused = true)]
async fn attempt_with_early_answer_is_cut_off() {
    let plans = vec![(Some(1), Ok(limited("1"))), (None, Ok(answer(200)))];
    let (outcome, log, _) = send(layer(), Slow::new(&["half", "half"]), plans).await;
    assert_eq!(outcome.unwrap().status(), 200);
    let mut open = log.open.lock().unwrap().remove(0);
    let error = open.frame().await.expect("not the end").unwrap_err();
    assert!(error.is::<BodySuperseded>());
    assert!(!open.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn attempt_above_limit_continues_and_is_last() {
    let plans = vec![(None, Ok(limited("1"))), (None, Ok(answer(200)))];
    let body = Slow::new(&["half", "half"]);
    let start = Instant::now();
    let (outcome, log, left) = send(layer().replay_limit(7), body, plans).await;
    assert_eq!(
        start.elapsed(),
        3 * SECOND,
        "two frames and the end, and no wait"
    );
    let response = outcome.unwrap();
    assert_eq!((response.status().as_u16(), left), (429, 1));
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(*log.whole.lock().unwrap(), ["halfhalf"]);
}

/// The first attempt was refused early, and its server continues to read during the wait.
#[tokio::test(start_paused = true)]
async fn body_that_exceeds_limit_during_wait_ends_request() {
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let client = tower::service_fn(move |request: Request<ReplayBody<Slow>>| {
        *count.lock().unwrap() += 1;
        let mut body = request.into_body();
        async move {
            body.frame().await.expect("there is one")?;
            tokio::spawn(body.collect());
            Ok::<_, BoxError>(limited("10"))
        }
    });
    let layer = layer().replay_limit(7);
    let service = ServiceBuilder::new().layer(layer).service(client);
    let request = Request::put("/")
        .body(Slow::new(&["half", "half"]))
        .unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(*seen.lock().unwrap(), 1);
}

/// The body of a failed answer would otherwise occupy its connection during the whole wait.
#[tokio::test(start_paused = true)]
async fn failed_answer_is_read_during_wait() {
    let read = Arc::new(Mutex::new(Vec::new()));
    struct Told(Slow, Arc<Mutex<Vec<Instant>>>);
    impl Body for Told {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }
    }
    impl Drop for Told {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(Instant::now());
        }
    }

    let start = Instant::now();
    let log = read.clone();
    let client = tower::service_fn(move |_: Request<ReplayBody<String>>| {
        let body = Told(Slow::new(&["try", "later"]), log.clone());
        let refused = limited("10").map(|_| body);
        async move { Ok::<_, BoxError>(refused) }
    });
    let layer = layer().max_attempts(2);
    let service = ServiceBuilder::new().layer(layer).service(client);
    let request = Request::get("/").body(String::new()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(start.elapsed(), 10 * SECOND + SECOND / 2);
    let first = read.lock().unwrap()[0];
    assert_eq!(first - start, 3 * SECOND, "two frames and the end");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "trylater", "the last answer is read by the caller");
}

/// A real client closes the connection if the request body fails, and loses an answer that is still
/// arriving.
#[tokio::test(start_paused = true)]
async fn early_answer_is_read_before_cut_off() {
    struct Slowly(Arc<Mutex<bool>>, Slow);
    impl Body for Slowly {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            if *self.0.lock().unwrap() {
                return Poll::Ready(Some(Err("the connection is gone".into())));
            }
            let frame = std::task::ready!(Pin::new(&mut self.1).poll_frame(cx));
            Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
        }
    }

    // The answer takes 1.5 s or 150 ms, and the limit is 250 ms. In the last case it belongs to an
    // attempt that sends the record of the previous one.
    for (early, apart, expected) in [
        (1, SECOND / 2, false),
        (1, SECOND / 20, true),
        (2, SECOND / 20, true),
    ] {
        let seen = Arc::new(Mutex::new(0));
        let client = tower::service_fn(move |request: Request<ReplayBody<Slow>>| {
            *seen.lock().unwrap() += 1;
            let number = *seen.lock().unwrap();
            async move {
                if number > early {
                    return Err(BoxError::from("refused"));
                }
                if number < early {
                    request.into_body().collect().await?;
                    let answer = Slow::new(&[]);
                    let mut busy = Response::new(Slowly(Arc::default(), answer));
                    *busy.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                    return Ok(busy);
                }
                let gone = Arc::new(Mutex::new(false));
                let (mut sent, told) = (request.into_body(), gone.clone());
                tokio::spawn(async move {
                    while let Some(frame) = sent.frame().await {
                        if frame.is_err() {
                            *told.lock().unwrap() = true;
                            return;
                        }
                        if number > 1 {
                            // The record is available at once, and the network is slower.
                            sleep(SECOND / 100).await;
                        }
                    }
                });
                tokio::task::yield_now().await;
                let answer = Slow::new(&["too", "busy"]).apart(apart);
                Ok(limited("0").map(|_| Slowly(gone, answer)))
            }
        });
        let layer = layer().max_attempts(early + 1).random(|| 0.0);
        let service = ServiceBuilder::new().layer(layer).service(client);
        let long = Slow::new(&["x"; 100]);
        let request = Request::put("/").body(long).unwrap();
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 429);
        let body = response.into_body().collect().await;
        let body = body.map(|body| body.to_bytes());
        assert_eq!(body.is_ok(), expected, "{apart:?}");
        if let Ok(body) = body {
            assert_eq!(body, "toobusy");
        }
    }
}

/// A balancer tests an endpoint in a long cooldown with a request that is repeated for sure. A
/// stream may become too large for that, and its caller received the refusal of the test.
#[tokio::test(start_paused = true)]
async fn body_in_memory_only_is_marked_as_repeatable() {
    async fn is_marked<B>(body: B) -> bool
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let marked = Arc::new(Mutex::new(false));
        let seen = marked.clone();
        let client = tower::service_fn(move |request: Request<ReplayBody<B>>| {
            let trail = Trail::of(request.extensions()).expect("a trail");
            *seen.lock().unwrap() = trail.is_repeatable();
            async { Ok::<_, Infallible>(answer(200)) }
        });
        let service = ServiceBuilder::new().layer(layer()).service(client);
        let request = Request::put("http://upstream.test/").body(body).unwrap();
        service.oneshot(request).await.unwrap();
        *marked.lock().unwrap()
    }
    assert!(is_marked(Full::<Bytes>::from("hello")).await);
    assert!(!is_marked(Slow::new(&["a", "b"])).await);
}
