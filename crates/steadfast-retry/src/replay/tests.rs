use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use proptest::prelude::*;
use steadfast_core::BoxError;

use super::body::Repr;
use super::frames::CHUNK;
use super::kept::KeptRepr;
use super::*;

/// Returns its frames one by one. `None` is a frame that is pending.
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

async fn send<B>(body: ReplayBody<B>) -> Result<(Bytes, Option<HeaderMap>), String>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    let collected = body.collect().await.map_err(|error| error.to_string())?;
    let trailers = collected.trailers().cloned();
    Ok((collected.to_bytes(), trailers))
}

/// Concurrent attempts need one body each.
#[tokio::test]
async fn held_body_can_be_cloned_and_stream_cannot() {
    let body = ReplayBody::new(Full::new(Bytes::from_static(b"data")), 100);
    let copy = body.try_clone().expect("it is held");
    assert_eq!(send(body).await.expect("no error").0, "data");
    assert_eq!(send(copy).await.expect("no error").0, "data");

    let mut live = ReplayBody::new(script(&[Some(b"data")], None), 100);
    assert!(live.try_clone().is_none());
    let _kept = live.keep();
    assert!(live.try_clone().is_none(), "one reader records it");
}

#[tokio::test]
async fn held_body_is_not_copied() {
    let bytes = Bytes::from_static(b"{}");
    let mut body = ReplayBody::new(Full::new(bytes.clone()), 10);
    let kept = body.keep().expect("it is in memory");
    let (sent, _) = send(body).await.unwrap();
    let (again, _) = send(kept.again().unwrap()).await.unwrap();
    assert_eq!(sent.as_ptr(), bytes.as_ptr());
    assert_eq!(again.as_ptr(), bytes.as_ptr());
}

#[tokio::test]
async fn empty_body_is_sent_again_empty() {
    let mut body = ReplayBody::new(Empty::<Bytes>::new(), 0);
    assert!(body.is_end_stream());
    let kept = body.keep().expect("nothing to hold");
    assert!(kept.again().unwrap().is_end_stream());
}

#[tokio::test]
async fn only_body_of_known_small_size_is_held() {
    for (body, held) in [
        (script(&[Some(b"1234")], Some(4)), true),
        (script(&[Some(b"12"), Some(b"34")], Some(4)), true),
        (script(&[Some(b""), Some(b"12"), Some(b"")], Some(2)), true),
        (script(&[Some(b"12345")], Some(5)), false),
        (script(&[Some(b"1234")], None), false),
        (script(&[Some(b"12"), None, Some(b"34")], Some(4)), false),
        // Their size hint of four is wrong.
        (script(&[Some(b"12")], Some(4)), false),
        (script(&[Some(b"1234"), Some(b"5678")], Some(4)), false),
    ] {
        let expected: Vec<u8> = body
            .frames
            .iter()
            .flatten()
            .flat_map(|frame| frame.as_ref().unwrap().data_ref().unwrap().to_vec())
            .collect();
        let body = ReplayBody::new(body, 4);
        assert_eq!(body.data().is_some(), held);
        assert_eq!(send(body).await.unwrap().0, expected, "every byte, once");
    }
}

/// A caller could otherwise fill the memory with empty frames: the limit counts bytes.
#[test]
fn empty_frames_are_not_kept() {
    let body = ReplayBody::new(script(&[Some(b""), Some(b""), None], Some(0)), 4);
    let Repr::Live(live) = body.repr else {
        panic!("it has not ended");
    };
    assert!(live.read.is_empty());
}

/// A client may send its request byte by byte. Each frame would use a hundred bytes.
#[tokio::test]
async fn small_frames_are_held_in_chunks() {
    const FRAMES: usize = 100_000;
    let mut frames: Vec<Option<&'static [u8]>> = vec![Some(b"x"); FRAMES];
    frames.insert(FRAMES / 2, None);
    let script_of = |ends: bool| {
        let mut body = script(&frames, None);
        body.frames.extend((!ends).then_some(None));
        body
    };
    let limit = FRAMES as u64;
    let mut body = ReplayBody::new(script_of(false), limit);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    while let Repr::Live(live) = &body.repr {
        assert!(live.read.len() <= FRAMES / CHUNK + 1, "{}", live.read.len());
        let _ = body.poll_hold(&mut cx);
    }
    let (sent, _) = send(body).await.unwrap();
    assert_eq!(sent, vec![b'x'; FRAMES]);

    // A body that is too large is sent as it arrives.
    let body = ReplayBody::new(script_of(true), limit - 1).hold().await;
    assert!(body.data().is_none());
    assert_eq!(send(body).await.unwrap().0.len(), FRAMES);
}

