//! The interpreter of error bodies and error events.
//!
//! The codes and texts of an error are collected from the fields of all dialects. Then the rows of
//! the tables decide about its class, in a fixed order of classes.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use steadfast_core::{Class, Classify, DefaultClassifier, Head, RateLimit, Scope, Verdict};

use crate::dialect::context::Context;
use crate::dialect::dialects::{FIELD_ROWS, rows};
use crate::dialect::evidence::Evidence;
use crate::dialect::table::{Codes, Given, Phrase};

/// The classes that an error body can prove. The first one that its rows prove applies.
const PRECEDENCE: [Class; 10] = [
    Class::QuotaExhausted,
    Class::RateLimited,
    Class::Overloaded,
    Class::ContextTooLong,
    Class::ContentPolicy,
    Class::ModelUnavailable,
    Class::Unauthorized,
    Class::Connect,
    Class::Timeout,
    Class::ServerError,
];

/// The body of an error, and the request that it answers.
#[derive(Debug)]
pub(crate) struct ErrorBody<'a> {
    context: &'a Context,
    body: &'a [u8],
    evidence: Evidence,
    status: StatusCode,
}

/// The class of an error, and its support.
struct Proof {
    class: Class,
    origin: Origin,
    scope: Option<Scope>,
    hint: Option<Duration>,
}

/// The support of a class or a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A status, a header, a code or a structured field.
    Structure,
    /// A message, which may repeat input of the caller.
    Text,
}

/// Refines the verdict on a status and its headers by the body.
///
/// `is_api` holds if the request is one that every API answers in JSON.
pub(crate) fn refine(
    verdict: Verdict,
    (status, headers): (StatusCode, &HeaderMap),
    body: &[u8],
    context: &Context,
    is_api: bool,
) -> Verdict {
    let found = match serde_json::from_slice::<Value>(body) {
        Ok(value) => Some(Evidence::of(&value, headers, &context.text)),
        Err(_) if is_api && is_of_proxy(status, verdict, body) => None,
        Err(_) => Some(Evidence::of_text(body)),
    };
    let is_foreign = found.is_none();
    let error = ErrorBody {
        evidence: found.unwrap_or_else(|| Evidence::of_text(body)),
        context,
        body,
        status,
    };
    // `retry-after` precedes the body. The reset of an empty bucket comes last.
    let explicit = RateLimit::from_headers(headers, std::time::SystemTime::now()).retry_after();
    if let Some(ruled) = context.by_rule((status, headers), (body, &error.evidence), verdict) {
        return ruled;
    }
    if is_foreign {
        // A caller can provoke a proxy, for example by words that a firewall rejects.
        return verdict.with_class(Class::ServerError).neutral();
    }
    error.judge(verdict, explicit)
}

/// Returns whether an error is of something in front of the API.
///
/// Statuses about the size of a request, and about limits, mean the same at each of them.
fn is_of_proxy(status: StatusCode, verdict: Verdict, body: &[u8]) -> bool {
    let is_limit = matches!(verdict.class(), Class::QuotaExhausted | Class::RateLimited);
    let is_kept = matches!(status.as_u16(), 400 | 408 | 413 | 414 | 431);
    let text = body.trim_ascii();
    // A body that is cut may still be JSON.
    let is_foreign = !text.is_empty() && !text.starts_with(b"{") && !text.starts_with(b"[");
    status.is_client_error() && !is_limit && !is_kept && is_foreign
}

impl<'a> ErrorBody<'a> {
    /// Reads an error that came after `200`: JSON, or a text in its place.
    pub(crate) fn of_bytes(body: &'a [u8], context: &'a Context) -> Self {
        let evidence = match serde_json::from_slice(body) {
            Ok(value) => Evidence::of(&value, &HeaderMap::new(), &context.text),
            Err(_) => Evidence::of_text(body),
        };
        Self {
            status: evidence.status().unwrap_or(StatusCode::OK),
            context,
            body,
            evidence,
        }
    }

