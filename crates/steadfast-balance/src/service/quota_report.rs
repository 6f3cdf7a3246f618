//! The effect of an outcome on the quotas that its endpoint reports.

use std::time::SystemTime;

use http::HeaderMap;
use steadfast_core::{Class, RateLimit};
use tokio::time::Instant;

use crate::service::load_guard::{AttemptOutcome, LoadGuard};

impl LoadGuard {
    /// Learns the quotas that the headers of a response report, and returns them.
    #[inline]
    pub(super) fn learn_quota<'a>(
        &self,
        headers: &'a HeaderMap,
        now: Instant,
    ) -> Option<RateLimit<'a>> {
        if !RateLimit::may_be_in(headers) {
            return None;
        }
        let limit = RateLimit::from_headers(headers, SystemTime::now());
        let endpoint = &*self.endpoint.state;
        let own = endpoint.limits.own(&self.tickets);
        own.limits.quota.learn(&limit, endpoint.since_start(now));
        Some(limit)
    }

    /// Learns the quotas that the headers of a failure report, as the headers of a success do.
    ///
    /// A refusal is a hypothesis, and the evidence may contradict it. Beside a rejected credential,
    /// a server may report the quota of its unknown callers.
    pub(super) fn learn_quota_of_failure(&self, class: Class, headers: &HeaderMap) {
        let is_trusted = !matches!(
            class,
            Class::Overloaded | Class::QuotaExhausted | Class::RateLimited | Class::Unauthorized
        );
        if is_trusted {
            self.learn_quota(headers, Instant::now());
        }
    }

    /// Returns the tokens of an attempt that has used none.
    ///
    /// Servers bill no answer with the status of an error. Only a time limit on the way to the
    /// server leaves that open.
    pub(super) fn return_tokens(&self, (verdict, status): AttemptOutcome) {
        let is_error = status.is_some_and(|it| it.is_client_error() || it.is_server_error());
        let is_answered = is_error && verdict.class() != Class::Timeout;
        if is_answered || verdict.proves_unprocessed() {
            self.endpoint.state.limits.unserved(&self.tickets);
        }
    }
}
