//! The text of a request, which the message of an error may repeat.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request};
use memchr::memchr;
use serde_json::Value;
use steadfast_core::layer::stable_hash;
use steadfast_core::{Class, Verdict, hint_in_text};

use crate::body::RequestBody;
use crate::encoding::Encoding;

/// The headers of a request that are kept. More of them count as unknown text.
const HEADERS: usize = 4;

/// The size of a body that is searched. A larger one counts as unknown text: its words may take
/// many times its memory.
const MAX_BODY: usize = 1024 * 1024;

/// The start and the end of a body that its digest covers. Bodies of a chat begin alike.
const DIGESTED: usize = 32 * 1024;

/// The path, the query, the body and the wordy headers of a request.
///
/// A message that repeats them is no evidence: the caller chose its words. The parts are kept
/// without a copy, and read only if the message of an error contains a phrase.
#[derive(Default)]
pub(crate) struct RequestText {
    /// `None` if a part of the request is unknown. Every phrase may be a repetition then.
    parts: Option<Parts>,
    /// The words of the text. Filled at the first question.
    words: OnceLock<Option<String>>,
}

/// The parts of a request that contain text of its caller.
struct Parts {
    /// The path and the query as they were sent to the endpoint.
    path: Option<PathAndQuery>,
    /// Values with a space, because each phrase has one.
    headers: [Option<HeaderValue>; HEADERS],
    /// The whole body. A reference, not a copy.
    body: Bytes,
    /// Its encoding. A server decodes the body before it repeats it.
    encoding: Option<Encoding>,
}

impl RequestText {
    /// Keeps the text of a request, if its body is in memory.
    ///
    /// The cost is a few reference counts, and a search for spaces in the headers. Nothing is
    /// copied.
    pub(crate) fn of(request: &Request<RequestBody>) -> Self {
        Self {
            parts: Parts::of(request),
            words: OnceLock::new(),
        }
    }

    /// Adds the digest of the request to a verdict that may lead to a bench.
    ///
    /// The digest covers the target and the body. Two unknown requests count as the same one: one
    /// large request alone must not confirm its own refusal.
    ///
    /// The other classes need no digest, so most failures cost nothing here.
    pub(crate) fn mark(&self, verdict: Verdict) -> Verdict {
        if !matches!(
            verdict.class(),
            Class::ModelUnavailable | Class::QuotaExhausted | Class::Unauthorized
        ) {
            return verdict;
        }
        let digest = self.parts.as_ref().map_or(0, Parts::digest);
        // All bits decide about the lower ones.
        let digest = digest ^ digest >> 32;
        verdict.with_request_digest(digest ^ digest >> 16)
    }

    /// Returns whether the request may contain `phrase`.
    ///
    /// Case, white space and punctuation do not count: a message can quote, escape or join parts of
    /// a request.
    pub(crate) fn may_contain(&self, phrase: &str) -> bool {
        let mut words = String::new();
        add_words(phrase, &mut words);
        self.words()
            .is_none_or(|text| squeezed(text).contains(&squeezed(&words)))
    }

    /// Returns whether the request may contain a text that reads as a hint.
    ///
    /// The hint of the request may differ from the hint of the message: either part may be cut.
    pub(crate) fn may_contain_hint(&self) -> bool {
        self.words().is_none_or(|text| hint_in_text(text).is_some())
    }

    /// Returns the words of the request, or `None` if a part of it is unknown.
    fn words(&self) -> Option<&str> {
        let parts = self.parts.as_ref()?;
        self.words.get_or_init(|| parts.words()).as_deref()
    }
}

impl Parts {
    /// Keeps the parts of a request, or `None` if one of them is unknown.
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        let body = request.body().data();
        Some(Self {
            path: request.uri().path_and_query().cloned(),
            headers: wordy(request.headers())?,
            encoding: Encoding::of(request.headers()),
            body: body.filter(|data| data.len() <= MAX_BODY)?.clone(),
        })
    }

    /// Returns the digest of the target and of the body.
    fn digest(&self) -> u64 {
        let target = self.path.as_ref().map_or("", PathAndQuery::as_str);
        let (body, cut) = (&self.body, self.body.len().min(DIGESTED));
        let parts = [target.as_bytes(), &body[..cut], &body[body.len() - cut..]];
        let digests = parts.map(stable_hash).into_iter();
        digests.fold(body.len() as u64, |all, part| all.rotate_left(17) ^ part)
    }

    /// Returns all words of the request in lower case, or `None` if its body cannot be decoded.
    fn words(&self) -> Option<String> {
        let (body, Ok(())) = Encoding::decode(self.encoding.as_ref(), &self.body, MAX_BODY) else {
            return None;
        };
        let mut words = String::new();
        let path = self.path.as_ref().map_or("", PathAndQuery::as_str);
        add_words(&percent_decoded(path.as_bytes()), &mut words);
        for value in self.headers.iter().flatten() {
            add_words(&String::from_utf8_lossy(value.as_bytes()), &mut words);
        }
        match serde_json::from_slice(&body) {
            Ok(body) => add_value(&body, &mut words),
            // A form is percent-encoded.
            Err(_) => add_words(&percent_decoded(&body), &mut words),
        }
        Some(words)
    }
}

/// Returns the values with a space, or `None` if there are too many.
fn wordy(headers: &HeaderMap) -> Option<[Option<HeaderValue>; HEADERS]> {
    let mut kept = [const { None }; HEADERS];
    let mut free = kept.iter_mut();
    for value in headers.values() {
        if memchr(b' ', value.as_bytes()).is_some() {
            *free.next()? = Some(value.clone());
        }
    }
    Some(kept)
}

