//! `PoolHandle::follow`: endpoints of a stream of changes.

use std::convert::Infallible;

use steadfast_balance::{Endpoint, EndpointBalance, EndpointMode, PoolHandle};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::ServiceExt;
use tower::discover::Change;

use crate::support::{
    Client, MS, Net, Reply, SECOND, balancer, endpoint, get, ok, pool, refusal, send_for_status,
    status_of,
};

type Item = Result<Change<u32, Endpoint>, &'static str>;

/// A pool with the endpoint `own` that follows a stream.
struct Setup {
    net: Net,
    service: EndpointBalance<Client>,
    handle: PoolHandle,
    changes: UnboundedSender<Item>,
    follows: JoinHandle<Result<(), &'static str>>,
}

fn pool_following_stream() -> Setup {
    let net = Net::new();
    for name in ["own", "a", "b", "c"] {
        net.on(name, |_| ok());
    }
    let (service, handle) = balancer(pool(&["own"]), &net);
    let (changes, received) = unbounded_channel();
    let follows = tokio::spawn(handle.follow(UnboundedReceiverStream::new(received)));
    Setup {
        net,
        service,
        handle,
        changes,
        follows,
    }
}

impl Setup {
    async fn insert(&self, key: u32, endpoint: Endpoint) {
        self.changes
            .send(Ok(Change::Insert(key, endpoint)))
            .unwrap();
        sleep(MS).await;
    }

    async fn remove(&self, key: u32) {
        self.changes.send(Ok(Change::Remove(key))).unwrap();
        sleep(MS).await;
    }

