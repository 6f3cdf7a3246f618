//! A request in the log of an upstream.

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use tokio::time::Instant;

/// Holds a request as it reached an upstream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// When its head arrived.
    pub at: Instant,
    /// Which connection brought it: 1 is the first one that the upstream accepted.
    pub connection: u64,
    /// Its method.
    pub method: Method,
    /// Its path and query, as sent.
    pub path_and_query: String,
    /// Its protocol version: HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

impl Received {
    /// Returns its path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        let end = self.path_and_query.find('?');
        &self.path_and_query[..end.unwrap_or(self.path_and_query.len())]
    }

    /// Returns the first header called `name`, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns whether `text` occurs anywhere in it: path, query, header names and values, body.
    ///
    /// The way to show that a credential did not travel along.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        let within = |bytes: &[u8]| {
            text.is_empty()
                || bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
        };
        within(self.path_and_query.as_bytes())
            || within(&self.body)
            || (self.headers.iter())
                .any(|(name, value)| within(name.as_str().as_bytes()) || within(value.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[tokio::test(start_paused = true)]
    async fn looks_for_text_everywhere() {
        let received = Received {
            at: Instant::now(),
            connection: 1,
            method: Method::POST,
            path_and_query: "/v1/path?key=in-query".to_owned(),
            version: Version::HTTP_11,
            headers: [(
                "x-in-name".parse().unwrap(),
                HeaderValue::from_static("in-value"),
            )]
            .into_iter()
            .collect(),
            body: Bytes::from_static(b"in-body"),
        };
        for text in ["/path", "in-query", "x-in-name", "in-value", "in-body", ""] {
            assert!(received.contains(text), "{text}");
        }
        assert!(!received.contains("nowhere"));
        assert_eq!(received.path(), "/v1/path");
        assert_eq!(received.header("X-In-Name"), Some("in-value"));
    }
}
