use super::*;
use BreakerEffect::{Failure, Neutral, Success};
use OtherEndpoint::{Any, LargerContext, OtherCredential};
use SameEndpoint::{AfterBackoff, AfterHint, OnceAfterBackoff};

#[test]
fn class_has_the_row_of_its_table() {
    const NEVER: SameEndpoint = SameEndpoint::Never;
    const NOWHERE: OtherEndpoint = OtherEndpoint::Never;
    for (class, same, other, breaker, refusal) in [
        (Class::QuotaExhausted, NEVER, Any, Neutral, true),
        (Class::RateLimited, AfterHint, Any, Neutral, true),
        (Class::Overloaded, AfterBackoff, Any, Failure, false),
        (Class::Unauthorized, NEVER, OtherCredential, Neutral, true),
        (Class::ContextTooLong, NEVER, LargerContext, Neutral, false),
        (Class::ContentPolicy, NEVER, NOWHERE, Neutral, false),
        (Class::ModelUnavailable, NEVER, Any, Neutral, true),
        (Class::Timeout, NEVER, Any, Failure, false),
        (Class::Connect, AfterBackoff, Any, Failure, true),
        (Class::Transport, AfterBackoff, Any, Failure, false),
        (Class::ServerError, OnceAfterBackoff, Any, Failure, false),
        (Class::CallerFault, NEVER, NOWHERE, Success, false),
        (Class::Success, NEVER, NOWHERE, Success, false),
        (Class::Local, AfterBackoff, Any, Neutral, true),
        (Class::Cancelled, NEVER, NOWHERE, Neutral, false),
    ] {
        assert_eq!(class.same_endpoint(), same, "{class}");
        assert_eq!(class.other_endpoint(), other, "{class}");
        assert_eq!(class.breaker(), breaker, "{class}");
        assert_eq!(class.is_refusal(), refusal, "{class}");
    }
}

#[test]
fn all_contains_each_class_once() {
    let mut names = Class::ALL.map(Class::as_str).to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Class::ALL.len());
}

#[test]
fn name_is_parsed_to_its_class() {
    for class in Class::ALL {
        assert_eq!(class.as_str().parse(), Ok(class));
    }
    let error = "RateLimited".parse::<Class>().unwrap_err();
    assert_eq!(error.name(), "RateLimited");
    assert_eq!(error.known(), Class::ALL.map(Class::as_str));
}

#[cfg(feature = "serde")]
#[test]
fn class_is_serialized_as_its_name() {
    let json = serde_json::to_string(&Class::ALL).expect("names");
    assert!(json.starts_with(r#"["quota_exhausted","rate_limited","#));
    let classes: Vec<Class> = serde_json::from_str(&json).expect("known names");
    assert_eq!(classes, Class::ALL);
    let error = serde_json::from_str::<Class>(r#""fast""#).unwrap_err();
    assert!(error.to_string().starts_with(r#"unknown class: "fast""#));
}
