//! Large request bodies leave the other requests of a thread their time.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use stack_tests::{chat, local_client};
use steadfast::{AiStack, Endpoint, RequestBody};
use tokio::task::yield_now;

const SIZE: usize = 8_000_000;

fn stack_in_process() -> AiStack {
    let client = tower::service_fn(|_: Request<RequestBody>| async {
        Ok::<_, Infallible>(Response::new(r#"{"choices":[]}"#.to_owned()))
    });
    AiStack::builder()
        .endpoint(Endpoint::new("a", "http://a.test").unwrap())
        .build_on(local_client(client))
        .unwrap()
}

/// Such a body was read on the thread of the runtime, and held up all its other requests.
#[tokio::test(flavor = "current_thread")]
async fn large_body_does_not_stall_other_requests_of_its_thread() {
    let ai = stack_in_process();
    for body in [
        format!(r#"{{"stream":[{}1]}}"#, "1,".repeat(SIZE / 2)),
        // Vector instructions read text without quotes within milliseconds.
        format!(r#"{{"x":"{}"}}"#, r#"\""#.repeat(SIZE / 2)),
        format!(r#"{{"x":[{}0]}}"#, "{},".repeat(SIZE / 3)),
    ] {
        let served = Arc::new(AtomicUsize::new(0));
        let others = tokio::spawn({
            let (ai, served) = (ai.clone(), served.clone());
            async move {
                loop {
                    ai.send(chat(false)).await.unwrap();
                    served.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            }
        });
        yield_now().await;
        let before = served.load(Ordering::Relaxed);
        let request = Request::post("/v1/chat/completions").body(Full::new(Bytes::from(body)));
        let answer = ai.send(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let meanwhile = served.load(Ordering::Relaxed) - before;
        println!("{meanwhile} requests meanwhile");
        assert!(meanwhile >= 10, "{meanwhile} requests meanwhile");
        others.abort();
    }
}
