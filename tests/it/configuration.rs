//! Configuration: `build` rejects invalid values, and its error names the field.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use stack_tests::local_client;
use steadfast::{AiStack, Endpoint, RequestBody, Timeouts};

#[tokio::test]
async fn build_rejects_invalid_value_and_names_field() {
    let client = || {
        local_client(tower::service_fn(|_: Request<RequestBody>| async {
            Ok::<_, Infallible>(Response::new(String::new()))
        }))
    };
    let endpoint = || Endpoint::new("a", "http://a.test").unwrap();
    let mut timeouts = Timeouts::DEFAULT;
    timeouts.idle = Duration::ZERO;
    for (builder, field) in [
        (AiStack::builder(), "endpoint"),
        (
            AiStack::builder().endpoint(endpoint()).endpoint(endpoint()),
            "endpoint[1].name",
        ),
        (
            AiStack::builder().endpoint(endpoint()).timeouts(timeouts),
            "timeouts.idle",
        ),
        (
            AiStack::builder()
                .endpoint(endpoint())
                .deadline(Duration::ZERO),
            "deadline",
        ),
    ] {
        let error = builder.build_on(client()).expect_err(field);
        assert_eq!(error.field(), field);
    }
}
