use super::*;
use crate::{Class, SameEndpoint};
use std::time::Duration;

#[test]
fn should_retry_header_overrides_the_table() {
    for (class, should_retry, expected) in [
        (Class::RateLimited, Some(false), SameEndpoint::Never),
        (Class::RateLimited, Some(true), SameEndpoint::AfterHint),
        (Class::CallerFault, Some(true), SameEndpoint::AfterBackoff),
        (Class::ServerError, Some(true), SameEndpoint::AfterBackoff),
        (Class::ServerError, None, SameEndpoint::OnceAfterBackoff),
        (Class::Success, Some(true), SameEndpoint::Never),
    ] {
        let verdict = Verdict::new(class).with_should_retry(should_retry);
        assert_eq!(
            verdict.same_endpoint(),
            expected,
            "{class} {should_retry:?}"
        );
    }
}

#[test]
fn overloaded_proves_unprocessed_only_with_a_hint() {
    let verdict = Verdict::new(Class::Overloaded);
    assert!(!verdict.proves_unprocessed());
    assert!(verdict.with_hint(Some(Duration::ZERO)).proves_unprocessed());
}

#[test]
fn scope_is_the_limit_key_for_limits_of_a_model() {
    for (class, expected) in [
        (Class::RateLimited, Scope::Key),
        (Class::ModelUnavailable, Scope::Key),
        (Class::QuotaExhausted, Scope::Endpoint),
        (Class::Unauthorized, Scope::Endpoint),
        (Class::Overloaded, Scope::Endpoint),
    ] {
        assert_eq!(Verdict::new(class).scope(), expected, "{class}");
        for scope in [Scope::Key, Scope::Endpoint, Scope::Request] {
            let verdict = Verdict::new(class).with_scope(scope);
            assert_eq!(verdict.scope(), scope, "{class}");
            assert_ne!(verdict.with_text_origin(), verdict);
        }
    }
}

#[test]
fn maybe_processed_verdict_proves_nothing() {
    let verdict = Verdict::new(Class::Local);
    assert!(verdict.proves_unprocessed());
    assert!(!verdict.maybe_processed().proves_unprocessed());
}

#[test]
fn unsent_verdict_is_a_proof_for_any_class() {
    for class in [Class::Overloaded, Class::Transport] {
        let verdict = Verdict::new(class);
        assert!(!verdict.proves_unprocessed());
        assert!(verdict.unsent().proves_unprocessed());
    }
}

#[test]
fn classified_error_is_found_below_other_errors() {
    let inner = Classified::new(Verdict::new(Class::Connect), "refused");
    let outer = Classified::new(Verdict::new(Class::Transport), inner);
    let found = Classified::find(&outer).expect("the outermost counts");
    assert_eq!(found.verdict().class(), Class::Transport);

    let error = std::io::Error::other(Classified::new(Verdict::new(Class::Connect), "refused"));
    assert!(Classified::find(&error).is_some());
}

/// Each attempt moves its verdict several times.
#[test]
fn digest_of_request_leaves_size_unchanged() {
    let verdict = Verdict::new(Class::QuotaExhausted);
    assert_eq!(verdict.request_digest(), None);
    let digest = |value| verdict.with_request_digest(value).request_digest();
    assert_eq!(digest(0), digest(1 << 16), "never none");
    assert_ne!(digest(2), digest(3));
    assert_eq!(size_of::<Verdict>(), 24);
}
