//! Routes from a model to endpoints, over real sockets.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use steadfast::models::{Catalogue, Model, Route, Target};
use steadfast::{AiStack, AiStackBuilder, Endpoint};
use steadfast_testkit::{Hint, Reply, Upstream};

use crate::support::{post, text};

async fn upstreams<const N: usize>(names: [&str; N]) -> ([Upstream; N], AiStackBuilder) {
    let mut upstreams = Vec::new();
    let mut builder = AiStack::builder();
    for name in names {
        let upstream = Upstream::start().await.expect("a free port").named(name);
        builder = builder.endpoint(Endpoint::new(name, &upstream.url()).expect("a URL"));
        upstreams.push(upstream);
    }
    (upstreams.try_into().expect("as many as names"), builder)
}

fn chat(model: &str) -> Request<Full<Bytes>> {
    let body = format!(r#"{{ "model": "{model}","messages":[{{"role":"user","content":"Hi"}}] }}"#);
    post("/v1/chat/completions", body)
}

/// The body of the last request of an upstream.
fn last(upstream: &Upstream) -> String {
    let log = upstream.log();
    String::from_utf8(log.last().expect("a request").body.to_vec()).expect("text")
}

#[tokio::test]
async fn each_endpoint_gets_its_name_and_all_other_bytes() {
    let ([primary, relay], builder) = upstreams(["primary", "relay"]).await;
    let route = Route::new("fast")
        .to("primary", "gpt\"4")
        .to("relay", "openai/gpt-4.1");
    let ai = builder.route(route).build().expect("a stack");
    let body = "{\"messages\" : [{\"model\":\"fast\",\"content\":\"\\u0066ast\"}],\n\t\"model\" :\r\n\"fa\\u0073t\" , \"n\":1.0}";
    primary.next(Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(
        60,
    ))));
    let response = ai
        .send(post("/v1/chat/completions", body))
        .await
        .expect("an answer");
    let answer: Value = serde_json::from_str(&text(response).await).expect("JSON");
    assert_eq!(
        answer["model"], "openai/gpt-4.1@relay",
        "the model of the endpoint stays"
    );
    assert_eq!(
        last(&primary),
        body.replace("\"fa\\u0073t\"", r#""gpt\"4""#)
    );
    assert_eq!(last(&relay), body.replace("fa\\u0073t", "openai/gpt-4.1"));
    let length = primary.log()[0].header("content-length").map(str::to_owned);
    assert_eq!(length, Some(last(&primary).len().to_string()));
}

