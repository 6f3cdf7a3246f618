//! Stored objects: a new one is stored wherever the request is served, and later requests go there.

use http::Request;
use stack_tests::{SECOND, assert_idle, endpoint, rate_limited, read, served_by, stack, upstreams};
use steadfast::{AiStack, Timeouts};
use steadfast_testkit::{Reply, Upstream};

/// Sends a request as a caller with this credential. Returns the name of the upstream that
/// answered.
async fn send(ai: &AiStack, (method, path, body): (&str, &str, &str), key: &str) -> String {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("authorization", key)
        .body(body.to_owned())
        .expect("a request");
    let response = ai.send(request).await.expect("an answer");
    let by = served_by(&response);
    read(response).await.expect("a whole body");
    by
}

fn object(id: &str) -> Reply {
    Reply::ok().body(format!(r#"{{"id":"{id}","output":[{{"id":"other"}}]}}"#))
}

fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::DEFAULT;
    timeouts.rescue_after = SECOND / 10;
    timeouts
}

fn fail(primary: &Upstream, how: &str) {
    match how {
        "limited" => primary.set(rate_limited(600)),
        "spent" => primary.set(Reply::status(402)),
        "failing" => primary.set(Reply::status(500)),
        "silent" => primary.set(Reply::silence()),
        "resetting" => primary.set(Reply::reset()),
        _ => primary.cut_off(),
    }
}

const FAULTS: [&str; 6] = ["limited", "spent", "failing", "silent", "resetting", "dead"];

/// The default clients waited for 18 to 22 s and got a `429`, beside an idle backup.
#[tokio::test]
async fn response_that_names_no_state_is_served_by_backup() {
    for how in FAULTS {
        for body in [
            r#"{"model":"m","input":"Hi"}"#,
            r#"{"model":"m","input":"Hi","store":true}"#,
            r#"{"model":"m","input":"Hi","store":null,"previous_response_id":null}"#,
            r#"{"model":"m","input":"Hi","store":false,"background":false}"#,
        ] {
            let [primary, backup] = upstreams(["primary", "backup"]).await;
            fail(&primary, how);
            backup.set(object("resp_1"));
            let ai = stack([&primary, &backup])
                .timeouts(timeouts())
                .build()
                .unwrap();
            for path in ["/v1/responses", "/responses"] {
                let sent = send(&ai, ("POST", path, body), "a");
                let by = tokio::time::timeout(5 * SECOND, sent).await;
                assert_eq!(by.expect("at once"), "backup", "{how} {path} {body}");
            }
            assert_idle(&ai);
        }
    }
}

/// A repeat costs money and does no harm.
#[tokio::test]
async fn media_and_forms_are_repeated_like_chat_completions() {
    let form = "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nm\r\n--x--\r\n";
    for how in ["failing", "resetting", "dead", "silent"] {
        for (path, kind, body) in [
            ("/v1/audio/speech", "application/json", "{}"),
            (
                "/v1/audio/transcriptions",
                "multipart/form-data; boundary=x",
                form,
            ),
            ("/v1/images/edits", "multipart/form-data; boundary=x", form),
            ("/v1/images/generations", "application/json", "{}"),
            ("/v1/moderations", "application/json", "{}"),
            ("/v1/rerank", "application/json", "{}"),
        ] {
            let [primary, backup] = upstreams(["primary", "backup"]).await;
            fail(&primary, how);
            backup.set(Reply::ok().body("{}"));
            let ai = stack([&primary, &backup])
                .timeouts(timeouts())
                .build()
                .unwrap();
            let request = Request::post(path).header("content-type", kind);
            let request = request.body(body.to_owned()).unwrap();
            let response = ai.send(request).await.expect("an answer");
            assert_eq!(served_by(&response), "backup", "{how} {path}");
            read(response).await.expect("a whole body");
            assert_eq!(backup.log()[0].body, body, "the same bytes");
        }
    }
}

#[tokio::test]
async fn later_requests_go_to_the_endpoint_of_their_object() {
    let event = "data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_2\"}}\n\n\
                 data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n\
                 data: {\"type\":\"response.completed\"}\n\n";
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    let ai = stack([&primary, &backup]).build().unwrap();
    primary.set(rate_limited(1));
    let streamed = Reply::ok()
        .header("content-type", "text/event-stream")
        .body(event);
    backup.script([object("resp_1"), streamed]);
    for body in ["{}", r#"{"stream":true}"#] {
        assert_eq!(
            send(&ai, ("POST", "/v1/responses", body), "a").await,
            "backup"
        );
    }
    ai.endpoints().restore("primary").unwrap();
    primary.set(Reply::ok());
    // A caller chooses the length of its path. Its last parts are searched.
    let [short, long] = [14, 16].map(|n| format!("/v1/responses/resp_1{}", "/x".repeat(n)));
    for (request, expected) in [
        (("GET", "/v1/responses/resp_1", ""), "backup"),
        (("GET", &*short, ""), "backup"),
        (("GET", &*long, ""), "primary"),
        (("GET", "/responses/resp_2/input_items", ""), "backup"),
        (("POST", "/v1/responses/resp_2/cancel", "{}"), "backup"),
        (
            (
                "POST",
                "/v1/responses",
                r#"{"previous_response_id":"resp_1"}"#,
            ),
            "backup",
        ),
        (
            (
                "POST",
                "/v1/responses",
                r#"{"previous_response_id":"other"}"#,
            ),
            "primary",
        ),
        (("GET", "/v1/responses/resp_3", ""), "primary"),
    ] {
        assert_eq!(send(&ai, request, "a").await, expected, "{request:?}");
        // No other caller learns or changes the place of an object.
        assert_eq!(send(&ai, request, "b").await, "primary", "{request:?}");
    }
    assert_idle(&ai);
}

/// A caller chooses the ids of its requests, and an endpoint the ids of its answers.
#[tokio::test]
async fn object_of_one_caller_is_not_moved_by_another() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    let ai = stack([&primary, &backup]).build().unwrap();
    for (key, limited) in [("a", true), ("b", false), ("a", false)] {
        primary.set(if limited {
            rate_limited(1)
        } else {
            object("resp_1")
        });
        backup.set(object("resp_1"));
        let by = send(&ai, ("POST", "/v1/responses", "{}"), key).await;
        assert_eq!(by, if limited { "backup" } else { "primary" });
        ai.endpoints().restore("primary").unwrap();
    }
    let get = ("GET", "/v1/responses/resp_1", "");
    assert_eq!(send(&ai, get, "a").await, "backup");
    assert_eq!(send(&ai, get, "b").await, "primary");
}

