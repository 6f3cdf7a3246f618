//! Hints that lead nowhere: they were followed and refused again, for other requests too.

use std::time::Duration;

use http::Request;
use steadfast_balance::{EndpointBalanceBuilder, WhenExhausted};
use steadfast_core::{Exhausted, LimitKey};
use steadfast_retry::RetryOn429Layer;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Client429, retry_stack};
use crate::support::{
    Body, MS, Net, Reply, SECOND, ok, pool, post, refusal, send, send_for_status, with_deadline,
};

/// A request, as it ended: its status, or 429 for a rejection without an answer, and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ended {
    status: u16,
    took: Duration,
    /// The hint for the caller.
    hint: Option<Duration>,
}

async fn ended(service: Client429, request: Request<Body>) -> Ended {
    let start = Instant::now();
    let outcome = send(&service, request).await;
    let took = start.elapsed();
    let (status, hint) = match &outcome {
        Ok(response) => {
            let hint = response.headers().get("retry-after");
            let seconds = hint.and_then(|hint| hint.to_str().ok()?.parse().ok());
            (response.status(), seconds.map(Duration::from_secs))
        }
        Err(error) => {
            let exhausted = Exhausted::find(&**error).expect("typed");
            (exhausted.status(), exhausted.retry_in())
        }
    };
    Ended {
        status: status.as_u16(),
        took,
        hint,
    }
}

/// Sends `per_second` requests each second, made by `make`, for `lasting`.
async fn load(
    service: &Client429,
    per_second: u32,
    lasting: Duration,
    make: impl Fn() -> Request<Body>,
) -> Vec<Ended> {
    let mut requests = JoinSet::new();
    let start = Instant::now();
    while start.elapsed() < lasting {
        requests.spawn(ended(service.clone(), make()));
        sleep(SECOND / per_second).await;
    }
    requests.join_all().await
}

fn stack(builder: EndpointBalanceBuilder, net: &Net, seed: u64) -> Client429 {
    retry_stack(&RetryOn429Layer::new().seed(seed), builder, net).0
}

/// A net with servers that refuse every request with this hint.
fn refusing(names: &[&str], hint: &'static str) -> Net {
    let net = Net::new();
    for name in names {
        net.on(name, move |_| Reply::from(refusal(hint)).after(30 * MS));
    }
    net
}

