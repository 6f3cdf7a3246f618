use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::{advance, sleep};
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::*;
use crate::api_key::ApiKey;
use crate::body::{AnyBody, RequestBody};

const SECOND: Duration = Duration::from_secs(1);

/// A source of the tokens `token-1`, `token-2` and so on, each after a second.
fn numbered(calls: &Arc<AtomicU64>, lifetime: Option<Duration>) -> Arc<Tokens> {
    let calls = calls.clone();
    Arc::new(Tokens::new(move || {
        let number = calls.fetch_add(1, Relaxed) + 1;
        async move {
            sleep(SECOND).await;
            Ok((ApiKey::new(&format!("token-{number}"))?, lifetime))
        }
    }))
}

fn failing(calls: &Arc<AtomicU64>) -> Arc<Tokens> {
    let calls = calls.clone();
    Arc::new(Tokens::new(move || {
        calls.fetch_add(1, Relaxed);
        async { Err("the token service is down".into()) }
    }))
}

/// Sends a request to a server that accepts one token, and returns the status and the tokens that
/// the server received.
async fn send(tokens: Arc<Tokens>, accepted: &'static str) -> Result<(u16, Vec<String>), BoxError> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, accepted) = (seen.clone(), format!("Bearer {accepted}"));
    let server = service_fn(move |request: Request<RequestBody>| {
        let token = request.headers()["authorization"]
            .to_str()
            .unwrap()
            .to_owned();
        let status = if token == accepted { 200 } else { 401 };
        log.lock().unwrap().push(token);
        async move { Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap()) }
    });
    let client = TokenLayer(Some(tokens)).layer(server);
    let body = RequestBody::new(AnyBody::new(Full::<Bytes>::from("{}")), 1024);
    let request = Request::post("/").header("authorization", "Bearer placeholder");
    let answer = client.oneshot(request.body(body).unwrap()).await?;
    let seen = seen.lock().unwrap().clone();
    Ok((answer.status().as_u16(), seen))
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_share_one_renewal() {
    let calls = Arc::default();
    let tokens = numbered(&calls, None);
    let sending = (0..20).map(|_| {
        let tokens = tokens.clone();
        tokio::spawn(async move { send(tokens, "token-1").await.unwrap() })
    });
    for sent in sending.collect::<Vec<_>>() {
        assert_eq!(
            sent.await.unwrap(),
            (200, vec!["Bearer token-1".to_owned()])
        );
    }
    assert_eq!(calls.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn token_is_renewed_before_it_expires() {
    let calls = Arc::default();
    let tokens = numbered(&calls, Some(600 * SECOND));
    assert_eq!(send(tokens.clone(), "token-1").await.unwrap().0, 200);
    advance(539 * SECOND).await;
    assert_eq!(send(tokens.clone(), "token-1").await.unwrap().0, 200);
    assert_eq!(calls.load(Relaxed), 1, "61 s are left");

    // One request renews it, and another one does not wait.
    advance(2 * SECOND).await;
    let other = tokens.clone();
    let renewing = tokio::spawn(async move { send(other, "token-2").await.unwrap().0 });
    tokio::task::yield_now().await;
    assert_eq!(send(tokens.clone(), "token-1").await.unwrap().0, 200);
    assert_eq!(renewing.await.unwrap(), 200);
    assert_eq!(calls.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn expired_token_is_not_sent() {
    let calls = Arc::default();
    let tokens = numbered(&calls, Some(10 * SECOND));
    send(tokens.clone(), "token-1").await.unwrap();
    advance(11 * SECOND).await;
    let sent = send(tokens.clone(), "token-2").await.unwrap();
    assert_eq!(sent, (200, vec!["Bearer token-2".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn rejected_token_is_replaced_once_and_request_sent_again() {
    let calls = Arc::default();
    let tokens = numbered(&calls, None);
    send(tokens.clone(), "token-1").await.unwrap();
    advance(YOUNG).await;
    let sent = send(tokens.clone(), "token-2").await.unwrap();
    let both = ["Bearer token-1", "Bearer token-2"].map(str::to_owned);
    assert_eq!(sent, (200, both.to_vec()));

    // A server that rejects each token: the new one is young.
    for _ in 0..10 {
        let sent = send(tokens.clone(), "another").await.unwrap();
        assert_eq!(sent, (401, vec!["Bearer token-2".to_owned()]));
    }
    assert_eq!(calls.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn failed_source_is_called_once_per_second() {
    let calls = Arc::default();
    let tokens = failing(&calls);
    for _ in 0..20 {
        let error = send(tokens.clone(), "any").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "no token for the endpoint: the token service is down"
        );
        // Each request has the error itself.
        let source = error.source().map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("the token service is down"));
    }
    assert_eq!(calls.load(Relaxed), 1);
    advance(PAUSE).await;
    send(tokens.clone(), "any").await.unwrap_err();
    assert_eq!(calls.load(Relaxed), 2);
}

/// Callers that are less patient than the source is fast would otherwise never be served.
#[tokio::test(start_paused = true)]
async fn dropped_renewal_is_continued_by_the_next_request() {
    let calls = Arc::default();
    let tokens = numbered(&calls, None);
    for _ in 0..2 {
        let sent = timeout(SECOND * 2 / 5, send(tokens.clone(), "token-1")).await;
        assert!(sent.is_err());
    }
    let sent = timeout(SECOND * 2 / 5, send(tokens.clone(), "token-1")).await;
    assert_eq!(sent.expect("in time").unwrap().0, 200);
    assert_eq!(calls.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn renewal_that_was_left_until_its_limit_starts_anew() {
    let calls = Arc::default();
    let tokens = numbered(&calls, None);
    let sent = timeout(SECOND / 2, send(tokens.clone(), "token-1")).await;
    assert!(sent.is_err());
    advance(2 * RENEWAL).await;
    assert_eq!(send(tokens.clone(), "token-2").await.unwrap().0, 200);
    assert_eq!(calls.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn source_that_panics_fails_one_request() {
    let calls = Arc::<AtomicU64>::default();
    let count = calls.clone();
    let tokens = Arc::new(Tokens::new(move || {
        let is_first = count.fetch_add(1, Relaxed) == 0;
        async move {
            assert!(!is_first, "a fault of the source");
            Ok((ApiKey::new("token-2")?, None))
        }
    }));
    let failed = tokio::spawn(send(tokens.clone(), "token-2")).await;
    assert!(failed.is_err_and(|error| error.is_panic()));
    assert_eq!(send(tokens, "token-2").await.unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn silent_source_fails_after_its_limit() {
    let tokens = Arc::new(Tokens::new(std::future::pending));
    let error = send(tokens.clone(), "any").await.unwrap_err().to_string();
    assert!(error.contains("within 10 s"), "{error}");
}

#[tokio::test]
async fn file_and_command_return_their_token() {
    let path = std::env::temp_dir().join(format!("steadfast-token-{}", std::process::id()));
    std::fs::write(&path, " token-1\n").unwrap();
    let file = ApiKey::from_file(&path, SECOND);
    let (key, lifetime) = file.token().await.unwrap();
    assert_eq!(
        (key.bearer().to_str().unwrap(), lifetime),
        ("Bearer token-1", Some(SECOND))
    );
    std::fs::write(&path, "token 2").unwrap();
    let error = file.token().await.unwrap_err().to_string();
    assert_eq!(error, "the API key contains a space");
    std::fs::write(&path, "x".repeat(1 << 20)).unwrap();
    let error = file.token().await.unwrap_err().to_string();
    assert_eq!(error, "the token exceeds 64 KiB");
    std::fs::remove_file(&path).unwrap();
    assert!(
        file.token()
            .await
            .unwrap_err()
            .to_string()
            .contains("not found")
    );

    #[cfg(all(unix, any(feature = "client", feature = "config")))]
    for (script, expected) in [
        ("echo token-3", Ok("Bearer token-3")),
        ("echo secret; exit 3", Err("exit status: 3")),
        ("true", Err("the API key is empty")),
        ("while :; do echo secret; done", Err("exceeds 64 KiB")),
        ("echo secret >&2; echo token-3", Ok("Bearer token-3")),
    ] {
        let command = ApiKey::from_command(["sh", "-c", script], SECOND);
        let token = timeout(10 * SECOND, command.token()).await.expect(script);
        let token = token.map(|(key, _)| key.bearer());
        match expected {
            Ok(header) => assert_eq!(token.unwrap(), header),
            Err(reason) => {
                let error = token.unwrap_err().to_string();
                assert!(
                    error.contains(reason) && !error.contains("secret"),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn absurd_lifetimes_have_no_effect_beyond_the_clock() {
    let now = Instant::now();
    let header = HeaderValue::from_static("Bearer x");
    let token = |lifetime| Token::new(header.clone(), 1, now, lifetime);
    assert!(!token(Some(Duration::MAX)).is_due());
    assert!(token(Some(Duration::ZERO)).is_due());
    assert!(token(None).end.is_none());
}

/// A file on a network may hang. A thread per renewal would occupy all threads of the runtime.
#[cfg(unix)]
#[test]
fn file_that_hangs_is_read_by_one_thread() {
    let path = std::env::temp_dir().join(format!("steadfast-fifo-{}", std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let file = ApiKey::from_file(&path, SECOND);
    let wait = Duration::from_millis(20);
    let token = runtime.block_on(async {
        for _ in 0..3 {
            assert!(timeout(wait, file.token()).await.is_err(), "no writer yet");
        }
        let writing = path.clone();
        let writer = std::thread::spawn(move || std::fs::write(writing, "token-1"));
        let token = timeout(SECOND, file.token()).await;
        writer.join().unwrap().unwrap();
        token
    });
    runtime.shutdown_background();
    std::fs::remove_file(&path).unwrap();
    let (key, _) = token.expect("one read").unwrap();
    assert_eq!(key.bearer().to_str().unwrap(), "Bearer token-1");
}