/// A proxy sends a request while its body arrives.
#[tokio::test]
async fn hold_waits_for_late_frames() {
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
        let body = ReplayBody::new(body, 4).hold().await;
        assert_eq!(body.data().is_some(), held);
        assert_eq!(send(body).await.unwrap().0, expected, "every byte, once");
    }
    let mut broken = script(&[Some(b"12"), None], Some(4));
    broken.frames.push_back(Some(Err("the disk is gone")));
    let body = ReplayBody::new(broken, 4).hold().await;
    assert_eq!(send(body).await, Err("the disk is gone".to_owned()));
}

#[tokio::test]
async fn trailers_are_sent_by_each_attempt() {
    let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
    let mut body = script(&[Some(b"12")], Some(2));
    body.frames
        .push_back(Some(Ok(Frame::trailers(trailers.clone()))));
    let mut body = ReplayBody::new(body, 4);
    let kept = body.keep().expect("it is in memory");
    let again = kept.again().expect("it is in memory");
    for body in [body, again] {
        let (data, sent) = send(body).await.unwrap();
        assert_eq!((&data[..], sent.as_ref()), (&b"12"[..], Some(&trailers)));
    }
}

#[tokio::test]
async fn body_error_reaches_client() {
    let mut body = script(&[Some(b"12")], Some(4));
    body.frames.push_back(Some(Err("the disk is gone")));
    let mut body = ReplayBody::new(body, 4);
    assert!(body.keep().is_none());
    assert_eq!(
        body.size_hint().exact(),
        Some(4),
        "the frames that were read count"
    );
    assert_eq!(send(body).await, Err("the disk is gone".to_owned()));
}

#[test]
fn debug_does_not_print_content() {
    let body = ReplayBody::new(Full::new(Bytes::from_static(b"secret")), 10);
    assert_eq!(format!("{body:?}"), "ReplayBody::Held(6 bytes)");
}

/// Reads `frames` frames, or until no frame is available.
fn read<B>(body: &mut ReplayBody<B>, frames: usize) -> Sent
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    let mut sent = Sent::default();
    for _ in 0..frames {
        let mut cx = Context::from_waker(Waker::noop());
        if body.is_end_stream() {
            // A client stops here, and takes the body for whole.
            sent.ended = true;
            break;
        }
        match Pin::new(&mut *body).poll_frame(&mut cx) {
            Poll::Pending => continue,
            Poll::Ready(None) => {
                sent.ended = true;
                break;
            }
            Poll::Ready(Some(Err(error))) => {
                sent.error = Some(with_sources(&*error));
                break;
            }
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => sent.data.extend_from_slice(&data),
                Err(frame) => {
                    assert_eq!(sent.trailers, None, "trailers come once");
                    sent.trailers = frame.into_trailers().ok();
                }
            },
        }
    }
    sent
}

/// Returns the message of an error, with the ones of its sources.
fn with_sources(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_sources(source)),
        None => error.to_string(),
    }
}

#[derive(Debug, Default, PartialEq)]
struct Sent {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    ended: bool,
    error: Option<String>,
}

impl Sent {
    fn all(data: &[u8]) -> Self {
        Self {
            data: data.to_vec(),
            ended: true,
            ..Self::default()
        }
    }

    fn superseded() -> Self {
        let error = "another attempt of the request sends the body now";
        Self {
            error: Some(error.to_owned()),
            ..Self::default()
        }
    }
}

const ALL: usize = 1000;