    /// Returns the verdict on an error that came after `200`, in an event or as a whole answer.
    pub(crate) fn verdict(&self) -> Verdict {
        let headers = HeaderMap::new();
        let class = if self.has_code_of(Class::CallerFault) {
            Class::CallerFault
        } else if self.status == StatusCode::BAD_REQUEST || self.status == StatusCode::OK {
            // A lone `400` proves nothing: vLLM sends it when its engine fails.
            Class::ServerError
        } else {
            let head = Head::new(self.status, &headers);
            DefaultClassifier.classify(Ok(head)).class()
        };
        let given = Verdict::new(class);
        let own = (self.body, &self.evidence);
        let ruled = (self.context).by_rule((self.status, &headers), own, given);
        ruled.unwrap_or_else(|| self.judge(given, None))
    }

    /// Refines a verdict. An explicit hint of a header precedes the hints of the body.
    fn judge(&self, given: Verdict, explicit: Option<Duration>) -> Verdict {
        let proof = self.prove(given.class());
        let explicit = explicit.map(|hint| (hint, Origin::Structure));
        let hint = explicit.or_else(|| self.hint(proof.class));
        let value = hint.map(|(hint, _)| hint);
        let verdict =
            (given.with_class(proof.class)).with_hint(value.or(given.hint()).or(proof.hint));
        let verdict = match proof.scope.or_else(|| self.scope(&proof)) {
            Some(scope) => verdict.with_scope(scope),
            None => verdict,
        };
        match (proof.origin, hint) {
            (Origin::Text, _) => verdict.with_text_origin(),
            (_, Some((_, Origin::Text))) => verdict.with_text_hint(),
            _ => verdict,
        }
    }

    /// Returns the class of the error and its support, if its status alone means `given`.
    fn prove(&self, given: Class) -> Proof {
        let first = self.row(given, |row| row.first).map(Proof::by_row);
        first
            .or_else(|| {
                let mut classes = PRECEDENCE.into_iter();
                classes.find_map(|class| self.proof(class, given))
            })
            .unwrap_or_else(|| Proof::by_structure(given))
    }

    /// Returns the proof of `class`: the status, a code or a row.
    fn proof(&self, class: Class, given: Class) -> Option<Proof> {
        let by_code = match class {
            Class::QuotaExhausted => is_refusal(given),
            Class::Unauthorized => given != Class::ServerError,
            _ => true,
        };
        let by_status = matches!(class, Class::QuotaExhausted | Class::RateLimited);
        if by_status && given == class || by_code && self.has_code_of(class) {
            return Some(Proof::by_structure(class));
        }
        self.row(given, |row| !row.first && row.class == class)
            .map(Proof::by_row)
    }

