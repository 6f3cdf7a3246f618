//! The settings of the edge of one endpoint.
//!
//! All attempts at the endpoint share them, at the cost of two reference counts for each attempt:
//! one for the service that the balancer clones, one for the answer that may outlive it.

use std::sync::Arc;

use steadfast_balance::{Endpoint, Rule};
use steadfast_core::layer::Observers;
use steadfast_core::{EndpointName, Event};
use steadfast_metrics::TokenUsage;

use crate::answers::Answers;
use crate::edge::latencies::Latencies;
use crate::timeouts::Timeouts;

/// The settings that all attempts at one endpoint share.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The limits of each attempt.
    pub(crate) timeouts: Timeouts,
    /// Whether whole answers and streams are checked.
    pub(crate) answers: Answers,
    /// The rules of the user. `None` without any.
    pub(crate) rules: Option<Arc<[Rule]>>,
    /// Its name in events and errors.
    pub(crate) endpoint: EndpointName,
    /// Notified of broken streams.
    pub(crate) observers: Observers,
    /// The latencies of its successes.
    pub(crate) latencies: Latencies,
    /// Counts the tokens of whole answers.
    pub(crate) usage: TokenUsage,
}

impl Settings {
    /// Creates the settings of an endpoint.
    pub(crate) fn new(
        endpoint: &Endpoint,
        timeouts: Timeouts,
        answers: Answers,
        observers: Observers,
    ) -> Self {
        let rules = endpoint.rules();
        Self {
            timeouts,
            answers,
            rules: (!rules.is_empty()).then(|| rules.into()),
            endpoint: endpoint.name().clone(),
            observers,
            latencies: Latencies::new(),
            usage: TokenUsage::new(endpoint.name().clone()),
        }
    }

    /// Reports a stream that broke after its first visible token.
    pub(crate) fn stream_broke(&self, reason: &str, after_tokens: u64) {
        self.observers.emit(&Event::StreamBroken {
            endpoint: self.endpoint.clone(),
            reason: reason.to_owned(),
            after_tokens,
        });
    }
}
