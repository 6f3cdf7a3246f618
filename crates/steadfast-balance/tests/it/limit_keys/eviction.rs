//! An endpoint keeps at most 64 keys.

use std::time::Duration;

use tokio::time::{advance, sleep};

use super::{get_model, key_status, model, refuse_limited};
use crate::support::{
    MS, Net, Reply, SECOND, balancer, ok, pool, refusal, send_for_status, status_of,
};

/// A caller invents models, or uses very many of them.
#[tokio::test(start_paused = true)]
async fn least_recently_used_key_is_evicted() {
    let net = Net::new();
    net.on("a", |_| ok());
    let (service, handle) = balancer(pool(&["a"]), &net);
    for n in 0..64 {
        assert_eq!(
            send_for_status(&service, get_model(&n.to_string())).await,
            200
        );
        advance(10 * MS).await;
    }
    // The oldest key is used once more.
    send_for_status(&service, get_model("0")).await;
    advance(10 * MS).await;
    for n in 64..66 {
        send_for_status(&service, get_model(&n.to_string())).await;
        advance(10 * MS).await;
    }
    let kept = |n: usize| key_status(&handle, "a", &n.to_string()).is_some();
    let evicted: Vec<usize> = (0..66).filter(|n| !kept(*n)).collect();
    assert_eq!(evicted, [1, 2]);
    for n in 0..1_000 {
        send_for_status(&service, get_model(&format!("flood {n}"))).await;
        assert_eq!(status_of(&handle, "a").keys.len(), 64);
    }
}

/// Otherwise a caller could end the cooldown of a model with 64 other models.
#[tokio::test(start_paused = true)]
async fn key_with_cooldown_outlives_keys_without() {
    let net = Net::new();
    refuse_limited(&net, ["a"], || refusal("60").into());
    let (service, handle) = balancer(pool(&["a"]).max_wait(Duration::ZERO), &net);
    assert_eq!(send_for_status(&service, get_model("limited")).await, 429);
    for n in 0..200 {
        advance(10 * MS).await;
        let status = send_for_status(&service, get_model(&n.to_string())).await;
        assert_eq!(status, 200);
    }
    assert_eq!(send_for_status(&service, get_model("limited")).await, 0);
    assert_eq!(status_of(&handle, "a").keys.len(), 64);

    // After its cooldown, the key is like any other.
    advance(60 * SECOND).await;
    for n in 0..64 {
        send_for_status(&service, get_model(&n.to_string())).await;
    }
    assert!(key_status(&handle, "a", "limited").is_none());
}

/// All keys cool. The least recently used one is evicted, and the new key is not refused.
#[tokio::test(start_paused = true)]
async fn new_key_is_served_although_all_keys_cool() {
    let net = Net::new();
    net.on_request("a", |_, sent| match model(sent) {
        "new" => Reply::from(ok()),
        _ => Reply::from(refusal("60")),
    });
    let (service, handle) = balancer(pool(&["a"]).max_wait(Duration::ZERO), &net);
    for n in 0..64 {
        assert_eq!(
            send_for_status(&service, get_model(&n.to_string())).await,
            429
        );
        advance(10 * MS).await;
    }
    assert_eq!(send_for_status(&service, get_model("new")).await, 200);
    assert!(key_status(&handle, "a", "0").is_none());
    assert!(key_status(&handle, "a", "1").is_some_and(|key| key.cooling.is_some()));
}

/// An answer comes after the eviction of its key. The attempt is settled, and nothing is left over.
#[tokio::test(start_paused = true)]
async fn late_answer_of_evicted_key_is_harmless() {
    for late in [ok as fn() -> _, || refusal("60")] {
        let net = Net::new();
        net.on_request("a", move |_, sent| match model(sent) {
            "late" => Reply::from(late()).after(SECOND),
            _ => Reply::from(ok()),
        });
        let (service, handle) = balancer(pool(&["a"]), &net);
        let attempt = tokio::spawn({
            let service = service.clone();
            async move { send_for_status(&service, get_model("late")).await }
        });
        sleep(10 * MS).await;
        for n in 0..64 {
            send_for_status(&service, get_model(&n.to_string())).await;
        }
        assert!(key_status(&handle, "a", "late").is_none());
        assert_ne!(attempt.await.unwrap(), 0);
        let status = status_of(&handle, "a");
        assert_eq!((status.in_flight, status.admissible), (0, true));
        assert!(key_status(&handle, "a", "late").is_none());
        assert_eq!(send_for_status(&service, get_model("0")).await, 200);
    }
}
