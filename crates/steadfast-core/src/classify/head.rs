use std::fmt;

use http::{Extensions, HeaderMap, Response, StatusCode};

use crate::verdict::Verdict;

/// The head of a response, as a classifier reads it.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    extensions: Option<&'a Extensions>,
}

impl<'a> Head<'a> {
    /// Creates a head without extensions.
    #[must_use]
    pub fn new(status: StatusCode, headers: &'a HeaderMap) -> Self {
        Self {
            status,
            headers,
            extensions: None,
        }
    }

    /// Returns the head of `response`.
    #[must_use]
    pub fn of<B>(response: &'a Response<B>) -> Self {
        Self {
            status: response.status(),
            headers: response.headers(),
            extensions: Some(response.extensions()),
        }
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the verdict of a classifier nearer to the client, if there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.extensions?.get().copied()
    }
}

/// Values of headers are not printed: they may be secret, such as the ones of `set-cookie`.
impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("status", &self.status)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("verdict", &self.verdict())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value_of_a_header() {
        let mut headers = HeaderMap::new();
        headers.insert("set-cookie", "secret".parse().expect("a value"));
        let head = Head::new(StatusCode::OK, &headers);
        assert_eq!(
            format!("{head:?}"),
            "Head { status: 200, headers: [\"set-cookie\"], verdict: None }"
        );
    }
}
