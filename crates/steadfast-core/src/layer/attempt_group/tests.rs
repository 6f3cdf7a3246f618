use super::*;

fn names(names: &[&str]) -> Vec<EndpointName> {
    names.iter().map(|name| EndpointName::new(name)).collect()
}

#[tokio::test(start_paused = true)]
async fn group_lists_the_endpoints_of_attempts_in_flight() {
    let first = AttemptGroup::new();
    let second = first.hedge(1);
    assert!(second.is_hedge() && !first.is_hedge());
    assert_eq!(first.endpoints(), names(&[]));

    let now = Instant::now();
    let slots = (
        first.enter(&"a".into(), now),
        second.enter(&"b".into(), now),
    );
    assert_eq!(second.endpoints(), names(&["a", "b"]));
    drop(slots.0);
    assert_eq!(first.endpoints(), names(&["b"]));
    drop(slots.1);
    assert_eq!(first.endpoints(), names(&[]));
}

#[tokio::test(start_paused = true)]
async fn hedge_without_balancer_counts_as_sent() {
    let group = AttemptGroup::new();
    let hedge = group.hedge(1);
    assert!(hedge.was_sent());
    group.set_balanced();
    assert!(!hedge.was_sent());
    let _slot = group.enter(&"a".into(), Instant::now());
    assert!(!hedge.was_sent());
    let _slot = hedge.enter(&"b".into(), Instant::now());
    assert!(hedge.was_sent());
}