/// Each caller waited until it cancelled, because each hint led to another one.
#[tokio::test(start_paused = true)]
async fn endpoints_that_always_refuse_answer_each_caller_within_two_seconds() {
    let names = ["a", "b", "c"];
    for (per_second, seed) in [(3, 1), (3, 2), (60, 1), (60, 2), (500, 1)] {
        let net = refusing(&names, "1");
        let service = stack(pool(&names), &net, seed);
        let lasting = 20 * SECOND;
        for ended in load(&service, per_second, lasting, post).await {
            assert_eq!(ended.status, 429);
            assert!(ended.took <= 2 * SECOND, "{per_second}/s: {ended:?}");
            assert!(ended.hint <= Some(SECOND), "{ended:?}");
        }
        // The first burst finds no limit.
        for (name, count) in names.iter().zip(net.counts(names)) {
            let burst = usize::try_from(per_second).unwrap() / 10;
            assert!(count <= 24 + burst, "{per_second}/s: {name} got {count}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn long_hint_in_vain_is_answered_at_once_with_its_time() {
    let net = refusing(&["a"], "5");
    let service = stack(pool(&["a"]), &net, 1);
    let early = load(&service, 2, 4 * SECOND, post).await;
    assert!(early.iter().all(|ended| ended.status == 429));
    // The hint was followed and refused again at 5 s.
    let start = Instant::now();
    let late = ended(service, post()).await;
    assert_eq!((late.status, start.elapsed()), (429, Duration::ZERO));
    assert!(late.hint > Some(2 * SECOND), "{late:?}");
}

/// A lone caller knows nothing better than the hint.
#[tokio::test(start_paused = true)]
async fn lone_caller_follows_each_hint() {
    let net = Net::new();
    for (name, failures) in [("a", 2), ("b", 2)] {
        net.on(
            name,
            move |n| if n < failures { refusal("1") } else { ok() },
        );
    }
    for names in [&["a"][..], &["b"]] {
        let service = stack(pool(names), &net, 1);
        let ended = ended(service, post()).await;
        assert_eq!(ended.status, 200);
        assert!(ended.took >= 2 * SECOND, "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_hints_of_a_second_cost_a_lone_caller_at_most_2_6_s_in_the_median() {
    let mut all = Vec::new();
    for seed in 0..101 {
        let net = Net::new();
        net.on("a", |n| if n < 2 { refusal("1") } else { ok() });
        let ended = ended(stack(pool(&["a"]), &net, seed), post()).await;
        assert_eq!(ended.status, 200);
        all.push(ended.took);
    }
    all.sort();
    assert!(all[50] <= 2600 * MS, "{:?}", all[50]);
    assert!(all[100] <= 2800 * MS, "{:?}", all[100]);
}

#[tokio::test(start_paused = true)]
async fn deadline_or_wait_mode_follows_hints_beside_a_crowd() {
    let waiting = pool(&["a"]).when_exhausted(WhenExhausted::Wait);
    for (builder, deadline) in [(pool(&["a"]), Some(10 * SECOND)), (waiting, None)] {
        let net = Net::new();
        let start = Instant::now();
        net.on("a", move |_| {
            let limited = start.elapsed() < 6 * SECOND;
            if limited { refusal("1") } else { ok() }
        });
        let service = stack(builder, &net, 1);
        let crowd = tokio::spawn({
            let service = service.clone();
            async move { load(&service, 20, 4 * SECOND, post).await }
        });
        sleep(3 * SECOND).await;
        let request = match deadline {
            Some(deadline) => with_deadline(post(), deadline),
            None => post(),
        };
        assert_eq!(
            send_for_status(&service, request).await,
            200,
            "{deadline:?}"
        );
        let crowd = crowd.await.unwrap();
        let served = crowd.iter().filter(|ended| ended.status == 200).count();
        assert_eq!(served > 0, deadline.is_none(), "{served} of the crowd");
    }
}

/// A server rounds its hints down: half a second is missing at the end of a long one.
#[tokio::test(start_paused = true)]
async fn long_hint_that_was_slightly_too_short_is_corrected() {
    let net = Net::new();
    let start = Instant::now();
    net.on("a", move |_| {
        let rest = (20_900 * MS).saturating_sub(start.elapsed());
        match rest.as_secs() {
            _ if rest.is_zero() => ok(),
            0 => refusal("1"),
            seconds => refusal(&seconds.to_string()),
        }
    });
    let service = stack(pool(&["a"]), &net, 1);
    for ended in load(&service, 10, 2 * SECOND, post).await {
        assert_eq!(ended.status, 200, "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn served_request_ends_the_evidence() {
    let net = refusing(&["a"], "1");
    let service = stack(pool(&["a"]), &net, 1);
    load(&service, 20, 5 * SECOND, post).await;
    net.on("a", |_| ok());
    sleep(5 * SECOND).await;
    assert_eq!(send_for_status(&service, post()).await, 200);

    let start = Instant::now();
    net.on("a", move |_| {
        let limited = start.elapsed() < 4 * SECOND;
        if limited { refusal("4") } else { ok() }
    });
    for ended in load(&service, 5, SECOND, post).await {
        assert_eq!(ended.status, 200, "{ended:?}");
    }

    // The crowd of the first limit does not count for a lone caller of a later one.
    sleep(60 * SECOND).await;
    let before = net.count("a");
    net.on(
        "a",
        move |n| if n < before + 2 { refusal("1") } else { ok() },
    );
    let lone = ended(service, post()).await;
    assert_eq!(lone.status, 200);
    assert_eq!(net.count("a"), before + 3, "two hints were followed");
}

/// A crowd at the limit of one key would otherwise take the second hint from a lone caller of
/// another.
#[tokio::test(start_paused = true)]
async fn crowd_of_another_key_is_no_evidence() {
    let net = Net::new();
    net.on_request("a", |_, sent| {
        let is_free = sent.headers.contains_key("x-free");
        match is_free {
            true => Reply::from(ok()),
            false => Reply::from(refusal("1")).after(30 * MS),
        }
    });
    let service = stack(pool(&["a"]), &net, 1);
    let of_key = |key: &str| {
        let mut request = post();
        request.extensions_mut().insert(LimitKey::new(key));
        request
    };
    let crowd = tokio::spawn({
        let service = service.clone();
        async move { load(&service, 20, 6 * SECOND, || of_key("crowded")).await }
    });
    sleep(2 * SECOND).await;
    let lone = ended(service, of_key("lone")).await;
    assert_eq!(lone.status, 429);
    assert!(lone.took >= 2 * SECOND, "two hints were followed: {lone:?}");
    crowd.await.unwrap();
}
