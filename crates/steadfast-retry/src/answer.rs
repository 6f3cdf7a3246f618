use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// How much of an answer is read ahead while the next attempt is under way. Error bodies of APIs
/// are far smaller, and what is larger waits in its connection.
const MAX_READ: u64 = 64 * 1024;
const MAX_FRAMES: u32 = 1024;

pin_project! {
    /// The response body of [`RetryOn429`](crate::RetryOn429): that of the inner service.
    ///
    /// An answer that was kept while a further attempt ran was read meanwhile, up to 64 KiB, so
    /// that its connection could be used again. Nothing of it is missing or changed.
    #[project = ResponseBodyProj]
    pub struct ResponseBody<B: Body> {
        #[pin]
        repr: Repr<B>,
    }
}

pin_project! {
    #[project = ReprProj]
    enum Repr<B: Body> {
        Passed { #[pin] body: B },
        Kept { body: ReadAhead<B> },
    }
}

/// The body of an answer that may be returned later, or never.
pub(crate) struct ReadAhead<B: Body> {
    read: VecDeque<Result<Frame<B::Data>, B::Error>>,
    size: u64,
    frames: u32,
    rest: Option<Pin<Box<B>>>,
}

// ===== impl ResponseBody =====

impl<B: Body> ResponseBody<B> {
    pub(crate) fn passed(response: Response<B>) -> Response<Self> {
        response.map(|body| Self {
            repr: Repr::Passed { body },
        })
    }

    pub(crate) fn kept(response: Response<ReadAhead<B>>) -> Response<Self> {
        response.map(|body| Self {
            repr: Repr::Kept { body },
        })
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
            ReprProj::Kept { body } => match (body.read.pop_front(), &mut body.rest) {
                (Some(frame), _) => Poll::Ready(Some(frame)),
                (None, Some(rest)) => rest.as_mut().poll_frame(cx),
                (None, None) => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.repr {
            Repr::Passed { body } => body.is_end_stream(),
            Repr::Kept { body } => {
                let rest = body.rest.as_ref();
                body.read.is_empty() && rest.is_none_or(|rest| rest.is_end_stream())
            }
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
        Self {
            repr: Repr::Passed { body: B::default() },
        }
    }
}

impl<B: Body + fmt::Debug> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.repr {
            Repr::Passed { body } => f.debug_tuple("ResponseBody").field(body).finish(),
            // What was read may be secret.
            Repr::Kept { .. } => f.debug_struct("ResponseBody").finish_non_exhaustive(),
        }
    }
}

// ===== impl ReadAhead =====

impl<B: Body> ReadAhead<B> {
    pub(crate) fn new(body: B) -> Self {
        Self {
            read: VecDeque::new(),
            size: 0,
            frames: 0,
            rest: Some(Box::pin(body)),
        }
    }

    /// Whether there is more that is to be read ahead.
    pub(crate) fn is_unread(&self) -> bool {
        self.rest.is_some() && self.size < MAX_READ && self.frames < MAX_FRAMES
    }

    /// Reads what is there. A body that was read to its end has freed its connection.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        while self.is_unread() {
            let Some(rest) = &mut self.rest else {
                return;
            };
            match rest.as_mut().poll_frame(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => self.rest = None,
                Poll::Ready(Some(Err(error))) => {
                    self.read.push_back(Err(error));
                    self.rest = None;
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.frames += 1;
                    self.size += frame.data_ref().map_or(0, |data| data.remaining() as u64);
                    self.read.push_back(Ok(frame));
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.iter().flatten().filter_map(Frame::data_ref);
        let read: u64 = read.map(|data| data.remaining() as u64).sum();
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            None => SizeHint::with_exact(0),
        };
        let mut whole = SizeHint::new();
        whole.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper() {
            whole.set_upper(upper.saturating_add(read));
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::BodyExt;
    use std::task::Waker;

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

    fn read_ahead(items: Vec<Item>, times: u32) -> ReadAhead<Items> {
        let mut kept = ReadAhead::new(Items(items.into()));
        for _ in 0..times {
            kept.poll(&mut Context::from_waker(Waker::noop()));
        }
        kept
    }

    async fn returned(kept: ReadAhead<Items>) -> Result<usize, &'static str> {
        let body = ResponseBody::kept(Response::new(kept)).into_body();
        let hint = body.size_hint();
        let empty = body.is_end_stream();
        let len = body.collect().await?.to_bytes().len();
        assert!(hint.lower() <= len as u64);
        assert!(!empty || len == 0, "something was read ahead");
        Ok(len)
    }

    #[tokio::test]
    async fn what_was_read_ahead_is_returned_and_what_follows_too() {
        for (times, rest, hint) in [(0, true, 0), (1, true, 3), (2, false, 7), (3, false, 7)] {
            let kept = read_ahead(vec![data(3), Poll::Pending, data(4)], times);
            assert_eq!(kept.rest.is_some(), rest, "after {times} reads");
            assert_eq!(kept.size_hint().lower(), hint);
            if times > 0 {
                assert_eq!(returned(kept).await, Ok(7));
            }
        }
    }

    #[tokio::test]
    async fn a_broken_body_breaks_for_the_caller_too() {
        let kept = read_ahead(vec![data(3), Poll::Ready(Err("reset"))], 1);
        assert!(kept.rest.is_none());
        assert_eq!(returned(kept).await, Err("reset"));
    }

    /// Nothing that a server sends may fill the memory or keep the thread.
    #[tokio::test]
    async fn reads_no_more_than_its_bounds() {
        let kept = read_ahead((0..100).map(|_| data(4096)).collect(), 5);
        assert_eq!(kept.size, MAX_READ);
        assert_eq!(returned(kept).await, Ok(409_600));

        let kept = read_ahead((0..5000).map(|_| data(0)).collect(), 5);
        assert_eq!(kept.read.len(), MAX_FRAMES as usize);
        assert_eq!(returned(kept).await, Ok(0));
    }
}
