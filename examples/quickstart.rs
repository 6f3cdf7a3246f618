//! Sends a few hundred chat completions while the providers behind them fail.
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! Three AI endpoints run in this process, on loopback, so the example needs no network and no key.
//! The first endpoint becomes rate limited, the second one is down for a while, and each request
//! succeeds. Otherwise the exit code is not 0.

use std::process::ExitCode;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use steadfast::{
    AiStack, ApiKey, Backoff, BoxError, Class, Deadline, Endpoint, Event, RequestExt,
    RetryOn429Layer, Timeouts, Trail, observer_fn,
};
use steadfast_testkit::{Quota, Reply, Upstream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

const SECOND: Duration = Duration::from_secs(1);
const REQUESTS: u32 = 400;
const PER_SECOND: u32 = 40;

/// The outcome of one request.
struct Done {
    served: bool,
    attempts: usize,
    took: Duration,
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let start = Instant::now();
    let mut upstreams = Vec::new();
    for name in ["primary", "backup1", "backup2"] {
        let upstream = Upstream::start().await?.named(name);
        upstream.set(Reply::ok().latency(Duration::from_millis(20)).chunks(4));
        upstreams.push(upstream);
    }
    let ai = stack(&upstreams, start)?;

    println!("Three AI endpoints on this machine, and one client that keeps working.");
    println!("{REQUESTS} chat completions, {PER_SECOND} a second, every other one streamed.\n");
    let trouble = tokio::spawn(trouble(upstreams.clone(), start));
    let done = send_all(&ai, start).await;
    trouble.await??;

    print_at(start, "done");
    report(&ai, &upstreams, &done);
    let served = done.iter().filter(|done| done.served).count();
    let all = served == REQUESTS as usize;
    println!("\n{served} of {REQUESTS} requests were answered.");
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Builds the stack as an application does. Only the recovery of the breaker is faster, so that it
/// becomes visible.
fn stack(upstreams: &[Upstream], start: Instant) -> Result<AiStack, BoxError> {
    let mut builder = AiStack::builder()
        .timeouts(Timeouts::MEDIUM)
        .retry(RetryOn429Layer::new().backoff(Backoff::new(SECOND / 10, SECOND)?))
        .observer(observer_fn(move |event| print_event(start, event)));
    for upstream in upstreams {
        let key = ApiKey::new("sk-only-for-this-machine")?;
        let breaker = Endpoint::default_breaker().recovery_timeout(SECOND);
        let endpoint = Endpoint::new(&upstream.name(), &upstream.url())?;
        builder = builder.endpoint(endpoint.api_key(key).breaker(breaker));
    }
    Ok(builder.build()?)
}

/// Causes the failures, at fixed times.
async fn trouble(upstreams: Vec<Upstream>, start: Instant) -> Result<(), BoxError> {
    let [primary, backup1, _] = &upstreams[..] else {
        unreachable!("there are three");
    };
    sleep_until(start + 2 * SECOND).await;
    print_at(
        start,
        "TROUBLE  primary now takes 2 requests per second, and returns 429 for others",
    );
    primary.limit(Quota::new(2, SECOND));

    sleep_until(start + 4 * SECOND).await;
    print_at(start, "TROUBLE  backup1 is cut off: its port is closed");
    backup1.cut_off();

    sleep_until(start + 6 * SECOND).await;
    print_at(start, "TROUBLE  backup1 is back");
    backup1.restore().await?;

    sleep_until(start + 8 * SECOND).await;
    print_at(start, "TROUBLE  primary takes all requests again");
    primary.unlimited();
    Ok(())
}

async fn send_all(ai: &AiStack, start: Instant) -> Vec<Done> {
    let mut ticks = interval(SECOND / PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = JoinSet::new();
    for n in 0..REQUESTS {
        ticks.tick().await;
        let ai = ai.clone();
        requests.spawn(async move {
            let sent = Instant::now();
            let (served, attempts) = match complete(&ai, n % 2 == 1).await {
                Ok(attempts) => (true, attempts),
                Err(error) => {
                    print_at(start, &format!("FAILED   request {n}: {error}"));
                    (false, 0)
                }
            };
            Done {
                served,
                attempts,
                took: sent.elapsed(),
            }
        });
    }
    requests.join_all().await
}

/// Sends one chat completion and reads the whole answer. Returns the number of attempts.
async fn complete(ai: &AiStack, stream: bool) -> Result<usize, BoxError> {
    let body = serde_json::json!({
        "model": "demo",
        "messages": [{ "role": "user", "content": "Say something." }],
        "stream": stream,
    });
    let request = Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(body.to_string())?
        .deadline(Deadline::after(60 * SECOND));
    let response = ai.send(request).await?;
    let status = response.status();
    let attempts = Trail::of(response.extensions()).map_or(1, Trail::len);
    let answer = response.into_body().collect().await?.to_bytes();
    let answer = String::from_utf8_lossy(&answer);
    let end = if stream {
        "data: [DONE]"
    } else {
        "\"finish_reason\":\"stop\""
    };
    if status == StatusCode::OK && answer.contains(end) {
        Ok(attempts)
    } else {
        let last = answer.lines().rfind(|line| !line.is_empty());
        Err(format!("{status}, ends with {:?}", last.unwrap_or_default()).into())
    }
}

// ===== Output =====

fn print_at(start: Instant, text: &str) {
    println!("{:6.3} s  {text}", start.elapsed().as_secs_f64());
}

fn print_event(start: Instant, event: &Event) {
    let text = match event {
        Event::Failover {
            from,
            to,
            class,
            after,
        } => {
            let reason = match class {
                Class::RateLimited => "returned 429",
                Class::Connect => "is unreachable",
                _ => "failed",
            };
            format!("failover from {from}, which {reason}, to {to} within {after:.0?}")
        }
        Event::Cooldown { endpoint, wait, .. } => {
            format!("cooling  {endpoint} gets no requests for {wait:.1?}")
        }
        Event::CooldownEnded { endpoint, .. } => {
            format!("ready    {endpoint} takes all requests again")
        }
        Event::Breaker {
            endpoint, from, to, ..
        } => {
            format!("breaker  {endpoint}: {from} → {to}")
        }
        Event::Retry { attempt, wait, .. } => {
            format!("waiting  {wait:.1?} before attempt {attempt} of a request")
        }
        Event::Exhausted { .. } => "exhausted: no endpoint is admissible".to_owned(),
        _ => return,
    };
    print_at(start, &text);
}

fn report(ai: &AiStack, upstreams: &[Upstream], done: &[Done]) {
    println!("\nRequests at the endpoints");
    println!(
        "  {:<10}{:>10}{:>10}{:>10}",
        "endpoint", "requests", "served", "429"
    );
    for upstream in upstreams {
        let counts = upstream.counts();
        let (ok, limited) = (counts.ok, counts.rate_limited);
        println!(
            "  {:<10}{:>10}{ok:>10}{limited:>10}",
            upstream.name(),
            counts.requests
        );
    }
    println!("\nRequests of the application");
    for line in ai.snapshot().to_string().lines() {
        println!("  {line}");
    }
    println!("\nTime of an answer, with its whole stream");
    let times = |moved: bool| {
        let mut times: Vec<_> = done
            .iter()
            .filter(|done| done.served && (done.attempts > 1) == moved)
            .map(|done| done.took)
            .collect();
        times.sort_unstable();
        times
    };
    for (name, times) in [("one attempt", times(false)), ("failover", times(true))] {
        if let Some(slowest) = times.last() {
            let median = times[times.len() / 2];
            println!(
                "  {name:<12}{:>5} requests   median {median:>7.1?}   slowest {slowest:>7.1?}",
                times.len()
            );
        }
    }
}
