//! Errors of proxies and CDNs in front of an API: Cloudflare, Envoy, HAProxy, nginx, AWS.
//!
//! ```text
//! upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, …
//! error code: 1033
//! ```
//!
//! Statuses decide about most of them. The interpreter treats other 4xx with such a body as a
//! failure.

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// Proxies and CDNs, as far as their texts have more to report than their statuses.
pub(crate) static DIALECT: Dialect = Dialect {
    phrases: &[
        // Envoy.
        Phrase::begins("no healthy upstream", Given::Any, Class::Connect).with_statuses(&[503]),
        Phrase::begins("upstream connect error", Given::Any, Class::Connect)
            .and_contains("connection failure")
            .with_statuses(&[503]),
        // HAProxy.
        Phrase::begins(
            "<html><body><h1>503 service unavailable</h1>",
            Given::Any,
            Class::Connect,
        )
        .and_contains("no server is available")
        .with_statuses(&[503]),
        // Cloudflare: a tunnel or a name that does not resolve.
        Phrase::begins("error code: 1033", Given::Any, Class::Connect).with_statuses(&[530]),
        Phrase::begins("error code: 1016", Given::Any, Class::Connect).with_statuses(&[530]),
        // The gateway of AWS: the quota of a usage plan.
        Phrase::begins("limit exceeded", Given::RateLimited, Class::QuotaExhausted),
    ],
    ..Dialect::NONE
};
