//! Quotas that the callers use up, over real sockets: short answers, and callers that leave.
//!
//! The clock is paused, so 20 s of load take a second, and a busy machine changes no time.
//! `just soak` sets `STEADFAST_OVERLOAD_SECONDS`: then the clock is real, the load lasts that long,
//! and beside counts only the median of short answers is checked.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use stack_tests::{SECOND, assert_idle, chat, read, stack, upstreams};
use steadfast::{AiStack, Exhausted, Strategy};
use steadfast_testkit::{Behavior, Quota, Reply, Upstream};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

const MS: Duration = Duration::from_millis(1);
/// The requests that each endpoint allows per second.
const QUOTA: u32 = 20;

/// The length of a load, and its clock.
#[derive(Clone, Copy, Debug)]
struct Length {
    lasts: Duration,
    is_real: bool,
}

/// Runs a test for `usual` on the paused clock, or as the environment requires.
fn run<F: Future<Output = ()>>(usual: Duration, test: impl FnOnce(Length) -> F) {
    let seconds = std::env::var("STEADFAST_OVERLOAD_SECONDS").ok();
    let seconds = seconds.map(|seconds| seconds.parse().expect("a number of seconds"));
    let length = Length {
        lasts: seconds.map_or(usual, Duration::from_secs),
        is_real: seconds.is_some(),
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(!length.is_real)
        .build();
    runtime.expect("a runtime").block_on(test(length));
}

/// Starts three upstreams with a quota, and a stack over them.
async fn limited(quota: Quota, behavior: Behavior, strategy: Strategy) -> ([Upstream; 3], AiStack) {
    let upstreams = upstreams(["a", "b", "c"]).await;
    for upstream in &upstreams {
        upstream.limit(quota);
        upstream.set(behavior.clone());
    }
    let ai = stack(&upstreams).strategy(strategy).build();
    (upstreams, ai.expect("a stack"))
}

/// The end of one request.
#[derive(Debug)]
enum End {
    Served,
    /// No endpoint could take it. The hint, if there is one.
    Rejected(Option<Duration>),
    /// The last endpoint refused it.
    Refused,
    /// Its caller has left.
    Left,
}

/// Sends requests at an even rate. The caller with the number `n` leaves after `patience(n)`.
/// Returns the end of each request, and the time until then.
async fn load(
    ai: &AiStack,
    per_second: u32,
    lasts: Duration,
    patience: impl Fn(u32) -> Duration,
) -> Vec<(End, Duration)> {
    let mut ticks = interval(SECOND / per_second);
    let (start, mut requests) = (Instant::now(), JoinSet::new());
    for n in 0.. {
        ticks.tick().await;
        if start.elapsed() >= lasts {
            break;
        }
        let (ai, patience) = (ai.clone(), patience(n));
        requests.spawn(async move {
            let sent = Instant::now();
            let answer = timeout(patience, send(&ai)).await;
            (answer.unwrap_or(End::Left), sent.elapsed())
        });
    }
    requests.join_all().await
}

async fn send(ai: &AiStack) -> End {
    match ai.send(chat(false)).await {
        Ok(response) if response.status().is_success() => {
            read(response).await.expect("a whole answer");
            End::Served
        }
        Ok(response) => {
            assert_eq!(response.status(), 429);
            End::Refused
        }
        Err(error) => {
            let exhausted = Exhausted::find(&*error).expect("no other failure");
            End::Rejected(exhausted.retry_in())
        }
    }
}

fn count(ends: &[(End, Duration)], wanted: impl Fn(&End) -> bool) -> usize {
    ends.iter().filter(|(end, _)| wanted(end)).count()
}

/// Returns the time that this share of the requests with such an end did not exceed.
fn quantile(ends: &[(End, Duration)], share: f64, wanted: impl Fn(&End) -> bool) -> Duration {
    let wanted = ends.iter().filter(|(end, _)| wanted(end));
    let mut times: Vec<_> = wanted.map(|(_, time)| *time).collect();
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "few requests"
    )]
    let at = (times.len() as f64 * share) as usize;
    times.get(at).copied().unwrap_or_default()
}

/// A wait for a slot costs a hundred times the latency of such an answer. The learned rate once
/// spread the requests over the window, so that half of them waited for more than half a second.
#[test]
fn short_answers_within_quota_are_not_delayed() {
    for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
        run(20 * SECOND, async |length| {
            let quota = Quota::new(QUOTA, SECOND).fixed_window();
            let answer = Behavior::from(Reply::ok().latency(10 * MS));
            let (upstreams, ai) = limited(quota, answer, strategy).await;
            let ends = load(&ai, 48, length.lasts, |_| 60 * SECOND).await;
            let median = quantile(&ends, 0.5, |_| true);
            let refused: u64 = upstreams.iter().map(|it| it.counts().rate_limited).sum();
            let sent = ends.len();
            println!("{strategy:?}: median {median:?}, {refused} refusals of {sent} requests");

            assert_eq!(count(&ends, |end| matches!(end, End::Served)), sent);
            assert!(refused as usize <= sent / 10, "{refused} of {sent} refused");
            assert!(median <= 25 * MS, "{median:?}");
            assert_idle(&ai);
        });
    }
}

/// The head of the queue had always waited nearly as long as its caller does, so the whole quota
/// was spent on requests that were cancelled.
#[test]
fn quota_is_spent_on_callers_that_still_wait() {
    for strategy in [Strategy::Failover, Strategy::LeastLoaded] {
        run(20 * SECOND, async |length| {
            let turn = Arc::new(AtomicU32::new(0));
            let answer = Behavior::by(move |_| {
                // 150 to 600 ms.
                let step = turn.fetch_add(1, Ordering::Relaxed) % 10;
                Reply::ok().latency(150 * MS + 50 * MS * step)
            });
            let quota = Quota::new(QUOTA, SECOND);
            let (upstreams, ai) = limited(quota, answer, strategy).await;
            let patience = |n: u32| SECOND * [2, 3, 5][n as usize % 3];
            let ends = load(&ai, 2 * 3 * QUOTA, length.lasts, patience).await;
            let counts = upstreams.iter().map(Upstream::counts);
            let spent: u64 = counts.map(|it| it.requests - it.rate_limited).sum();
            let served = count(&ends, |end| matches!(end, End::Served));
            let left = count(&ends, |end| matches!(end, End::Left));
            let is_rejected = |end: &End| matches!(end, End::Rejected(_));
            let [median, late] = [0.5, 0.99].map(|share| quantile(&ends, share, is_rejected));
            let rejected = count(&ends, is_rejected);
            println!(
                "{strategy:?}: {served} of {spent} spent, {left} left, {rejected} rejected after {median:?}, {late:?}"
            );

            // The buckets are full at the start.
            let all = u64::from(3 * QUOTA) * length.lasts.as_secs();
            assert!(spent * 10 >= all * 9, "{spent} of {all} sent");
            assert!(
                served as u64 * 20 >= spent * 19,
                "{served} of {spent} served"
            );
            let hinted =
                |end: &End| matches!(end, End::Rejected(Some(hint)) if *hint <= 30 * SECOND);
            // A request that lost the race for a free slot may return at once.
            let hinted = count(&ends, hinted);
            assert!(
                hinted * 500 >= rejected * 499,
                "{hinted} hints in {rejected} rejections"
            );
            assert!(length.is_real || median <= SECOND, "{median:?}");
            assert_idle(&ai);
        });
    }
}
