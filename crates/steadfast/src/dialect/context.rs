//! The facts beside a reply that decide about its verdict.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use steadfast_balance::Rule;
use steadfast_core::Verdict;

use crate::dialect::evidence::Evidence;
use crate::dialect::request_text::RequestText;

/// The part of an answer that rules of the user search.
const MAX_RULED: usize = 64 * 1024;

/// The request of a reply, and the rules of its endpoint.
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// The text of the request, which an error may repeat.
    pub(crate) text: RequestText,
    /// The rules of the user. `None` for most endpoints, which costs no reference count.
    pub(crate) rules: Option<Arc<[Rule]>>,
}

impl Context {
    /// Returns the verdict of the first rule of the user that matches.
    ///
    /// A text of a rule is no evidence if the request contains it, as for the rows of the tables.
    pub(super) fn by_rule(
        &self,
        head: (StatusCode, &HeaderMap),
        (body, evidence): (&[u8], &Evidence),
        given: Verdict,
    ) -> Option<Verdict> {
        let rules = self.rules.as_deref()?;
        let body = String::from_utf8_lossy(body).to_ascii_lowercase();
        let has_code = |code: &str| evidence.codes.iter().any(|own| own == code);
        let has_text = |text: &str| body.contains(text) && !self.text.may_contain(text);
        let mut all = rules.iter();
        let rule = all.find(|rule| rule.matches(head, !given.is_success(), has_code, has_text))?;
        Some(rule.verdict(given))
    }

    /// Returns the verdict of a rule on an answer that is as requested otherwise.
    pub(crate) fn by_rule_on_success(
        &self,
        head: (StatusCode, &HeaderMap),
        body: &[u8],
    ) -> Option<Verdict> {
        self.rules.as_ref()?;
        // No tree of a large answer is built.
        let value = (body.len() <= MAX_RULED).then(|| serde_json::from_slice(body).ok());
        let body = &body[..body.len().min(MAX_RULED)];
        let evidence = match value.flatten() {
            Some(value) => Evidence::of(&value, head.1, &self.text),
            None => Evidence::of_text(body),
        };
        self.by_rule(head, (body, &evidence), Verdict::SUCCESS)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::body::{AnyBody, RequestBody};
    use http::Request;
    use http_body_util::Full;

    /// Returns the context of a reply to a request with this body.
    pub(crate) fn context_of(body: &'static str) -> Context {
        let body = RequestBody::new(AnyBody::new(Full::from(body)), 1024);
        let request = Request::builder().uri("/v1/chat/completions").body(body);
        Context {
            text: RequestText::of(&request.expect("a request")),
            rules: None,
        }
    }
}
