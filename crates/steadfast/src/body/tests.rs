//! Bodies of any kind: in memory, and in frames.

use std::convert::Infallible;

use http_body_util::StreamBody;

use super::*;

/// A body of frames that are ready.
fn frames(parts: &[&'static str]) -> AnyBody {
    let frames: Vec<_> = (parts.iter())
        .map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from_static(part.as_bytes()))))
        .collect();
    AnyBody::new(StreamBody::new(tokio_stream::iter(frames)))
}

async fn text(body: AnyBody) -> Bytes {
    body.collect()
        .await
        .expect("a body without errors")
        .to_bytes()
}

/// A server or a client sends no frame of a body that has ended.
#[tokio::test]
async fn body_in_memory_has_its_exact_size_and_its_end() {
    for data in ["", "body"] {
        let mut body = AnyBody::new(Full::from(data));
        for left in [data.len(), 0] {
            assert_eq!(body.size_hint().exact(), Some(left as u64), "{data}");
            assert_eq!(body.is_end_stream(), left == 0, "{data}");
            let frame = body.frame().await.map(|frame| frame.expect("no error"));
            let read = frame.map(|frame| frame.into_data().expect("data"));
            assert_eq!(read.is_some(), left > 0, "{data}");
            assert_eq!(read.unwrap_or_default(), data[data.len() - left..]);
        }
    }
    assert!(AnyBody::default().is_end_stream());
}

/// The first of several pieces is not the body. A further call reads no further piece.
#[tokio::test]
async fn piece_is_the_whole_body_or_none_and_body_stays() {
    for (mut body, piece, whole) in [
        (AnyBody::new(Full::from("body")), Some("body"), "body"),
        (AnyBody::new(Full::from("")), None, ""),
        (frames(&["body"]), None, "body"),
        (frames(&["bo", "dy"]), None, "body"),
        (frames(&[]), None, ""),
        (
            AnyBody::new(AnyBody::new(Full::from("body"))),
            Some("body"),
            "body",
        ),
    ] {
        for _ in 0..4 {
            let read = body.in_one_piece();
            assert_eq!(read.as_deref(), piece.map(str::as_bytes), "{whole}");
        }
        assert_eq!(text(body).await, whole);
    }
}
