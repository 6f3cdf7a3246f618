//! Health checks of endpoints with tokens that expire, over real sockets.

use std::time::Duration;

use steadfast::crates::balance::HealthCheck;
use steadfast::{AiStack, ApiKey, BoxError, DefaultClient, Endpoint, Timeouts};
use steadfast_testkit::Upstream;

use crate::support::post;

/// A check once sent a placeholder in place of the token, so each one was a rejected credential.
#[tokio::test]
async fn check_sends_the_present_token_or_none() {
    let upstream = Upstream::start().await.expect("a free port");
    let endpoint = Endpoint::new("a", &upstream.url()).expect("a URL");
    let source = async || Ok::<_, BoxError>((ApiKey::new("token-1")?, None));
    let ai = AiStack::builder().endpoint_with_tokens(endpoint, source);
    let ai = ai.build().expect("a stack");
    let client = DefaultClient::new(&Timeouts::DEFAULT);
    let checks = HealthCheck::new()
        .interval(Duration::from_millis(20))
        .start(ai.endpoints(), client);
    let _checks = checks.expect("valid settings");
    let credential = async |before: usize| {
        loop {
            let log = upstream.log();
            let check = log.iter().skip(before).find(|it| it.path() == "/v1/models");
            if let Some(check) = check {
                return check.header("authorization").map(str::to_owned);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(credential(0).await, None);
    let body = r#"{"model":"m","messages":[]}"#;
    let answer = ai.send(post("/v1/chat/completions", body)).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let sent = upstream.log().len();
    // The next one may have begun before the answer arrived.
    credential(sent).await;
    let sent = upstream.log().len();
    assert_eq!(credential(sent).await.as_deref(), Some("Bearer token-1"));
}
