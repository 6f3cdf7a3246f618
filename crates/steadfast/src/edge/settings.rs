//! The settings of the edge of one endpoint.
//!
//! All attempts at the endpoint share them, at the cost of two reference counts for each attempt:
//! one for the service that the balancer clones, one for the answer that may outlive it.

use std::fmt;
use std::sync::Arc;

use steadfast_balance::{Endpoint, Rule};
use steadfast_core::layer::{Observers, verdict_of_error};
use steadfast_core::{BoxError, Classified, EndpointName, Event};
use steadfast_metrics::TokenUsage;

use crate::answers::{Answers, StreamMode};
use crate::edge::latencies::Latencies;
use crate::edge::memory::Memory;
use crate::timeouts::Timeouts;

/// The settings that all attempts at one endpoint share.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The settings of the stack.
    pub(crate) shared: Shared,
    /// The rules of the user. `None` without any.
    pub(crate) rules: Option<Arc<[Rule]>>,
    /// Its name in events and errors.
    pub(crate) endpoint: EndpointName,
    /// The latencies of its successes.
    pub(crate) latencies: Latencies,
    /// Counts the tokens of whole answers.
    pub(crate) usage: TokenUsage,
}

/// The settings that the edges of all endpoints have in common.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// The limits of each attempt.
    pub(crate) timeouts: Timeouts,
    /// Whether whole answers are checked.
    pub(crate) answers: Answers,
    /// When streams are passed on.
    pub(crate) streams: StreamMode,
    /// Notified of broken streams.
    pub(crate) observers: Observers,
    /// The memory of the answers that are held.
    pub(crate) memory: Memory,
}

impl Settings {
    /// Creates the settings of an endpoint.
    pub(crate) fn new(endpoint: &Endpoint, shared: Shared) -> Self {
        let rules = endpoint.rules();
        Self {
            shared,
            rules: (!rules.is_empty()).then(|| rules.into()),
            endpoint: endpoint.name().clone(),
            latencies: Latencies::new(),
            usage: TokenUsage::new(endpoint.name().clone()),
        }
    }

    /// Reports a stream that broke after its first visible token. Returns the error of its body,
    /// which names the endpoint and the reason.
    pub(crate) fn stream_broke(&self, error: BoxError, after_tokens: u64) -> BoxError {
        let at = format_args!("after {after_tokens} tokens");
        let (reason, error) = self.named(error, at);
        self.shared.observers.emit(&Event::StreamBroken {
            endpoint: self.endpoint.clone(),
            reason,
            after_tokens,
        });
        error
    }

    /// Returns the error of a stream that broke before its first visible token, behind its head.
    ///
    /// It is no event of a broken stream: the attempt has failed as a whole.
    pub(crate) fn preamble_broke(&self, error: BoxError) -> BoxError {
        self.named(error, format_args!("before its first token")).1
    }

    /// Returns the reason of an error, and an error that names the endpoint and the reason.
    fn named(&self, error: BoxError, at: fmt::Arguments<'_>) -> (String, BoxError) {
        let verdict = verdict_of_error(&error);
        let own = Classified::find(&*error).and_then(Classified::reason);
        let reason = own.map_or_else(|| verdict.class().to_string(), ToOwned::to_owned);
        let text = format!("the stream of {} broke {at}: {reason}", self.endpoint);
        let named = Classified::new(verdict, error).with_reason(&text);
        (reason, named.into())
    }
}
