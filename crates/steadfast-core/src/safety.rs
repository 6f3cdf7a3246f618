use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};

/// The rule for requests that are safe to repeat although they may have been processed.
///
/// Retries and hedges share this rule. Cheap to clone.
#[derive(Clone, Default)]
pub struct Safety(Rule);

#[derive(Clone, Default)]
enum Rule {
    #[default]
    Idempotent,
    Always,
    When(Arc<dyn Fn(&Parts) -> bool + Send + Sync>),
}

impl Safety {
    /// Requests with an idempotent method, and `POST` and `PATCH` requests with an
    /// `idempotency-key` header. The default.
    #[must_use]
    pub const fn idempotent() -> Self {
        Self(Rule::Idempotent)
    }

    /// All requests. Use this only if a repeated request does no harm.
    #[must_use]
    pub const fn always() -> Self {
        Self(Rule::Always)
    }

    /// Requests for which `is_safe` returns `true`.
    #[must_use]
    pub fn when(is_safe: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        Self(Rule::When(Arc::new(is_safe)))
    }

    /// Returns whether the request with this head is safe to repeat.
    #[must_use]
    pub fn allows(&self, head: &Parts) -> bool {
        match &self.0 {
            Rule::Idempotent => {
                head.method.is_idempotent() || has_idempotency_key(&head.headers, &head.method)
            }
            Rule::Always => true,
            Rule::When(is_safe) => is_safe(head),
        }
    }
}

/// The largest number of headers that are compared one by one.
const FEW: usize = 16;

/// Parsed once: a search by its text would parse it for each request.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header has a meaning for `POST` and `PATCH` only.
fn has_idempotency_key(headers: &HeaderMap, method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PATCH) && has(headers, &IDEMPOTENCY_KEY)
}

/// Returns whether a header is present. Among a few headers, its hash would cost the most.
fn has(headers: &HeaderMap, name: &HeaderName) -> bool {
    match headers.keys_len() {
        0..=FEW => headers.keys().any(|own| own == name),
        _ => headers.contains_key(name),
    }
}

impl fmt::Debug for Safety {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Rule::Idempotent => "Safety::idempotent()",
            Rule::Always => "Safety::always()",
            Rule::When(_) => "Safety::when(_)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(method: Method, key: bool) -> Parts {
        let mut request = Request::builder().method(method);
        if key {
            request = request.header("idempotency-key", "1");
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn idempotency_key_counts_for_post_and_patch_only() {
        for (method, key, safe) in [
            (Method::GET, false, true),
            (Method::PUT, false, true),
            (Method::DELETE, false, true),
            (Method::POST, false, false),
            (Method::POST, true, true),
            (Method::PATCH, true, true),
            (Method::CONNECT, true, false),
        ] {
            let mut head = head(method.clone(), key);
            assert_eq!(
                Safety::default().allows(&head),
                safe,
                "{method}, key: {key}"
            );
            // Among many headers, the search is another one.
            for n in 0..FEW {
                let name = HeaderName::try_from(format!("x-{n}")).expect("a name");
                head.headers.insert(name, n.into());
            }
            assert_eq!(
                Safety::default().allows(&head),
                safe,
                "{method}, key: {key}"
            );
        }
    }

    #[test]
    fn closure_replaces_the_rule() {
        let only_posts = Safety::when(|head| head.method == Method::POST);
        assert!(only_posts.allows(&head(Method::POST, false)));
        assert!(!only_posts.allows(&head(Method::GET, false)));
        assert!(Safety::always().allows(&head(Method::POST, false)));
    }
}