fn streamed(chunks: &[Option<&'static [u8]>], limit: u64) -> (ReplayBody<Script>, Kept<Script>) {
    let mut body = ReplayBody::new(script(chunks, None), limit);
    let kept = body.keep().expect("its size is unknown");
    (body, kept)
}

#[test]
fn stream_is_sent_again_from_start() {
    for frames in 0..4 {
        let (mut first, kept) = streamed(&[Some(b"ab"), None, Some(b"cd")], 4);
        read(&mut first, frames);
        let mut second = kept.again().expect("it fits");
        assert_eq!(read(&mut first, ALL), Sent::superseded(), "{frames}");
        read(&mut second, frames);
        let mut third = kept.again().expect("it fits");
        assert_eq!(read(&mut third, ALL), Sent::all(b"abcd"), "{frames}");
    }
}

/// An attempt that waits for the body would otherwise keep its connection forever.
#[tokio::test]
async fn attempt_that_is_cut_off_is_woken() {
    /// Never returns a frame.
    struct Silent;
    impl Body for Silent {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }
    let mut first = ReplayBody::new(Silent, 4);
    let kept = first.keep().expect("its size is unknown");
    let mut first = tokio_test::task::spawn(first);
    assert!(first.enter(|cx, body| body.poll_frame(cx).is_pending()));
    assert!(!first.is_woken());
    let _second = kept.again();
    assert!(first.is_woken());
}

#[test]
fn attempt_above_limit_continues_without_record() {
    let (mut first, kept) = streamed(&[Some(b"ab"), Some(b"cde"), Some(b"f")], 4);
    assert_eq!(read(&mut first, 1).data, b"ab");
    assert!(kept.is_whole());
    assert_eq!(read(&mut first, ALL), Sent::all(b"cdef"));
    assert!(!kept.is_whole());
    let KeptRepr::Recorded(recording) = &kept.repr else {
        panic!("it is recorded");
    };
    assert_eq!(recording.recorded(), 0, "the record is no longer needed");
    assert!(kept.again().is_none());

    let known = ReplayBody::new(script(&[Some(b"12345")], Some(5)), 4).keep();
    assert!(known.is_none(), "its known size is too large");
}

/// The second attempt exceeds the limit, which the first one has not reached.
#[test]
fn later_attempt_above_limit_is_last() {
    let (mut first, kept) = streamed(&[Some(b"ab"), Some(b"cde"), Some(b"f")], 4);
    read(&mut first, 1);
    let mut second = kept.again().expect("nothing is too large yet");
    assert_eq!(read(&mut second, ALL), Sent::all(b"abcdef"));
    assert!(kept.again().is_none());
}

#[test]
fn recording_stops_if_no_attempt_can_follow() {
    let (mut first, kept) = streamed(&[Some(b"ab"), Some(b"cd")], 100);
    read(&mut first, 1);
    drop(kept);
    assert_eq!(read(&mut first, ALL), Sent::all(b"cd"));
    assert!(matches!(first.repr, Repr::Live(_)));
}

#[test]
fn broken_body_is_not_sent_again() {
    let mut body = script(&[Some(b"12")], None);
    body.frames.push_back(Some(Err("the disk is gone")));
    let mut first = ReplayBody::new(body, 9);
    let kept = first.keep().expect("it has not broken yet");
    read(&mut first, 1);
    let mut second = kept.again().expect("it has not broken yet");
    let expected = "the request body broke: the disk is gone".to_owned();
    assert_eq!(read(&mut second, ALL).error, Some(expected));
    assert!(!kept.is_whole());
    assert!(kept.again().is_none());
}

#[test]
fn every_attempt_has_same_size_hint() {
    let mut script = script(&[Some(b"ab"), Some(b"cd")], None);
    script.size = Some(7);
    let mut first = ReplayBody::new(script, 9);
    let kept = first.keep().expect("it fits");
    for mut body in [first, kept.again().unwrap(), kept.again().unwrap()] {
        assert_eq!(body.size_hint().exact(), Some(7));
        read(&mut body, 1);
    }
    let mut last = kept.again().unwrap();
    let sent = read(&mut last, 1).data.len() as u64;
    assert_eq!(last.size_hint().exact(), Some(7 - sent));
}

/// Two attempts can hold the body at the same time. Each caller reads the cause.
#[test]
fn error_of_the_body_is_the_source_for_each_attempt() {
    let mut body = script(&[None, None], None);
    body.frames.push_back(Some(Err("the disk is gone")));
    let mut first = ReplayBody::new(body, 9);
    let kept = first.keep().expect("it has not broken yet");
    let _ = read(&mut first, 0);
    let error = read(&mut first, ALL).error;
    assert_eq!(
        error.as_deref(),
        Some("the request body broke: the disk is gone")
    );
    let again = read(&mut first, ALL).error;
    let expected = "the request body broke while another attempt sent it: the disk is gone";
    assert_eq!(again.as_deref(), Some(expected));
    drop(kept);
}

#[test]
fn notes_are_on_the_body_of_every_attempt() {
    let held = || ReplayBody::new(Full::<Bytes>::from("body"), 9).with_notes(6);
    assert_eq!(held().try_clone().expect("it is held").notes(), 6);
    let mut first = held();
    let kept = first.keep().expect("it is held");
    assert_eq!((first.notes(), kept.again().unwrap().notes()), (6, 6));
    assert!(!kept.is_safe());

    let streamed = ReplayBody::new(script(&[Some(b"ab")], None), 4);
    let mut first = streamed.with_notes(ReplayBody::<Script>::SAFE);
    let kept = first.keep().expect("its size is unknown");
    assert_eq!((first.notes(), kept.again().unwrap().notes()), (1, 1));
    assert!(kept.is_safe());
}

/// Wrappers with the length of a header often return a constant size hint.
#[test]
fn constant_size_hint_is_corrected() {
    struct Constant(Script);
    impl Body for Constant {
        type Data = &'static [u8];
        type Error = &'static str;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<&'static [u8]>, &'static str>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(4)
        }
    }
    for chunks in [&[Some(&b"ab"[..]), None, Some(b"cd")][..], &[Some(b"abcd")]] {
        let mut body = ReplayBody::new(Constant(script(chunks, None)), 9);
        assert_eq!(body.size_hint().exact(), Some(4));
        let kept = body.keep().expect("it fits");
        read(&mut body, 1);
        let mut again = kept.again().expect("it fits");
        assert_eq!(again.size_hint().exact(), Some(4));
        assert_eq!(read(&mut again, ALL), Sent::all(b"abcd"));
    }
    let body = ReplayBody::new(Constant(script(&[Some(b"ab"), None, Some(b"cd")], None)), 9);
    let held = tokio_test::block_on(body.hold());
    assert_eq!(held.data().map(|data| &data[..]), Some(&b"abcd"[..]));
}