    fn names(&self) -> Vec<String> {
        let all = self.handle.status();
        all.iter().map(|status| status.name.to_string()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn stream_adds_and_removes_endpoints() {
    let setup = pool_following_stream();
    setup.insert(1, endpoint("a")).await;
    setup.insert(2, endpoint("b").tier(1)).await;
    assert_eq!(setup.names(), ["own", "a", "b"]);
    setup.remove(1).await;
    setup.remove(7).await;
    assert_eq!(setup.names(), ["own", "b"]);

    setup.handle.remove("own").unwrap();
    assert_eq!(send_for_status(&setup.service, get()).await, 200);
    assert_eq!(setup.net.counts(["own", "a", "b"]), [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn reinserted_endpoint_with_same_base_keeps_state_and_position() {
    let setup = pool_following_stream();
    setup.insert(1, endpoint("a").tier(0)).await;
    setup.insert(2, endpoint("b")).await;
    setup.handle.cool("a", 60 * SECOND).unwrap();
    setup.insert(1, endpoint("a").tier(2).weight(3.0)).await;
    let a = status_of(&setup.handle, "a");
    assert_eq!(
        (a.tier, a.weight, a.cooling),
        (2, 3.0, Some(60 * SECOND - MS))
    );

    let moved = Endpoint::new("a", "http://a.test/v2").unwrap();
    setup.insert(1, moved).await;
    let a = status_of(&setup.handle, "a");
    assert_eq!(
        (a.base.as_str(), a.tier, a.cooling),
        ("http://a.test/v2", 0, None)
    );
    assert_eq!(setup.names(), ["own", "a", "b"]);
    setup.insert(1, endpoint("c")).await;
    assert_eq!(
        setup.names(),
        ["own", "c", "b"],
        "the key keeps its position with another name"
    );
    setup.remove(1).await;
    assert_eq!(setup.names(), ["own", "b"]);
}

#[tokio::test(start_paused = true)]
async fn invalid_or_duplicate_endpoint_is_skipped() {
    let setup = pool_following_stream();
    setup.insert(1, endpoint("own")).await;
    setup.insert(2, endpoint("a").weight(-1.0)).await;
    assert_eq!(setup.names(), ["own"]);
    setup.remove(1).await;
    assert_eq!(
        setup.names(),
        ["own"],
        "the endpoint is not from the stream"
    );

    setup.insert(2, endpoint("a")).await;
    setup.insert(2, endpoint("a").weight(0.0)).await;
    setup
        .insert(2, Endpoint::new("own", "http://a.test").unwrap())
        .await;
    setup
        .insert(2, Endpoint::new("a", "http://c.test").unwrap().cost(-1.0))
        .await;
    assert_eq!(setup.names(), ["own", "a"], "the existing endpoints stay");
    assert_eq!(status_of(&setup.handle, "a").weight, 1.0);
    assert_eq!(status_of(&setup.handle, "a").base, "http://a.test");
    setup.insert(3, endpoint("b")).await;
    assert_eq!(setup.names(), ["own", "a", "b"], "the stream continues");
}

/// In a rolling update, each instance has its own key and all share one name.
#[tokio::test(start_paused = true)]
async fn skipped_endpoint_is_added_when_its_name_is_free() {
    let setup = pool_following_stream();
    let at = |host: &str| Endpoint::new("a", host).unwrap();
    setup.insert(1, at("http://old.test")).await;
    setup.insert(2, at("http://new.test")).await;
    setup.insert(3, at("http://third.test")).await;
    setup.remove(3).await;
    assert_eq!(status_of(&setup.handle, "a").base, "http://old.test");
    setup.remove(1).await;
    assert_eq!(setup.names(), ["own", "a"]);
    assert_eq!(status_of(&setup.handle, "a").base, "http://new.test");
    // Also if the old endpoint only changes its name.
    setup.insert(4, at("http://next.test")).await;
    setup.insert(2, endpoint("b")).await;
    assert_eq!(setup.names(), ["own", "b", "a"]);
    setup.remove(2).await;
    setup.remove(4).await;
    assert_eq!(setup.names(), ["own"]);

    // An endpoint that changes its name frees the old name.
    setup.insert(1, endpoint("a")).await;
    setup.insert(2, endpoint("b")).await;
    setup.insert(3, endpoint("a")).await;
    setup.insert(1, endpoint("b")).await;
    setup.remove(2).await;
    assert_eq!(setup.names(), ["own", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn endpoints_changed_through_the_handle_are_kept() {
    let setup = pool_following_stream();
    setup.insert(1, endpoint("a")).await;
    setup.handle.remove("a").unwrap();
    setup.handle.add(endpoint("a")).unwrap();
    setup.remove(1).await;
    assert_eq!(
        setup.names(),
        ["own", "a"],
        "another endpoint with this name"
    );

    setup.insert(2, endpoint("b")).await;
    setup.handle.disable("b").unwrap();
    setup.insert(2, endpoint("b").weight(2.0)).await;
    assert_eq!(
        status_of(&setup.handle, "b").service,
        EndpointMode::Disabled
    );
    setup.handle.remove("b").unwrap();
    setup.insert(2, endpoint("b")).await;
    assert_eq!(
        setup.names(),
        ["own", "a", "b"],
        "the endpoint is added again"
    );
    setup.remove(2).await;
    assert_eq!(setup.names(), ["own", "a"]);
}

#[tokio::test(start_paused = true)]
async fn future_ends_with_the_stream() {
    let Setup {
        handle,
        changes,
        follows,
        ..
    } = pool_following_stream();
    changes.send(Ok(Change::Insert(1, endpoint("a")))).unwrap();
    drop(changes);
    assert_eq!(follows.await.unwrap(), Ok(()));
    assert_eq!(handle.status().len(), 2, "the endpoints stay");

    let Setup {
        handle,
        changes,
        follows,
        ..
    } = pool_following_stream();
    changes.send(Ok(Change::Insert(1, endpoint("a")))).unwrap();
    changes.send(Err("the registry is gone")).unwrap();
    assert_eq!(follows.await.unwrap(), Err("the registry is gone"));
    assert_eq!(handle.status().len(), 2);
}

/// Neither a removal nor the end of the future cancels a request.
#[tokio::test(start_paused = true)]
async fn request_at_removed_endpoint_completes() {
    let setup = pool_following_stream();
    setup.handle.disable("own").unwrap();
    setup.net.on("a", |_| Reply::from(ok()).after(10 * SECOND));
    setup.insert(1, endpoint("a")).await;
    let running = tokio::spawn(setup.service.clone().oneshot(get()));
    sleep(SECOND).await;
    setup
        .insert(1, Endpoint::new("a", "http://b.test").unwrap())
        .await;
    setup.follows.abort();
    assert_eq!(send_for_status(&setup.service, get()).await, 200);
    assert_eq!(running.await.unwrap().unwrap().status(), 200);
    assert_eq!(setup.net.counts(["a", "b"]), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn replacement_with_another_base_has_no_cooldown() {
    let setup = pool_following_stream();
    setup.handle.remove("own").unwrap();
    setup.net.on("a", |_| refusal("60"));
    setup.insert(1, endpoint("a")).await;
    assert_eq!(send_for_status(&setup.service, get()).await, 429);
    setup
        .insert(1, Endpoint::new("a", "http://b.test").unwrap())
        .await;
    assert_eq!(send_for_status(&setup.service, get()).await, 200);
}

/// Every `Discover` with the service `Endpoint` is accepted. The future can run in a task.
#[test]
fn any_discover_is_accepted_and_future_is_send() {
    fn is_send<T: Send + 'static>(_: &T) {}
    let layer = pool(&[]).build_empty().unwrap();
    let handle = layer.handle();
    let empty = tokio_stream::empty::<Result<Change<String, Endpoint>, Infallible>>();
    is_send(&handle.follow(empty));
}