#[tokio::test]
async fn files_threads_and_batches_are_found_after_a_change_of_endpoints() {
    let [a, b] = upstreams(["a", "b"]).await;
    b.set(object("obj_1"));
    for path in ["/v1/files", "/v1/threads", "/v1/batches"] {
        let ai = stack([&b]).build().unwrap();
        assert_eq!(send(&ai, ("POST", path, "{}"), "k").await, "b");
        ai.endpoints()
            .replace([endpoint(&a), endpoint(&b)])
            .unwrap();
        let object = format!("{path}/obj_1");
        assert_eq!(send(&ai, ("GET", &object, ""), "k").await, "b", "{path}");
        let batch = r#"{"input_file_id":"obj_1"}"#;
        assert_eq!(send(&ai, ("POST", "/v1/batches", batch), "k").await, "b");
        // Its endpoint is gone.
        ai.endpoints().replace([endpoint(&a)]).unwrap();
        assert_eq!(send(&ai, ("GET", &object, ""), "k").await, "a", "{path}");
    }
}

/// A long or broken answer reaches the caller as the server has sent it.
#[tokio::test]
async fn answer_of_a_stored_object_is_unchanged() {
    let [a] = upstreams(["a"]).await;
    let ai = stack([&a]).build().unwrap();
    for body in [
        r#"{"id":"x"}"#.to_owned(),
        format!(r#"{{"id":"x","a":"{}"}}"#, "y".repeat(200_000)),
        "no json".to_owned(),
        String::new(),
    ] {
        a.set(
            Reply::ok()
                .header("content-type", "application/json")
                .body(body.clone()),
        );
        let request = Request::post("/v1/files").body(String::new()).unwrap();
        let response = ai.send(request).await.expect("an answer");
        assert_eq!(read(response).await.expect("a whole body"), body);
    }
    assert_idle(&ai);
}