/// A caller may read a part of the body first.
#[test]
fn bytes_read_before_are_not_in_size_hint() {
    let mut source = script(&[Some(b"ab"), None, Some(b"cd")], Some(4));
    source.frames.push_front(None);
    let mut body = ReplayBody::new(source, 9);
    assert_eq!(read(&mut body, 1).data, b"ab");
    let kept = body.keep().expect("it fits");
    for mut body in [body, kept.again().expect("it fits")] {
        assert_eq!(body.size_hint().exact(), Some(2));
        read(&mut body, 1);
    }
    assert_eq!(
        read(&mut kept.again().expect("it fits"), ALL),
        Sent::all(b"cd")
    );
}

/// Millions of small frames would use much more memory than their bytes.
#[test]
fn small_frames_are_recorded_in_chunks() {
    let chunks = vec![Some(&b"x"[..]); 100_000];
    let (mut first, kept) = streamed(&chunks, 1_000_000);
    assert_eq!(read(&mut first, 200_000).data.len(), 100_000);
    let mut second = kept.again().expect("it fits");
    assert_eq!(read(&mut second, 10), Sent::all(&[b'x'; 100_000]));
}

/// A panic during a poll must not leave another attempt waiting.
#[test]
fn panic_of_body_breaks_it_for_next_attempt() {
    struct Panics {
        when_polled: bool,
        polled: bool,
    }
    impl Body for Panics {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            assert!(!self.when_polled, "on purpose");
            self.polled = true;
            Poll::Pending
        }
        fn is_end_stream(&self) -> bool {
            assert!(!self.polled, "on purpose");
            false
        }
    }
    for when_polled in [true, false] {
        let body = Panics {
            when_polled,
            polled: false,
        };
        let mut first = ReplayBody::new(body, 9);
        let kept = first.keep().expect("its size is unknown");
        let read_it = std::panic::AssertUnwindSafe(|| read(&mut first, 1));
        std::panic::catch_unwind(read_it).expect_err("it panics");
        assert!(kept.again().is_none());
    }
}