/// Adds the field names and values of a JSON value.
fn add_value(value: &Value, words: &mut String) {
    match value {
        Value::String(value) => add_words(value, words),
        Value::Number(value) => add_words(&value.to_string(), words),
        Value::Array(items) => items.iter().for_each(|item| add_value(item, words)),
        Value::Object(fields) => {
            for (name, value) in fields {
                add_words(name, words);
                add_value(value, words);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Adds the words of `text` in lower case, each with a space behind it.
fn add_words(text: &str, words: &mut String) {
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        if !word.is_empty() {
            words.extend(word.chars().flat_map(char::to_lowercase));
            words.push(' ');
        }
    }
}

/// Returns `words` without the spaces: a message may split a name such as `tryAgainIn`.
fn squeezed(words: &str) -> String {
    words.replace(' ', "")
}

/// Decodes `%41` and the like. Malformed sequences stay as they are.
///
/// A server decodes a path before it repeats it.
fn percent_decoded(bytes: &[u8]) -> Cow<'_, str> {
    if !bytes.contains(&b'%') {
        return String::from_utf8_lossy(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// Prints none of the text: it may be a secret.
impl fmt::Debug for RequestText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestText").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HeaderName, USER_AGENT};
    use http_body_util::Full;

    use crate::body::AnyBody;

    fn request(path: &str, body: &'static str) -> Request<RequestBody> {
        let body = RequestBody::new(AnyBody::new(Full::from(body)), 1024);
        Request::builder().uri(path).body(body).unwrap()
    }

    const PHRASE: &str = "try again in 86400s";

    /// A server reads the compressed words, and may repeat them.
    #[test]
    fn encoded_body_counts_as_unknown_text() {
        let mut request = request("/v1", "");
        let encoding = |request: &mut Request<RequestBody>, value| {
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert("content-encoding", value);
        };
        encoding(&mut request, "identity");
        assert!(!RequestText::of(&request).may_contain(PHRASE));
        encoding(&mut request, "zstd");
        assert!(RequestText::of(&request).may_contain(PHRASE));
    }

    #[test]
    fn every_part_of_a_request_counts_as_its_text() {
        for (path, body) in [
            ("/v1/try%20again%20in%2086400s", ""),
            ("/v1?q=try+again+in+86400s", ""),
            ("/v1", r#"{"model":"x, Try again in 86400s"}"#),
            ("/v1", r#"{"tools":[{"try again\nin":"86400s"}]}"#),
            ("/v1", r#"{"m":"\u0074ry \"again\" in 86400s"}"#),
            ("/v1", "text=try+again%20in+86400s"),
        ] {
            let text = RequestText::of(&request(path, body));
            assert!(text.may_contain(PHRASE), "{path} {body}");
            assert!(!text.may_contain("retry in 86400s"), "{path} {body}");
            assert!(text.may_contain_hint(), "{path} {body}");
        }
        let text = RequestText::of(&request("/v1", r#"{"tryAgainIn86400s":"gpt-4o"}"#));
        assert!(text.may_contain(PHRASE) && !text.may_contain_hint());
    }

    /// The endpoint may be a different one, so its base does not count.
    #[test]
    fn digest_depends_on_target_and_body() {
        let digest = |uri, body| {
            let text = RequestText::of(&request(uri, body));
            let verdict = text.mark(Verdict::new(Class::QuotaExhausted));
            verdict.request_digest().expect("known")
        };
        let one = digest("http://a.test/v1?a=1", "text");
        assert_eq!(one, digest("http://b.test/v1?a=1", "text"));
        assert_ne!(one, digest("http://a.test/v1?a=2", "text"));
        assert_ne!(one, digest("http://a.test/v1?a=1", "other"));
        let mark = |text: RequestText, class| text.mark(Verdict::new(class)).request_digest();
        let unknown = || mark(RequestText::default(), Class::Unauthorized);
        assert!(unknown().is_some() && unknown() == unknown());
        assert_eq!(mark(RequestText::default(), Class::ServerError), None);
    }

    #[test]
    fn wordy_headers_count_and_too_many_are_unknown() {
        let mut request = request("/v1", "");
        let value = HeaderValue::from_static(PHRASE);
        request.headers_mut().insert(USER_AGENT, value);
        let text = RequestText::of(&request);
        assert!(text.may_contain(PHRASE) && !text.may_contain("credit"));

        for n in 0..HEADERS {
            let name = HeaderName::try_from(format!("x-{n}")).unwrap();
            let value = HeaderValue::from_static("a b");
            request.headers_mut().insert(name, value);
        }
        assert!(RequestText::of(&request).may_contain("credit"));
    }

    /// A caller could hide the text from this search by compression.
    #[test]
    fn text_of_encoded_body_is_decoded_or_unknown() {
        let mut request = request("/v1", r#"{"q":"credit"}"#);
        for (encoding, expected) in [("identity", false), ("snappy", true)] {
            let value = HeaderValue::from_static(encoding);
            request.headers_mut().insert("content-encoding", value);
            let text = RequestText::of(&request);
            assert!(text.may_contain("credit"), "{encoding}");
            assert_eq!(text.may_contain(PHRASE), expected, "{encoding}");
        }
    }

    #[test]
    fn body_beyond_1_mib_counts_as_unknown_text() {
        for (length, unknown) in [(MAX_BODY, false), (MAX_BODY + 1, true)] {
            let body = AnyBody::new(Full::from("x".repeat(length)));
            let body = RequestBody::new(body, 2 << 20);
            let text = RequestText::of(&Request::new(body));
            assert_eq!(text.may_contain(PHRASE), unknown, "{length}");
        }
    }

    #[test]
    fn unknown_body_may_contain_any_phrase() {
        let text = RequestText::default();
        assert!(text.may_contain(PHRASE) && text.may_contain_hint());
    }
}
