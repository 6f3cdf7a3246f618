use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use steadfast_core::BoxError;

/// A body of prepared frames.
#[derive(Debug, Default)]
pub(crate) struct TestBody {
    frames: VecDeque<Result<Bytes, BoxError>>,
    reports_end: bool,
}

impl TestBody {
    /// A body that reports its end, such as a body with a content length.
    pub(crate) fn sized(chunks: usize) -> Self {
        Self {
            reports_end: true,
            ..Self::stream(chunks)
        }
    }

    /// A body that ends only at one more poll after its last frame, such as a stream.
    pub(crate) fn stream(chunks: usize) -> Self {
        Self {
            frames: (0..chunks)
                .map(|_| Ok(Bytes::from_static(b"data")))
                .collect(),
            reports_end: false,
        }
    }

    /// A stream that breaks after one frame.
    pub(crate) fn broken(error: impl Into<BoxError>) -> Self {
        let mut body = Self::stream(1);
        body.frames.push_back(Err(error.into()));
        body
    }
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = self.frames.pop_front();
        Poll::Ready(frame.map(|frame| frame.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.reports_end && self.frames.is_empty()
    }
}

/// Reads one frame: `Some(true)` is data, `Some(false)` an error, `None` the end.
pub(crate) async fn next_frame(
    body: &mut (impl Body<Data = Bytes, Error = BoxError> + Unpin),
) -> Option<bool> {
    body.frame().await.map(|frame| frame.is_ok())
}