/// Streams that are not fused panic or start again.
#[test]
fn body_is_not_polled_after_its_end() {
    struct Once(Option<Option<&'static [u8]>>);
    impl Body for Once {
        type Data = &'static [u8];
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<&'static [u8]>, Infallible>>> {
            let next = self.0.take().expect("polled after its end");
            if next.is_some() {
                self.0 = Some(None);
            }
            Poll::Ready(next.map(|data| Ok(Frame::data(data))))
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(5)
        }
    }
    let mut first = ReplayBody::new(Once(Some(Some(b"ab"))), 9);
    let kept = first.keep().expect("it is short");
    assert_eq!(read(&mut first, ALL), Sent::all(b"ab"));
    let mut second = kept.again().expect("it is short");
    assert_eq!(read(&mut second, ALL), Sent::all(b"ab"));
    let mut only = ReplayBody::new(Once(Some(Some(b"ab"))), 9);
    assert_eq!(read(&mut only, ALL), Sent::all(b"ab"));
}

/// Endless empty frames would otherwise occupy the thread: the limit counts bytes.
#[test]
fn endless_empty_frames_yield_thread() {
    struct Endless;
    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(0)
        }
    }
    let body = ReplayBody::new(Endless, 9);
    let mut hold = tokio_test::task::spawn(body.hold());
    assert!(hold.poll().is_pending());
    assert!(hold.is_woken());
}

/// Two attempts on two threads: the earlier one is in the middle of a poll.
#[test]
fn attempt_waits_for_poll_of_previous_attempt() {
    use std::sync::mpsc::{Receiver, Sender, channel};

    struct Slow(Sender<()>, Receiver<&'static [u8]>, bool);
    impl Body for Slow {
        type Data = &'static [u8];
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<&'static [u8]>, Infallible>>> {
            if std::mem::replace(&mut self.2, true) {
                return Poll::Ready(None);
            }
            self.0.send(()).unwrap();
            Poll::Ready(Some(Ok(Frame::data(self.1.recv().unwrap()))))
        }
    }

    let (polled, is_polled) = channel();
    let (give, given) = channel();
    let mut first = ReplayBody::new(Slow(polled, given, false), 9);
    let kept = first.keep().expect("it may fit");
    let zombie = std::thread::spawn(move || read(&mut first, 1));
    is_polled.recv().unwrap();
    let mut second = tokio_test::task::spawn(kept.again().expect("it may fit"));
    assert!(second.enter(|cx, body| body.poll_frame(cx).is_pending()));
    give.send(b"data").unwrap();
    assert_eq!(zombie.join().unwrap(), Sent::superseded());
    assert!(second.is_woken());
    assert_eq!(read(&mut second, ALL), Sent::all(b"data"));
}

#[derive(Clone, Debug)]
enum Step {
    /// Polls of one of the attempts so far: its index, at most the last, and their number.
    Read(usize, usize),
    Again,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4usize, 1..6usize).prop_map(|(attempt, polls)| Step::Read(attempt, polls)),
        1 => Just(Step::Again),
    ]
}

