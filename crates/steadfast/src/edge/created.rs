//! The id of an object that an answer reports as stored.
//!
//! Only the endpoint of the answer knows the object, so later requests that name it go there.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use steadfast_core::{BoxError, EndpointName};

use crate::body::FRAME;
use crate::content_type::is_json;
use crate::edge::body::EdgeBody;
use crate::homes::Homes;
use crate::json::field;
use crate::state_id::StateId;

/// An object is described in fewer bytes. A longer answer is passed on unread.
const MAX_OBJECT: usize = 64 * 1024;

/// The answer may report a stored object. In the extensions of a request.
#[derive(Clone, Debug)]
pub(crate) struct Creates {
    /// The endpoints of stored objects.
    pub(crate) homes: Arc<Homes>,
    /// The hash of the credential of the caller.
    pub(crate) caller: Option<NonZeroU64>,
}

impl Creates {
    /// Remembers the endpoint of the object with this id, as written in an answer.
    pub(crate) fn remember(&self, id: &[u8], at: &EndpointName) {
        let id = StateId::of_usual(id);
        if let Some(id) = id.as_ref().and_then(StateId::text) {
            self.homes.remember(self.caller, id, at);
        }
    }

    /// Remembers the object of a stream. The frames that were read for its verdict contain the id.
    pub(crate) fn read_start<B>(&self, body: &EdgeBody<B>, at: &EndpointName)
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        if let Some(id) = id_in_events(&body.joined()) {
            self.remember(id, at);
        }
    }

    /// Remembers the object in an answer that nothing else reads. A small object is read.
    pub(crate) async fn read_object<B>(
        &self,
        response: &mut Response<EdgeBody<B>>,
        at: &EndpointName,
    ) where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        if response.status().is_success() && is_json(response.headers()) {
            let body = response.body_mut();
            read_small(body).await;
            if let Some(id) = field(&body.joined(), "id") {
                self.remember(id, at);
            }
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

/// Returns the id in the first events of a stream, as written.
fn id_in_events(text: &[u8]) -> Option<&[u8]> {
    let lines = text.split(|&byte| byte == b'\n' || byte == b'\r');
    let mut data = lines.filter_map(|line| line.strip_prefix(b"data:"));
    data.find_map(|data| field(field(data, "response")?, "id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_read_from_first_event() {
        for (text, expected) in [
            (
                "event: response.created\ndata: {\"response\":{\"id\":\"resp_2\"}}\n\n",
                Some("\"resp_2\""),
            ),
            (
                ": a\r\ndata:{\"a\":1}\r\n\r\ndata:{\"response\":{\"id\":\"r\"}}\r\n",
                Some("\"r\""),
            ),
            ("data: {\"response\":7}\n", None),
            ("<html>", None),
            ("", None),
        ] {
            let found = id_in_events(text.as_bytes());
            assert_eq!(found, expected.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn id_is_a_short_string() {
        let long = format!("\"{}\"", "x".repeat(257));
        for (id, known) in [
            ("\"a\"", true),
            ("7", false),
            ("\"\"", false),
            (&long, false),
        ] {
            let creates = Creates {
                homes: Arc::default(),
                caller: None,
            };
            creates.remember(id.as_bytes(), &"a".into());
            let text = id.trim_matches('"');
            assert_eq!(creates.homes.of(None, text).is_some(), known, "{id}");
        }
    }
}
