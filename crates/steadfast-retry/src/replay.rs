use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// A request body that can be sent again if it is held in memory.
///
/// The client below a [`RetryOn429Layer`](crate::RetryOn429Layer) takes requests with this body.
pub struct ReplayBody<B: Body>(Repr<B>);

enum Repr<B: Body> {
    /// All of it is in memory. What was sent is gone from this copy, not from the others.
    Held {
        data: Bytes,
        trailers: Option<Box<HeaderMap>>,
    },
    /// It comes from elsewhere, and can be sent once.
    Live(Live<B>),
}

struct Live<B: Body> {
    /// What was read already, and how many bytes that are.
    read: VecDeque<Result<Frame<Bytes>, B::Error>>,
    size: u64,
    body: B,
}

impl<B> ReplayBody<B>
where
    B: Body + Unpin,
{
    /// Takes `body` into memory if its size is known, at most `limit` bytes, and all of it is
    /// there.
    pub fn new(body: B, limit: u64) -> Self {
        let small = body.size_hint().exact().is_some_and(|size| size <= limit);
        let mut this = Self(Repr::Live(Live {
            read: VecDeque::new(),
            size: 0,
            body,
        }));
        if small {
            // A body in memory gives its frames at once and wakes nobody. One that does not is
            // polled again later, with a waker that works.
            let _ = this.poll_hold(&mut Context::from_waker(Waker::noop()), limit);
        }
        this
    }

    /// Waits until all of the body is in memory, or until it has turned out to be larger than
    /// `limit` bytes or to be broken. Then it is passed on as it comes, and can be sent once.
    pub async fn hold(mut self, limit: u64) -> Self {
        poll_fn(|cx| self.poll_hold(cx, limit)).await;
        self
    }

    fn poll_hold(&mut self, cx: &mut Context<'_>, limit: u64) -> Poll<()> {
        let Repr::Live(live) = &mut self.0 else {
            return Poll::Ready(());
        };
        while !live.body.is_end_stream() {
            let broken = matches!(live.read.back(), Some(Err(_)));
            // A body may break its word about its size.
            if broken || live.size > limit {
                return Poll::Ready(());
            }
            match ready!(Pin::new(&mut live.body).poll_frame(cx)) {
                None => break,
                Some(Err(error)) => live.read.push_back(Err(error)),
                Some(Ok(frame)) => match into_bytes(frame).into_data() {
                    // The usual case, which needs no queue.
                    Ok(data) if live.read.is_empty() && live.body.is_end_stream() => {
                        *self = Self::held(data);
                        return Poll::Ready(());
                    }
                    // Nothing limits the number of those.
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => {
                        live.size += data.len() as u64;
                        live.read.push_back(Ok(Frame::data(data)));
                    }
                    Err(frame) => live.read.push_back(Ok(frame)),
                },
            }
        }
        if live.read.iter().all(Result::is_ok) && live.size <= limit {
            *self = Self::join(std::mem::take(&mut live.read));
        }
        Poll::Ready(())
    }

    fn held(data: Bytes) -> Self {
        Self(Repr::Held {
            data,
            trailers: None,
        })
    }

    fn join(read: VecDeque<Result<Frame<Bytes>, B::Error>>) -> Self {
        let mut trailers = None;
        let mut chunks = read
            .into_iter()
            .filter_map(|frame| match frame.ok()?.into_data() {
                Ok(data) => Some(data),
                Err(frame) => {
                    trailers = frame.into_trailers().ok().map(Box::new);
                    None
                }
            });
        let first = chunks.next().unwrap_or_default();
        let data = match chunks.next() {
            None => first,
            Some(second) => {
                let mut data = BytesMut::from(first);
                data.extend_from_slice(&second);
                chunks.for_each(|chunk| data.extend_from_slice(&chunk));
                data.freeze()
            }
        };
        Self(Repr::Held { data, trailers })
    }

    /// Returns the data of a body that is held in memory, and was not sent yet.
    #[must_use]
    pub fn data(&self) -> Option<&Bytes> {
        match &self.0 {
            Repr::Held { data, .. } => Some(data),
            Repr::Live(_) => None,
        }
    }

    /// Returns a copy of a body that was not sent yet, or `None` if it can be sent only once.
    pub(crate) fn try_clone(&self) -> Option<Self> {
        match &self.0 {
            Repr::Held { data, trailers } => Some(Self(Repr::Held {
                data: data.clone(),
                trailers: trailers.clone(),
            })),
            Repr::Live(_) => None,
        }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body + Unpin,
    // Frames that were read early are moved out of their queue.
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.0 {
            Repr::Held { data, .. } if !data.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))))
            }
            Repr::Held { trailers, .. } => Poll::Ready(
                trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(*trailers))),
            ),
            Repr::Live(live) => {
                if let Some(frame) = live.read.pop_front() {
                    let data = frame.as_ref().ok().and_then(Frame::data_ref);
                    live.size -= data.map_or(0, |data| data.len() as u64);
                    return Poll::Ready(Some(frame));
                }
                let frame = ready!(Pin::new(&mut live.body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map(into_bytes)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Repr::Held { data, trailers } => data.is_empty() && trailers.is_none(),
            Repr::Live(live) => live.read.is_empty() && live.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Repr::Held { data, .. } => SizeHint::with_exact(data.len() as u64),
            Repr::Live(live) => {
                let hint = live.body.size_hint();
                let mut whole = SizeHint::new();
                whole.set_lower(hint.lower().saturating_add(live.size));
                if let Some(upper) = hint.upper() {
                    whole.set_upper(upper.saturating_add(live.size));
                }
                whole
            }
        }
    }
}

