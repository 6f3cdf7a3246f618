//! Checks of a request before it is sent.

use steadfast_models::{Catalogue, Model, RejectReason, RequestSize, Tokens};

fn catalogue() -> Catalogue {
    let model = Model::new("m")
        .with_context_window(1000)
        .with_max_output(100);
    Catalogue::new().with(model).with(Model::new("unlimited"))
}

fn size(words: usize, max_tokens: u64) -> RequestSize {
    let text = "word".repeat(words);
    let body = format!(r#"{{"messages":[{{"content":"{text}"}}],"max_tokens":{max_tokens}}}"#);
    RequestSize::of(body.as_bytes(), Tokens::Bytes)
}

#[test]
fn misspelt_model_has_suggestion_and_404() {
    let error = Catalogue::shipped()
        .find("gpt-4o-mnii")
        .expect_err("misspelt");
    assert_eq!(
        (error.status(), error.code(), error.param()),
        (404, "model_not_found", "model")
    );
    assert_eq!(
        error.to_string(),
        "model: must be known, got `gpt-4o-mnii`, did you mean `gpt-4o-mini`"
    );
}

#[test]
fn output_up_to_the_limit_fits() {
    assert!(catalogue().check("m", &size(0, 100)).is_ok());
    let error = catalogue().check("m", &size(0, 101)).expect_err("too long");
    assert_eq!(
        (error.status(), error.code(), error.param()),
        (400, "invalid_value", "max_tokens")
    );
    assert_eq!(
        error.to_string(),
        "max_tokens: must be at most 100 for `m`, got 101"
    );
}

/// An estimate is no count, so a prompt that is a little longer is left to the endpoint.
#[test]
fn prompt_is_rejected_beyond_a_quarter_above_the_context() {
    assert!(catalogue().check("m", &size(1250, 1)).is_ok());
    let error = catalogue()
        .check("m", &size(1251, 1))
        .expect_err("too long");
    assert_eq!(
        (error.status(), error.code()),
        (400, "context_length_exceeded")
    );
    let expected = RejectReason::PromptTooLong {
        estimate: 1251,
        limit: 1000,
    };
    assert_eq!(error.reason(), &expected);
}

#[test]
fn limit_without_value_is_not_checked() {
    assert!(
        catalogue()
            .check("unlimited", &size(100_000, u64::MAX))
            .is_ok()
    );
}