proptest! {
    /// After any reads, the attempt in charge sends every byte in order. No other attempt ends as
    /// if it had sent all.
    #[test]
    fn every_attempt_sends_same_bytes(
        chunks in prop::collection::vec(prop::option::of("[a-z]{0,9}"), 0..9),
        large in prop::option::of(0..9usize),
        limit in 0..60u64,
        known: Option<bool>,
        with_trailers: bool,
        steps in prop::collection::vec(step(), 0..24),
    ) {
        let mut chunks = chunks;
        if let Some(chunk) = large.and_then(|at| chunks.get_mut(at)) {
            *chunk = Some("L".repeat(2000));
        }
        let limit = if large.is_some() { limit * 100 } else { limit };
        let whole = chunks.iter().flatten().cloned().collect::<String>();
        let chunks: Vec<Option<&'static [u8]>> = chunks
            .into_iter()
            .map(|chunk| chunk.map(|text| &*text.into_bytes().leak()))
            .collect();
        // Right, wrong by one, or unknown.
        let size = known.map(|right| whole.len() as u64 + u64::from(!right));
        let mut source = script(&chunks, size);
        let trailers = with_trailers
            .then(|| HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]));
        if let Some(trailers) = &trailers {
            source.frames.push_back(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        let mut body = ReplayBody::new(source, limit);
        let Some(kept) = body.keep() else {
            prop_assert!(size.is_some_and(|size| size > limit) || whole.len() as u64 > limit);
            let sent = read(&mut body, ALL);
            prop_assert_eq!(&sent.data, whole.as_bytes());
            return Ok(());
        };
        let mut attempts = vec![(body, Sent::default())];
        for step in steps.into_iter().chain([Step::Read(ALL, ALL)]) {
            match step {
                Step::Again => match kept.again() {
                    Some(body) => attempts.push((body, Sent::default())),
                    None => prop_assert!(whole.len() as u64 > limit),
                },
                Step::Read(attempt, polls) => {
                    let at = attempt.min(attempts.len() - 1);
                    let (body, sent) = &mut attempts[at];
                    if sent.ended || sent.error.is_some() {
                        continue;
                    }
                    let hint = body.size_hint().lower();
                    let more = read(body, polls);
                    prop_assert!(!more.ended || known != Some(true) || hint <= more.data.len() as u64);
                    sent.data.extend(more.data);
                    prop_assert!(sent.trailers.is_none() || more.trailers.is_none());
                    sent.trailers = sent.trailers.take().or(more.trailers);
                    (sent.ended, sent.error) = (more.ended, more.error);
                }
            }
        }
        let last = attempts.len() - 1;
        for (at, (body, sent)) in attempts.iter().enumerate() {
            if at == last || sent.ended {
                prop_assert_eq!(&sent.error, &None);
                prop_assert_eq!(&sent.data, whole.as_bytes());
                prop_assert_eq!(&sent.trailers, &trailers);
                let held = matches!(body.repr, Repr::Held(_));
                prop_assert!(body.is_end_stream() || !held);
            } else {
                prop_assert!(whole.as_bytes().starts_with(&sent.data));
            }
        }
    }
}

#[allow(dead_code)] // compiles only while the body adds no bounds of its own
fn keeps_auto_traits(body: ReplayBody<Full<Bytes>>) {
    fn check<T: Send + Sync + Unpin + Body<Error = BoxError>>(_: T) {}
    check(body);
}

/// Reports at its end whether the recording could be used.
struct Ends {
    kept: Arc<OnceLock<Kept<Self>>>,
    ended: mpsc::Sender<bool>,
    frames: usize,
}

impl Body for Ends {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.frames.checked_sub(1) else {
            return Poll::Ready(None);
        };
        self.frames = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"data")))))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let kept = self.kept.get().expect("it is kept");
        self.ended.send(kept.is_whole()).expect("the test waits");
    }
}

/// The destructor of a body may use the request. It once ran under the lock of the recording.
#[test]
fn body_that_has_ended_is_dropped_without_the_lock() {
    let (ended, ends) = mpsc::channel();
    // A thread of its own, which a lock would hold forever.
    std::thread::spawn(move || {
        let kept = Arc::new(OnceLock::new());
        let body = Ends {
            kept: kept.clone(),
            ended,
            frames: 2,
        };
        let mut body = ReplayBody::new(body, 100);
        assert!(kept.set(body.keep().expect("it fits")).is_ok());
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(_)) = Pin::new(&mut body).poll_frame(&mut cx) {}
    });
    let is_whole = ends.recv_timeout(std::time::Duration::from_secs(10));
    assert_eq!(is_whole, Ok(true));
}
