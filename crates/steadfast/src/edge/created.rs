//! The id of an object that an answer reports as stored.
//!
//! Only the endpoint of the answer knows the object, so later requests that name it go there.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body::Body;
use steadfast_core::{BoxError, EndpointName};

use crate::edge::body::{EdgeBody, FRAME};
use crate::homes::Homes;
use crate::json::{field, plain_text};

/// An object is described in fewer bytes. A longer answer is passed on unread.
const MAX_OBJECT: usize = 64 * 1024;
/// A longer id is not remembered.
const LONGEST: usize = 256;

/// The answer may report a stored object. In the extensions of a request.
#[derive(Clone, Debug)]
pub(crate) struct Creates {
    /// The endpoints of stored objects.
    pub(crate) homes: Arc<Homes>,
    /// The hash of the credential of the caller.
    pub(crate) caller: Option<NonZeroU64>,
}

impl Creates {
    /// Remembers the endpoint of the object in a successful answer.
    ///
    /// Of a stream, the frames that were read for its verdict contain the id. A small object is
    /// read.
    pub(crate) async fn learn<B>(&self, response: &mut Response<EdgeBody<B>>, at: &EndpointName)
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        if !response.status().is_success() {
            return;
        }
        let is_unread = response.body().read_ahead().next().is_none();
        if is_unread && has_json(response.headers()) {
            read_small(response.body_mut()).await;
        }
        let text = response.body().joined();
        let id = id_of(&text).filter(|id| (1..=LONGEST).contains(&id.len()));
        if let Some(id) = id {
            self.homes.remember(self.caller, id, at);
        }
    }
}

/// Reads a body to its end, unless it is long. An error stays in its place.
async fn read_small<B>(body: &mut EdgeBody<B>)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut size = 0;
    while let Some(Some(data)) = body.next_data().await {
        size += FRAME + data.len();
        if size > MAX_OBJECT {
            break;
        }
    }
}

/// Returns the id in an object, or in the first events of a stream.
fn id_of(text: &[u8]) -> Option<&str> {
    if text.trim_ascii_start().starts_with(b"{") {
        return field(text, "id").and_then(plain_text);
    }
    let lines = text.split(|&byte| byte == b'\n' || byte == b'\r');
    let mut data = lines.filter_map(|line| line.strip_prefix(b"data:"));
    data.find_map(|data| field(field(data, "response")?, "id").and_then(plain_text))
}

/// Returns whether an answer is JSON by its header.
fn has_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|it| it.as_bytes());
    kind.is_some_and(|kind| kind.starts_with(b"application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_read_from_object_or_first_event() {
        for (text, expected) in [
            (r#"{"id":"file-1","object":"file"}"#, Some("file-1")),
            (r#"{"output":[{"id":"x"}],"id":"resp_1"}"#, Some("resp_1")),
            (
                "event: response.created\ndata: {\"response\":{\"id\":\"resp_2\"}}\n\n",
                Some("resp_2"),
            ),
            (
                ": a\r\ndata:{\"a\":1}\r\n\r\ndata:{\"response\":{\"id\":\"r\"}}\r\n",
                Some("r"),
            ),
            (r#"{"output":[{"id":"x"}]}"#, None),
            (r#"{"id":7}"#, None),
            (r#"{"id":"a"#, None),
            ("data: {\"response\":7}\n", None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(id_of(text.as_bytes()), expected, "{text}");
        }
    }
}
