use super::*;
use crate::{BoxError, Class, Classified, Verdict};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Option<End>>>>);

struct Guard(Log, bool);

impl Log {
    fn guard(&self) -> Guard {
        Guard(self.clone(), false)
    }

    fn ends(&self) -> Vec<Option<End>> {
        self.0.lock().unwrap().clone()
    }
}

impl OnEnd for Guard {
    fn on_end(&mut self, end: End) {
        self.1 = true;
        self.0.0.lock().unwrap().push(Some(end));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.1 {
            self.0.0.lock().unwrap().push(None);
        }
    }
}

/// A body that ends only at one more poll after its last frame.
fn frames(
    items: Vec<Result<Frame<Bytes>, BoxError>>,
) -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
    struct Items(std::vec::IntoIter<Result<Frame<Bytes>, BoxError>>);
    impl Body for Items {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.0.next())
        }
    }
    Items(items.into_iter())
}

fn data() -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(b"data")))
}

#[tokio::test]
async fn body_that_is_read_ends_once() {
    let log = Log::default();
    let body = Watched::new(frames(vec![data(), data()]), log.guard());
    assert_eq!(log.ends(), []);
    let bytes = body.collect().await.expect("no error").to_bytes();
    assert_eq!(bytes, "datadata");
    assert_eq!(log.ends(), [Some(End::Complete)]);
}

/// A reader that stops at the last frame would otherwise leave the request in flight.
#[tokio::test]
async fn sized_body_ends_at_its_last_frame() {
    let log = Log::default();
    let mut body = Watched::new(Full::new(Bytes::from_static(b"data")), log.guard());
    body.frame().await.expect("one frame").expect("no error");
    assert_eq!(log.ends(), [Some(End::Complete)]);

    let _body = Watched::new(Empty::<Bytes>::new(), log.guard());
    assert_eq!(
        log.ends().len(),
        2,
        "an empty body ends before it is polled"
    );
}

#[tokio::test]
async fn broken_body_ends_with_the_verdict_on_its_error() {
    for (error, expected) in [
        (BoxError::from("reset"), Class::Transport),
        (
            Classified::new(Verdict::new(Class::Timeout), "idle").into(),
            Class::Timeout,
        ),
    ] {
        let log = Log::default();
        let body = Watched::new(frames(vec![data(), Err(error)]), log.guard());
        body.collect().await.expect_err("it broke");
        assert_eq!(log.ends(), [Some(End::Broken(Verdict::new(expected)))]);
    }
}

/// A reader of events stops at the event that reports a failure.
#[tokio::test]
async fn late_verdict_ends_the_body_with_its_frame() {
    let log = Log::default();
    let late = LateVerdict::new();
    let mut response = Response::new(frames(vec![data(), data()]));
    response.extensions_mut().insert(late.clone());
    let mut body = Watched::response(response, log.guard()).into_body();
    body.frame().await.expect("a frame").expect("no error");
    assert_eq!(log.ends(), []);

    let verdict = Verdict::new(Class::Overloaded);
    late.set(verdict);
    body.frame().await.expect("a frame").expect("no error");
    assert_eq!(log.ends(), [Some(End::Broken(verdict))]);
}

#[tokio::test]
async fn dropped_body_only_drops_its_guard() {
    let log = Log::default();
    let mut body = Watched::new(frames(vec![data(), data()]), log.guard());
    body.frame().await.expect("a frame").expect("no error");
    drop(body);
    assert_eq!(log.ends(), [None]);
}

#[allow(dead_code)] // compiles only while the wrapper adds no bounds of its own
fn keeps_auto_traits<S: Send + Sync + Unpin>(stream: StreamBody<S>) {
    fn check<T: Send + Sync + Unpin>(_: T) {}
    check(Watched::<_, ()>::unwatched(stream));
}
