use super::*;
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use std::task::Waker;

type Item = Result<Frame<Bytes>, &'static str>;

fn data(text: &'static str) -> Item {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn body(items: Vec<Item>) -> Pin<Box<ReadAhead<impl Body<Data = Bytes, Error = &'static str>>>> {
    let mut items = items.into_iter();
    let stream = tokio_test::stream_mock::StreamMockBuilder::new();
    let stream = items
        .by_ref()
        .fold(stream, |stream, item| stream.next(item));
    Box::pin(ReadAhead::new(StreamBody::new(stream.build())))
}

fn read<B: Body>(body: &mut Pin<Box<ReadAhead<B>>>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    matches!(body.as_mut().poll_ahead(&mut cx), Poll::Ready(Some(_)))
}

#[tokio::test]
async fn frames_read_ahead_come_first() {
    let mut body = body(vec![data("a"), data("b"), data("c")]);
    assert!(read(&mut body) && read(&mut body));
    assert_eq!(body.frames().count(), 2);
    assert_eq!(body.size_hint().lower(), 2);
    let bytes = body.collect().await.expect("no error").to_bytes();
    assert_eq!(bytes, "abc");
}

#[tokio::test]
async fn frame_that_was_taken_is_not_yielded() {
    let mut body = body(vec![data("a"), Err("reset")]);
    assert!(read(&mut body) && body.as_mut().rest_mut().is_some());
    assert!(read(&mut body) && body.as_mut().rest_mut().is_none());
    let last = body.as_mut().take_last().expect("an error");
    assert_eq!(last.unwrap_err(), "reset");
    assert_eq!(body.collect().await.expect("no error").to_bytes(), "a");
}

#[tokio::test]
async fn error_read_ahead_comes_after_the_frames_before_it() {
    let mut body = body(vec![data("a"), Err("reset")]);
    assert!(read(&mut body) && read(&mut body) && !read(&mut body));
    assert!(body.is_read() && !body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(1));
    assert!(body.frame().await.expect("a frame").is_ok());
    assert_eq!(body.frame().await.expect("an error").unwrap_err(), "reset");
    assert!(body.frame().await.is_none() && body.is_end_stream());
}

/// The place of the first frame is free again, while others wait behind it.
#[tokio::test]
async fn frame_read_ahead_after_a_read_is_behind_the_others() {
    let mut body = body(vec![data("a"), data("b"), data("c")]);
    assert!(read(&mut body) && read(&mut body));
    let first = body.frame().await.expect("a frame").expect("no error");
    assert_eq!(first.into_data().expect("data"), "a");
    assert!(read(&mut body));
    assert_eq!(body.collect().await.expect("no error").to_bytes(), "bc");
}
