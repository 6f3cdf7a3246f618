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
fn maybe_processed_verdict_proves_nothing() {
    let verdict = Verdict::new(Class::Local);
    assert!(verdict.proves_unprocessed());
    assert!(!verdict.maybe_processed().proves_unprocessed());
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