    /// Returns the first row that matches.
    fn row(&self, given: Class, is_wanted: impl Fn(&Phrase) -> bool) -> Option<&'static Phrase> {
        let mut all = FIELD_ROWS.phrases.iter().filter(|row| is_wanted(row));
        all.find(|row| self.matches(row, given)).copied()
    }

    /// Returns the state that the error concerns, if the body reports it.
    fn scope(&self, proof: &Proof) -> Option<Scope> {
        let is_limit = matches!(proof.class, Class::QuotaExhausted | Class::RateLimited);
        if is_limit && self.evidence.names_model {
            return Some(Scope::Key);
        }
        // Only the caller is at fault for such a status. A message cannot blame the endpoint.
        let is_about_request = matches!(self.status.as_u16(), 400 | 404 | 413 | 422);
        if proof.origin == Origin::Text && is_about_request && concerns_others(proof.class) {
            return Some(Scope::Request);
        }
        let is_wide = proof.class == Class::RateLimited
            && rows(|dialect| dialect.account_texts)
                .any(|start| self.has_start(start) && !self.context.text.may_contain(start));
        is_wide.then_some(Scope::Endpoint)
    }

    /// Returns whether all conditions of a row hold.
    fn matches(&self, row: &Phrase, given: Class) -> bool {
        let is_given = match row.given {
            Given::Any => true,
            Given::CallerFault => given == Class::CallerFault,
            Given::NotFound => self.status == StatusCode::NOT_FOUND,
            Given::RateLimited => {
                given == Class::RateLimited
                    || is_refusal(given) && self.has_code_of(Class::RateLimited)
            }
            Given::Refusal => is_refusal(given),
            Given::ServerError => given == Class::ServerError,
        };
        let statuses = row.statuses;
        is_given
            && (statuses.is_empty() || statuses.contains(&self.status.as_u16()))
            && self.has_codes(&row.codes)
            && self.has_start(row.begins)
            && (self.evidence.texts.iter()).any(|text| text.contains(row.contains))
            && !(concerns_others(row.class)
                && row.scope != Some(Scope::Request)
                && self.is_repeated(row))
    }

    /// Returns whether one of the texts begins with `start`.
    fn has_start(&self, start: &str) -> bool {
        let mut texts = self.evidence.texts.iter();
        start.is_empty() || texts.any(|text| text.starts_with(start))
    }

    /// Returns whether the request may contain a part of the text.
    fn is_repeated(&self, row: &Phrase) -> bool {
        let mut parts = [row.begins, row.contains].into_iter();
        parts.any(|part| !part.is_empty() && self.context.text.may_contain(part))
    }

    /// Returns whether the body has one of these codes.
    fn has_codes(&self, codes: &Codes) -> bool {
        let own = &self.evidence.codes;
        match *codes {
            Codes::Any => true,
            Codes::One(codes) => own.iter().any(|code| codes.contains(&&**code)),
            Codes::Exactly(codes) => own == codes,
        }
    }

    /// Returns how long an error of this class asks to wait, and the support of this hint.
    ///
    /// Text counts only if a status or a code proves a limit, and the request contains no such
    /// text.
    fn hint(&self, class: Class) -> Option<(Duration, Origin)> {
        if let Some(hint) = self.evidence.hint {
            return Some((hint, Origin::Structure));
        }
        if class != Class::RateLimited && !self.has_code_of(Class::QuotaExhausted) {
            return None;
        }
        let hint = self.evidence.hint_in_text()?;
        (!self.context.text.may_contain_hint()).then_some((hint, Origin::Text))
    }

    /// Returns whether the body has a code of this class.
    fn has_code_of(&self, class: Class) -> bool {
        let all = FIELD_ROWS.codes_of(class);
        (self.evidence.codes.iter()).any(|own| all.contains(&&**own))
    }
}

impl Proof {
    /// The proof by a status or a code.
    fn by_structure(class: Class) -> Self {
        Self {
            class,
            origin: Origin::Structure,
            scope: None,
            hint: None,
        }
    }

    /// The proof by a row, which has a text.
    fn by_row(row: &Phrase) -> Self {
        Self {
            class: row.class,
            origin: Origin::Text,
            scope: row.scope,
            hint: row.hint,
        }
    }
}

/// Returns whether an error of this class changes state that other requests share.
///
/// A missing model concerns only requests for that model.
fn concerns_others(class: Class) -> bool {
    matches!(
        class,
        Class::QuotaExhausted
            | Class::RateLimited
            | Class::Overloaded
            | Class::Unauthorized
            | Class::Connect
            | Class::Timeout
            | Class::ServerError
    )
}

/// Whether an error with this status may be a refusal for a spent quota.
fn is_refusal(given: Class) -> bool {
    matches!(
        given,
        Class::RateLimited
            | Class::Unauthorized
            | Class::CallerFault
            | Class::QuotaExhausted
            | Class::ServerError
    )
}

#[cfg(test)]
mod tests;
