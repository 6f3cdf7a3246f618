use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::classified_outcome::verdict_of_error;
use super::late_verdict::LateVerdict;
use crate::verdict::Verdict;

/// How a response body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// All of it was read.
    Complete,
    /// It broke. The verdict is that of the error, or `Transport`.
    Broken(Verdict),
}

/// Is told how a response body ended, and dropped then.
///
/// Dropped without that if the body was dropped first.
pub trait OnEnd {
    /// Called at most once. Where it lies, as a guard may be large to move.
    fn on_end(&mut self, end: End);
}

pin_project! {
    /// A response body that tells a guard when it ends.
    ///
    /// The end is the last frame, an error, or `is_end_stream`, which is asked at the start and
    /// after each frame: a reader of server-sent events stops at its last event and never polls
    /// again. The guard is given up right there, or dropped with the body. A [`LateVerdict`] ends
    /// it too, with the frame that brings it.
    pub struct Watched<B, G> {
        #[pin]
        inner: B,
        guard: Option<G>,
        late: Option<LateVerdict>,
    }
}

impl<B, G> Watched<B, G>
where
    B: Body,
    G: OnEnd,
{
    /// Watches `inner` for `guard`.
    pub fn new(inner: B, guard: G) -> Self {
        Self::with_late(inner, guard, None)
    }

    #[inline]
    fn with_late(inner: B, guard: G, late: Option<LateVerdict>) -> Self {
        let mut watched = Self {
            inner,
            guard: Some(guard),
            late,
        };
        if watched.inner.is_end_stream() {
            end(&mut watched.guard, End::Complete);
        }
        watched
    }

    /// Watches the body of `response` for `guard`.
    #[inline]
    pub fn response(response: Response<B>, guard: G) -> Response<Self> {
        let late = response.extensions().get().cloned();
        response.map(|body| Self::with_late(body, guard, late))
    }
}

impl<B, G> Watched<B, G> {
    /// Wraps `inner` without watching it.
    pub fn unwatched(inner: B) -> Self {
        Self {
            inner,
            guard: None,
            late: None,
        }
    }

    /// Returns a reference to the body.
    pub fn get_ref(&self) -> &B {
        &self.inner
    }

    /// Returns a mutable reference to the body.
    pub fn get_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Consumes `self` and returns the body. The guard is dropped.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

impl<B, G> Body for Watched<B, G>
where
    B: Body,
    B::Error: 'static,
    G: OnEnd,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        // Only looked at, and returned as it came.
        let polled = this.inner.as_mut().poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(_))) => {
                if let Some(verdict) = this.late.as_ref().and_then(LateVerdict::get) {
                    end(this.guard, End::Broken(verdict));
                } else if this.inner.is_end_stream() {
                    end(this.guard, End::Complete);
                }
            }
            Poll::Ready(None) => end(this.guard, End::Complete),
            Poll::Ready(Some(Err(error))) => {
                end(this.guard, End::Broken(verdict_of_error(error)));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Default, G> Default for Watched<B, G> {
    fn default() -> Self {
        Self::unwatched(B::default())
    }
}

impl<B: fmt::Debug, G> fmt::Debug for Watched<B, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.inner).finish()
    }
}

fn end<G: OnEnd>(guard: &mut Option<G>, end: End) {
    if let Some(told) = guard {
        told.on_end(end);
        *guard = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BoxError, Class, Classified};
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

    /// Frames that end only when they are polled once more.
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
    async fn ends_once_when_all_is_read() {
        let log = Log::default();
        let body = Watched::new(frames(vec![data(), data()]), log.guard());
        assert_eq!(log.ends(), []);
        let bytes = body.collect().await.expect("no error").to_bytes();
        assert_eq!(bytes, "datadata");
        assert_eq!(log.ends(), [Some(End::Complete)]);
    }

    /// A reader that stops at the last frame would otherwise leave the request in flight.
    #[tokio::test]
    async fn ends_at_the_last_frame_if_the_body_knows_it() {
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
    async fn a_broken_body_says_why() {
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

    /// Readers of events stop at the one that says that something failed.
    #[tokio::test]
    async fn a_late_verdict_ends_it_with_the_frame_that_brings_it() {
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
    async fn a_dropped_body_only_drops_its_guard() {
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
}