/// A body beyond the replay limit is in memory in one piece, and is rewritten as well.
#[tokio::test]
async fn large_body_and_given_length_are_rewritten() {
    let ([primary], builder) = upstreams(["primary"]).await;
    let ai = builder
        .route(Route::new("a").to("primary", "longer-name"))
        .build()
        .expect("a stack");
    let body = format!(r#"{{"x":"{}","model":"a"}}"#, "y".repeat(5 * 1024 * 1024));
    let mut request = post("/v1/chat/completions", body.clone());
    request
        .headers_mut()
        .insert("content-length", body.len().into());
    ai.send(request).await.expect("an answer");
    assert!(last(&primary) == body.replace("\"a\"", "\"longer-name\""));
}

#[tokio::test]
async fn wildcard_passes_the_rest_of_the_name() {
    let ([primary, relay], builder) = upstreams(["primary", "relay"]).await;
    let openai = Route::new("openai/*").to("primary", "*");
    let any = Route::new("*").to("relay", "x/*");
    let ai = builder.route(openai).route(any).build().expect("a stack");
    ai.send(chat("openai/gpt-4o")).await.expect("an answer");
    ai.send(chat("llama")).await.expect("an answer");
    assert!(
        last(&primary).contains(r#""model": "gpt-4o""#),
        "{}",
        last(&primary)
    );
    assert!(
        last(&relay).contains(r#""model": "x/llama""#),
        "{}",
        last(&relay)
    );
    assert_eq!((primary.log().len(), relay.log().len()), (1, 1));
}

#[tokio::test]
async fn model_without_route_goes_everywhere_unchanged() {
    let ([primary], builder) = upstreams(["primary"]).await;
    let ai = builder
        .route(Route::new("a").to("primary", "b"))
        .build()
        .expect("a stack");
    ai.send(chat("c")).await.expect("an answer");
    assert!(last(&primary).contains(r#""model": "c""#));
}

#[tokio::test]
async fn model_in_form_and_in_path_is_rewritten() {
    let ([primary], builder) = upstreams(["primary"]).await;
    let ai = builder
        .route(Route::new("a").to("primary", "b c"))
        .build()
        .expect("a stack");
    let form = "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\na\r\n\
        --x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\na\r\n--x--\r\n";
    let mut request = post("/v1/audio/transcriptions", form);
    let kind = "multipart/form-data; boundary=x".parse().expect("a value");
    request.headers_mut().insert("content-type", kind);
    ai.send(request).await.expect("an answer");
    assert_eq!(last(&primary), form.replacen("\r\na\r\n", "\r\nb c\r\n", 1));

    let body = r#"{"model":"a","contents":[]}"#;
    ai.send(post("/v1/models/a:generateContent?alt=sse", body))
        .await
        .expect("an answer");
    let log = primary.log();
    let request = log.last().expect("a request");
    assert_eq!(
        request.path_and_query,
        "/v1/models/b%20c:generateContent?alt=sse"
    );
    assert_eq!(last(&primary), body, "the path names the model");
}

#[tokio::test]
async fn deployment_stands_in_the_path() {
    let ([azure, other], builder) = upstreams(["azure", "other"]).await;
    let route = Route::new("gpt-4.1").target(Target::deployment("azure", "my-gpt"));
    let route = route.to("other", "gpt-4.1");
    let ai = builder.route(route).build().expect("a stack");
    azure.set(Reply::status(503));
    ai.send(chat("gpt-4.1")).await.expect("an answer");
    assert_eq!(
        azure.log()[0].path(),
        "/v1/deployments/my-gpt/chat/completions"
    );
    assert_eq!(other.log()[0].path(), "/v1/chat/completions");
}

/// A caller chooses the text of `*`, and would otherwise reach other paths of the resource.
#[tokio::test]
async fn deployment_of_a_caller_is_one_segment_of_the_path() {
    let ([azure], builder) = upstreams(["azure"]).await;
    let route = Route::new("azure/*").target(Target::deployment("azure", "*"));
    let ai = builder.route(route).build().expect("a stack");
    ai.send(chat("azure/x/../../files?y"))
        .await
        .expect("an answer");
    assert_eq!(
        azure.log()[0].path(),
        "/v1/deployments/x%2F..%2F..%2Ffiles%3Fy/chat/completions"
    );
}

#[tokio::test]
async fn higher_tier_and_other_model_are_used_last() {
    let ([a, b, c], builder) = upstreams(["a", "b", "c"]).await;
    // The order of the endpoints is the reverse of the order of the route.
    let route = Route::new("m")
        .to("c", "m")
        .to("b", "other")
        .target(Target::new("a", "m").tier(1));
    let ai = builder.route(route).build().expect("a stack");
    let by = async || {
        let response = ai.send(chat("m")).await.expect("an answer");
        response.headers()["x-upstream"]
            .to_str()
            .expect("text")
            .to_owned()
    };
    let limited = || Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(60)));
    assert_eq!(by().await, "c");
    c.set(limited());
    assert_eq!(by().await, "b");
    b.set(limited());
    assert_eq!(by().await, "a");
    assert_eq!([a.log().len(), b.log().len(), c.log().len()], [1, 2, 2]);
}

#[tokio::test]
async fn weights_of_targets_share_the_requests_of_a_route() {
    let ([a, b, c], builder) = upstreams(["a", "b", "c"]).await;
    let of = |endpoint, weight| Target::new(endpoint, "m").weight(weight);
    let ai = builder
        .route(
            Route::new("m")
                .target(of("a", 3.0))
                .to("b", "m")
                .to("c", "other"),
        )
        .route(Route::new("n").target(of("a", 1.0)).target(of("b", 3.0)))
        .build()
        .expect("a stack");
    let send = async |model: &str, count: usize| {
        for _ in 0..count {
            ai.send(chat(model)).await.expect("an answer");
        }
        [&a, &b, &c].map(|it| it.log().len())
    };
    let first = send("m", 80).await;
    assert!(
        first[0].abs_diff(60) < 4 && first[2] == 0,
        "another model is last: {first:?}"
    );
    let both = send("n", 80).await;
    assert!((both[0] - first[0]).abs_diff(20) < 4, "{both:?}");
    a.set(Reply::status(503));
    let last = send("m", 4).await;
    assert_eq!(last[1] - both[1], 4, "the others serve for one that cannot");
}

/// Otherwise a limit of one name would be learned again for each other name.
#[tokio::test]
async fn names_of_one_model_share_its_limits() {
    let ([a, b], builder) = upstreams(["a", "b"]).await;
    let ai = builder
        .route(Route::new("fast").to("a", "m").to("b", "m"))
        .route(Route::new("quick").to("a", "m").to("b", "m"))
        .build()
        .expect("a stack");
    a.set(Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(
        60,
    ))));
    for model in ["fast", "quick", "m"] {
        let response = ai.send(chat(model)).await.expect("an answer");
        assert_eq!(response.headers()["x-upstream"], "b", "{model}");
    }
    assert_eq!((a.log().len(), b.log().len()), (1, 3));
    a.set(Reply::ok());
    let response = ai.send(chat("other")).await.expect("an answer");
    assert_eq!(
        response.headers()["x-upstream"],
        "a",
        "another model has limits of its own"
    );
}

#[tokio::test]
async fn list_has_routes_and_models_of_all_endpoints() {
    let ([a, b], builder) = upstreams(["a", "b"]).await;
    let route = Route::new("fast").alias("quick").to("a", "m");
    let builder = builder.route(route).route(Route::new("x/*").to("a", "*"));
    let ai = builder.build().expect("a stack");
    let json = [("content-type", "application/json")];
    a.set(Reply::raw(
        200,
        json,
        r#"{"object":"list","data":[{"id":"m"},{"id":"fast"}]}"#,
    ));
    b.set(Reply::raw(
        200,
        json,
        r#"{"object":"list","data":[{"id":"n"},{"id":"m"}]}"#,
    ));
    let ids = async || {
        let request = Request::get("/v1/models")
            .body(String::new())
            .expect("a request");
        let response = ai.send(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        let list: Value = serde_json::from_str(&text(response).await).expect("JSON");
        let models = list["data"].as_array().expect("models").clone();
        models
            .iter()
            .map(|model| model["id"].as_str().expect("an id").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids().await, ["fast", "quick", "m", "n"]);
    let deep = format!(r#"{{"data":[{{"id":"o","x":{0}"#, "[".repeat(200));
    let deep = format!("{deep}{}}}]}}", "]".repeat(200));
    b.set(Reply::raw(200, json, deep));
    assert_eq!(ids().await, ["fast", "quick", "m"], "a parser may overflow");
    b.cut_off();
    // The list waits for five seconds.
    tokio::time::pause();
    assert_eq!(
        ids().await,
        ["fast", "quick", "m"],
        "the other endpoints have theirs"
    );
}

#[tokio::test]
async fn unknown_model_is_answered_before_it_costs_a_request() {
    let ([a], builder) = upstreams(["a"]).await;
    let builder = builder
        .catalogue(Catalogue::shipped())
        .route(Route::new("fast").to("a", "ours"));
    let ai = builder.build().expect("a stack");
    let response = ai.send(chat("gpt-4.1-mimi")).await.expect("an answer");
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["x-should-retry"], "false");
    let body = text(response).await;
    assert!(
        body.contains(r#""code":"model_not_found""#) && body.contains(r#""param":"model""#),
        "{body}"
    );
    assert!(body.contains("did you mean `gpt-4.1-mini`"), "{body}");

    let response = ai
        .send(post(
            "/v1/messages",
            r#"{"model":"claude-x","messages":[]}"#,
        ))
        .await;
    let body = text(response.expect("an answer")).await;
    assert!(
        body.starts_with(r#"{"error":{"message":"model: must be known, got `claude-x`"#),
        "{body}"
    );
    assert!(body.contains(r#""type":"not_found_error""#), "{body}");
    assert_eq!(a.log().len(), 0);
    assert_eq!(ai.snapshot().other_errors, 2, "{:?}", ai.snapshot());
    // A route vouches for its models, and other operations are not checked.
    assert_eq!(
        ai.send(chat("fast")).await.expect("an answer").status(),
        200
    );
    let upload = post("/v1/audio/speech", r#"{"model":"voice"}"#);
    ai.send(upload).await.expect("an answer");
    assert_eq!(a.log().len(), 2);
}

#[tokio::test]
async fn request_beyond_limits_goes_only_where_it_fits() {
    let ([small, large], builder) = upstreams(["small", "large"]).await;
    let catalogue = Catalogue::new()
        .with(
            Model::new("s")
                .with_max_output(100)
                .with_context_window(1000),
        )
        .with(Model::new("l").with_max_output(1000));
    let route = Route::new("m")
        .to("small", "s")
        .target(Target::new("large", "l").tier(1));
    let ai = builder
        .catalogue(catalogue)
        .route(route)
        .build()
        .expect("a stack");
    let send = async |tokens: u64, words: usize| {
        let text = "word".repeat(words);
        let body =
            format!(r#"{{"model":"m","max_tokens":{tokens},"messages":[{{"content":"{text}"}}]}}"#);
        ai.send(post("/v1/chat/completions", body))
            .await
            .expect("an answer")
    };
    assert_eq!(send(100, 1).await.headers()["x-upstream"], "small");
    assert_eq!(send(101, 1).await.headers()["x-upstream"], "large");
    assert_eq!(send(100, 2000).await.headers()["x-upstream"], "large");
    let response = send(1001, 1).await;
    assert_eq!(response.status(), 400);
    let body = text(response).await;
    assert!(
        body.contains("max_tokens: must be at most 100 for `s`, got 1001"),
        "{body}"
    );
    assert_eq!((small.log().len(), large.log().len()), (1, 2));
}

#[tokio::test]
async fn invalid_route_is_an_error_of_the_builder() {
    for (route, field) in [
        (Route::new("a"), "route[0].target"),
        (Route::new("a").to("other", "b"), "route[0].target.endpoint"),
        (Route::new("a*b").to("a", "b"), "route[0].model"),
    ] {
        let (_, builder) = upstreams(["a"]).await;
        let error = builder.route(route).build().expect_err(field);
        assert_eq!(error.field(), field);
    }
}