impl<B: Body + Unpin + Default> Default for ReplayBody<B> {
    fn default() -> Self {
        Self::new(B::default(), 0)
    }
}

impl<B: Body> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content is the caller's, and may be secret.
        match &self.0 {
            Repr::Held { data, .. } => write!(f, "ReplayBody::Held({} bytes)", data.len()),
            Repr::Live(_) => f.write_str("ReplayBody::Live"),
        }
    }
}

fn into_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Empty, Full};
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// Gives its frames one by one. `None` is a frame that is not there yet.
    #[derive(Debug)]
    struct Script {
        frames: VecDeque<Option<Result<Frame<&'static [u8]>, &'static str>>>,
        size: Option<u64>,
    }

    impl Body for Script {
        type Data = &'static [u8];
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<&'static [u8]>, &'static str>>> {
            match self.frames.pop_front() {
                Some(None) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Some(Some(frame)) => {
                    let data = frame.as_ref().ok().and_then(Frame::data_ref);
                    let len = data.map_or(0, |data| data.len() as u64);
                    self.size = self.size.map(|size| size.saturating_sub(len));
                    Poll::Ready(Some(frame))
                }
                None => Poll::Ready(None),
            }
        }

        fn size_hint(&self) -> SizeHint {
            self.size.map_or_else(SizeHint::new, SizeHint::with_exact)
        }
    }

    fn script(chunks: &[Option<&'static [u8]>], size: Option<u64>) -> Script {
        let frames = chunks
            .iter()
            .map(|chunk| chunk.map(|data| Ok(Frame::data(data))));
        Script {
            frames: frames.collect(),
            size,
        }
    }

    async fn send<B>(body: ReplayBody<B>) -> Result<(Bytes, Option<HeaderMap>), B::Error>
    where
        B: Body + Unpin,
        B::Error: Unpin + fmt::Debug,
    {
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok((collected.to_bytes(), trailers))
    }

    #[tokio::test]
    async fn a_body_in_memory_is_not_copied() {
        let bytes = Bytes::from_static(b"{}");
        let body = ReplayBody::new(Full::new(bytes.clone()), 10);
        let copy = body.try_clone().expect("it is in memory");
        let (sent, _) = send(body).await.unwrap();
        let (again, _) = send(copy).await.unwrap();
        assert_eq!(sent.as_ptr(), bytes.as_ptr());
        assert_eq!(again.as_ptr(), bytes.as_ptr());
    }

    #[tokio::test]
    async fn an_empty_body_is_empty_again() {
        let body = ReplayBody::new(Empty::<Bytes>::new(), 0);
        assert!(body.is_end_stream());
        assert!(body.try_clone().expect("nothing to hold").is_end_stream());
    }

    #[tokio::test]
    async fn only_what_is_known_to_be_small_is_held() {
        for (body, held) in [
            (script(&[Some(b"1234")], Some(4)), true),
            (script(&[Some(b"12"), Some(b"34")], Some(4)), true),
            (script(&[Some(b""), Some(b"12"), Some(b"")], Some(2)), true),
            (script(&[Some(b"12345")], Some(5)), false),
            (script(&[Some(b"1234")], None), false),
            (script(&[Some(b"12"), None, Some(b"34")], Some(4)), false),
            // It says four and gives more.
            (script(&[Some(b"1234"), Some(b"5678")], Some(4)), false),
        ] {
            let expected: Vec<u8> = body
                .frames
                .iter()
                .flatten()
                .flat_map(|frame| frame.as_ref().unwrap().data_ref().unwrap().to_vec())
                .collect();
            let body = ReplayBody::new(body, 4);
            assert_eq!(body.try_clone().is_some(), held);
            assert_eq!(send(body).await.unwrap().0, expected, "every byte, once");
        }
    }

    /// A caller could fill the memory with them, and never reach a limit that counts bytes.
    #[test]
    fn frames_without_data_are_not_kept() {
        let body = ReplayBody::new(script(&[Some(b""), Some(b""), None], Some(0)), 4);
        let Repr::Live(live) = body.0 else {
            panic!("its end has not come");
        };
        assert!(live.read.is_empty());
    }

    /// The body of a request that a server passes on comes while it is passed on.
    #[tokio::test]
    async fn a_body_that_comes_later_can_be_waited_for() {
        for (body, held) in [
            (script(&[Some(b"12"), None, Some(b"34")], Some(4)), true),
            (script(&[None, Some(b"12"), None, Some(b"34")], None), true),
            (script(&[Some(b"12"), None, Some(b"345")], None), false),
        ] {
            let expected: Vec<u8> = body
                .frames
                .iter()
                .flatten()
                .flat_map(|frame| frame.as_ref().unwrap().data_ref().unwrap().to_vec())
                .collect();
            let body = ReplayBody::new(body, 4).hold(4).await;
            assert_eq!(body.try_clone().is_some(), held);
            assert_eq!(send(body).await.unwrap().0, expected, "every byte, once");
        }
        let mut broken = script(&[Some(b"12"), None], Some(4));
        broken.frames.push_back(Some(Err("the disk is gone")));
        let body = ReplayBody::new(broken, 4).hold(4).await;
        assert_eq!(send(body).await, Err("the disk is gone"));
    }

    #[tokio::test]
    async fn trailers_are_sent_each_time() {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
        let mut body = script(&[Some(b"12")], Some(2));
        body.frames
            .push_back(Some(Ok(Frame::trailers(trailers.clone()))));
        let body = ReplayBody::new(body, 4);
        let copy = body.try_clone().expect("it is in memory");
        for body in [body, copy] {
            let (data, sent) = send(body).await.unwrap();
            assert_eq!((&data[..], sent.as_ref()), (&b"12"[..], Some(&trailers)));
        }
    }

    #[tokio::test]
    async fn an_error_of_the_body_reaches_the_client() {
        let mut body = script(&[Some(b"12")], Some(4));
        body.frames.push_back(Some(Err("the disk is gone")));
        let body = ReplayBody::new(body, 4);
        assert!(body.try_clone().is_none());
        assert_eq!(body.size_hint().exact(), Some(4), "what was read counts");
        assert_eq!(send(body).await, Err("the disk is gone"));
    }

    #[test]
    fn debug_does_not_show_the_content() {
        let body = ReplayBody::new(Full::new(Bytes::from_static(b"secret")), 10);
        assert_eq!(format!("{body:?}"), "ReplayBody::Held(6 bytes)");
    }

    proptest! {
        #[test]
        fn every_attempt_sends_the_same_bytes(
            chunks in prop::collection::vec(prop::option::of("[a-z]{0,9}"), 0..9),
            limit in 0..40u64,
            known: bool,
        ) {
            let expected = chunks.iter().flatten().cloned().collect::<String>();
            let chunks: Vec<Option<&'static [u8]>> = chunks
                .into_iter()
                .map(|chunk| chunk.map(|text| &*text.into_bytes().leak()))
                .collect();
            let body = script(&chunks, known.then_some(expected.len() as u64));
            let body = ReplayBody::new(body, limit);
            let copies = [body.try_clone(), body.try_clone(), Some(body)];
            for copy in copies.into_iter().flatten() {
                let sent = tokio_test::block_on(send(copy)).unwrap().0;
                prop_assert_eq!(&sent, expected.as_bytes());
            }
        }
    }

    #[allow(dead_code)] // compiles only while the body adds no bounds of its own
    fn keeps_auto_traits(body: ReplayBody<Full<Bytes>>) {
        fn check<T: Send + Sync + Unpin + Body<Error = Infallible>>(_: T) {}
        check(body);
    }
}
