//! The counts of an upstream.

use std::collections::BTreeMap;

/// Counts connections, requests, answers and streams since the start of an upstream.
///
/// `streams_started` is always the sum of the three ways in which a stream ends, and of those that
/// still run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Requests read to their end.
    pub requests: u64,
    /// Answers by status. A reset and a silence are no answers.
    pub answers: BTreeMap<u16, u64>,
    /// Answers with a status from 200 to 299.
    pub ok: u64,
    /// Answers with status 429.
    pub rate_limited: u64,
    /// Streams of which the head was sent.
    pub streams_started: u64,
    /// Streams that were sent as planned, truncated streams and error events included.
    pub streams_completed: u64,
    /// Streams that the upstream broke: scripted cuts and killed connections.
    pub streams_cut: u64,
    /// Streams that the client cancelled, or that ended with the client's connection.
    pub streams_aborted: u64,
}

impl Counts {
    /// Returns how many answers had `status`.
    #[must_use]
    pub fn answered(&self, status: u16) -> u64 {
        self.answers.get(&status).copied().unwrap_or_default()
    }

    /// Counts an answer by its status.
    pub(crate) fn count_answer(&mut self, status: http::StatusCode) {
        *self.answers.entry(status.as_u16()).or_default() += 1;
        self.ok += u64::from(status.is_success());
        self.rate_limited += u64::from(status == http::StatusCode::TOO_MANY_REQUESTS);
    }
}
