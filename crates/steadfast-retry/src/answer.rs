//! The body of the returned answer, read ahead if the answer was kept during a further attempt.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use steadfast_core::layer::ReadAhead;

/// The part of a kept answer that is read while the next attempt runs. Error bodies of APIs are far
/// smaller. The rest of a larger body waits in its connection.
const MAX_READ: u64 = 64 * 1024;
/// The largest number of frames that are read ahead. Each frame costs memory, whatever its size.
const MAX_FRAMES: u32 = 1024;

pin_project! {
    /// The response body of [`RetryOn429`](crate::RetryOn429), which yields the frames of the inner
    /// service.
    ///
    /// Up to 64 KiB of an answer are read while a further attempt runs, so that its connection
    /// becomes free. The body is complete and unchanged.
    #[project = ResponseBodyProj]
    pub struct ResponseBody<B: Body> {
        #[pin]
        repr: Repr<B>,
    }
}

pin_project! {
    /// The body of a first answer passes through. The body of a kept answer was read ahead.
    #[project = ReprProj]
    enum Repr<B: Body> {
        Passed { #[pin] body: B },
        Kept { body: Pin<Box<ReadAhead<B>>> },
    }
}

/// The body of an answer that is kept until a better answer arrives.
pub(crate) struct KeptAnswer<B: Body> {
    /// The frames that were read ahead, then the rest.
    body: Pin<Box<ReadAhead<B>>>,
    /// The bytes that were read ahead.
    size: u64,
    /// The frames that were read ahead.
    frames: u32,
}

// ===== impl ResponseBody =====

impl<B: Body> ResponseBody<B> {
    /// Wraps the body of an answer that is returned at once.
    #[inline]
    pub(crate) fn passed(body: B) -> Self {
        Self {
            repr: Repr::Passed { body },
        }
    }

    /// Wraps the body of an answer that was kept during a further attempt.
    pub(crate) fn kept(answer: KeptAnswer<B>) -> Self {
        Self {
            repr: Repr::Kept { body: answer.body },
        }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().repr.project() {
            ReprProj::Passed { body } => body.poll_frame(cx),
            ReprProj::Kept { body } => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.repr {
            Repr::Passed { body } => body.is_end_stream(),
            Repr::Kept { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.repr {
            Repr::Passed { body } => body.size_hint(),
            Repr::Kept { body } => body.size_hint(),
        }
    }
}

impl<B: Body + Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::passed(B::default())
    }
}

/// The body is not printed: it may be secret.
impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

// ===== impl KeptAnswer =====

impl<B: Body> KeptAnswer<B> {
    /// Starts with a body of which nothing has been read.
    pub(crate) fn new(body: B) -> Self {
        Self {
            body: Box::pin(ReadAhead::new(body)),
            size: 0,
            frames: 0,
        }
    }

    /// Whether a part of the body is still to be read ahead.
    pub(crate) fn is_unread(&self) -> bool {
        !self.body.is_read() && self.size < MAX_READ && self.frames < MAX_FRAMES
    }

    /// Reads the available frames. A body that was read to its end has freed its connection.
    pub(crate) fn read(&mut self, cx: &mut Context<'_>) {
        while self.is_unread() {
            match self.body.as_mut().poll_ahead(cx) {
                Poll::Pending | Poll::Ready(None | Some(Err(_))) => return,
                Poll::Ready(Some(Ok(frame))) => {
                    let data = frame.data_ref();
                    self.size += data.map_or(0, |data| data.remaining() as u64);
                    self.frames += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::task::Waker;

    use bytes::Bytes;
    use http_body_util::BodyExt;

    type Item = Poll<Result<Frame<Bytes>, &'static str>>;

    struct Items(VecDeque<Item>);

    impl Body for Items {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            match self.0.pop_front() {
                Some(item) => item.map(Some),
                None => Poll::Ready(None),
            }
        }
    }

    fn data(len: usize) -> Item {
        Poll::Ready(Ok(Frame::data(Bytes::from(vec![b'x'; len]))))
    }

    fn read_ahead(items: Vec<Item>, times: u32) -> KeptAnswer<Items> {
        let mut kept = KeptAnswer::new(Items(items.into()));
        for _ in 0..times {
            kept.read(&mut Context::from_waker(Waker::noop()));
        }
        kept
    }

    async fn returned(kept: KeptAnswer<Items>) -> Result<usize, &'static str> {
        let body = ResponseBody::kept(kept);
        let hint = body.size_hint();
        let empty = body.is_end_stream();
        let len = body.collect().await?.to_bytes().len();
        assert!(hint.lower() <= len as u64);
        assert!(!empty || len == 0, "something was read ahead");
        Ok(len)
    }

    #[tokio::test]
    async fn kept_answer_returns_read_frames_and_rest() {
        for (times, rest, hint) in [(0, true, 0), (1, true, 3), (2, false, 7), (3, false, 7)] {
            let kept = read_ahead(vec![data(3), Poll::Pending, data(4)], times);
            assert_eq!(!kept.body.is_read(), rest, "after {times} reads");
            assert_eq!(kept.body.size_hint().lower(), hint);
            if times > 0 {
                assert_eq!(returned(kept).await, Ok(7));
            }
        }
    }

    /// A passed body of text once printed itself.
    #[test]
    fn debug_shows_no_body() {
        let body = ResponseBody::passed(http_body_util::Full::new(Bytes::from("secret")));
        assert_eq!(format!("{body:?}"), "ResponseBody { .. }");
    }

    #[tokio::test]
    async fn broken_body_returns_error_to_caller() {
        let kept = read_ahead(vec![data(3), Poll::Ready(Err("reset"))], 1);
        assert!(kept.body.is_read());
        assert_eq!(returned(kept).await, Err("reset"));
    }

    /// A server could otherwise fill the memory or occupy the thread.
    #[tokio::test]
    async fn read_stops_at_size_and_frame_limit() {
        let kept = read_ahead((0..100).map(|_| data(4096)).collect(), 5);
        assert_eq!(kept.size, MAX_READ);
        assert_eq!(returned(kept).await, Ok(409_600));

        let kept = read_ahead((0..5000).map(|_| data(0)).collect(), 5);
        assert_eq!(kept.body.frames().count(), MAX_FRAMES as usize);
        assert_eq!(returned(kept).await, Ok(0));
    }
}
