//! Rules of the user about the replies of an endpoint.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use steadfast::crates::balance::Rule;
use steadfast::{AiStack, Class, Endpoint, RequestBody, Verdict};

use crate::support::local_client;

/// Sends a request with this body through a stack over an endpoint with rules and a healthy one.
/// Returns the hosts of the attempts, and the verdict if only the first endpoint answered.
async fn attempts(
    rules: Vec<Rule>,
    reply: (u16, &'static str),
    body: &'static str,
) -> (usize, Option<Verdict>) {
    let request = Request::post("/v1/chat/completions").body(body.to_owned());
    attempts_of(rules, reply, request.expect("a request")).await
}

/// The same for any request.
async fn attempts_of(
    rules: Vec<Rule>,
    (status, reply): (u16, &'static str),
    request: Request<String>,
) -> (usize, Option<Verdict>) {
    let sent = Arc::new(Mutex::new(0));
    let seen = sent.clone();
    let client = tower::service_fn(move |request: Request<RequestBody>| {
        *seen.lock().expect("a lock") += 1;
        let first = request.uri().host() == Some("first.test");
        let (status, text) = if first {
            (status, reply)
        } else {
            (200, r#"{"choices":[]}"#)
        };
        let response = Response::builder().status(status).header("server", "relay");
        let response = response.body(Full::new(Bytes::from_static(text.as_bytes())));
        async move { Ok::<_, Infallible>(response.expect("a response")) }
    });
    let first = Endpoint::new("first", "http://first.test").expect("an endpoint");
    let ai = AiStack::builder()
        .endpoint(rules.into_iter().fold(first, Endpoint::rule))
        .endpoint(Endpoint::new("second", "http://second.test").expect("an endpoint"))
        .build_on(local_client(client))
        .expect("a stack");
    let response = ai.send(request).await.expect("an answer");
    let sent = *sent.lock().expect("a lock");
    (sent, response.extensions().get().copied())
}

#[tokio::test]
async fn rule_of_user_precedes_tables() {
    let spent = || Rule::new(Class::QuotaExhausted);
    let ours = r#"{"error":{"code":"our_code","message":"Out of beans"}}"#;
    for (rule, reply, expected) in [
        (spent().status(400).code("OUR_CODE"), (400, ours), 2),
        (spent().status(400).code("other"), (400, ours), 1),
        (spent().contains("out of beans"), (400, ours), 2),
        (spent().contains("out of beans"), (400, "Out of beans."), 2),
        (spent().header("server", "relay"), (400, ours), 2),
        (spent().header("server", "nginx"), (400, ours), 1),
        // A failure of the tables becomes final.
        (Rule::new(Class::CallerFault).status(500), (500, ours), 1),
        // An answer of the requested shape, and an error in a 200.
        (
            spent().status(200).contains("beans"),
            (200, r#"{"choices":["no beans"]}"#),
            2,
        ),
        (
            spent().contains("beans"),
            (200, r#"{"choices":["no beans"]}"#),
            1,
        ),
        (
            Rule::new(Class::CallerFault).code("our_code"),
            (200, ours),
            1,
        ),
    ] {
        let shown = format!("{rule:?} {reply:?}");
        assert_eq!(
            attempts(vec![rule], reply, "{}").await.0,
            expected,
            "{shown}"
        );
    }
}

/// An answer that no check reads, one that fails its check, and a stream that begins well.
#[tokio::test]
async fn rule_of_head_holds_for_each_success() {
    let post = || Request::post("/v1/chat/completions");
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n";
    for (name, request, reply) in [
        (
            "list",
            Request::get("/v1/models").body(""),
            r#"{"data":[]}"#,
        ),
        ("other path", Request::get("/x").body(""), "text"),
        ("no answer", post().body("{}"), r#"{"object":"page"}"#),
        ("text", post().body("{}"), "Welcome"),
        ("stream", post().body(r#"{"stream":true}"#), stream),
    ] {
        let request = request.expect("a request").map(str::to_owned);
        let rule = Rule::new(Class::RateLimited).status(200);
        let rules = vec![rule.header("server", "relay")];
        let (sent, _) = attempts_of(rules, (200, reply), request.clone()).await;
        assert_eq!(sent, 2, "{name}");
        let rules = vec![
            Rule::new(Class::RateLimited)
                .status(200)
                .header("server", "other"),
        ];
        let (sent, verdict) = attempts_of(rules, (200, reply), request).await;
        let is_checked = matches!(name, "no answer" | "text");
        assert_eq!(
            (sent, verdict),
            (1 + usize::from(is_checked), None),
            "{name}"
        );
    }
}

/// The class of the check would move the request to another endpoint.
#[tokio::test]
async fn rule_precedes_the_check_of_an_answer() {
    let rule = Rule::new(Class::CallerFault).status(200);
    for text in [r#"{"object":"out of beans"}"#, "out of beans"] {
        for (part, expected) in [("beans", 1), ("peas", 2)] {
            let rules = vec![rule.clone().contains(part)];
            let (sent, _) = attempts(rules, (200, text), "{}").await;
            assert_eq!(sent, expected, "{text} {part}");
        }
    }
}

#[tokio::test]
async fn first_rule_that_matches_applies() {
    let fault = Rule::new(Class::CallerFault).status(400);
    let spent = Rule::new(Class::QuotaExhausted).status(400);
    let reply = (400, "{}");
    assert_eq!(
        attempts(vec![fault.clone(), spent.clone()], reply, "{}")
            .await
            .0,
        1
    );
    assert_eq!(attempts(vec![spent, fault], reply, "{}").await.0, 2);
}

#[tokio::test]
async fn rule_sets_hint() {
    let rule = Rule::new(Class::CallerFault)
        .status(400)
        .hint(Duration::from_secs(7));
    let (_, verdict) = attempts(vec![rule], (400, "{}"), "{}").await;
    assert_eq!(
        verdict.and_then(|verdict| verdict.hint()),
        Some(Duration::from_secs(7))
    );
}

/// A caller could otherwise bench the endpoint of all callers.
#[tokio::test]
async fn rule_text_in_request_is_no_evidence() {
    let rule = Rule::new(Class::QuotaExhausted).contains("out of beans");
    let reply = (
        400,
        r#"{"error":{"message":"out of beans: no such field"}}"#,
    );
    let body = r#"{"out of beans":1}"#;
    assert_eq!(attempts(vec![rule.clone()], reply, body).await.0, 1);
    assert_eq!(attempts(vec![rule], reply, "{}").await.0, 2);
}

#[test]
fn invalid_rule_is_rejected_at_build_with_its_field() {
    let endpoint = Endpoint::new("first", "http://first.test").expect("an endpoint");
    let endpoint = endpoint.rule(Rule::new(Class::RateLimited).status(429));
    let built = AiStack::builder()
        .endpoint(endpoint.rule(Rule::new(Class::RateLimited).contains(" ")))
        .build_on(local_client(tower::service_fn(
            |_: Request<RequestBody>| async {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            },
        )));
    let error = built.expect_err("an invalid rule").to_string();
    assert!(
        error.contains("rule[1].contains: must not be empty"),
        "{error}"
    );
}
