//! Servers in memory: rules, latency, logs and gates.

use std::io;
use std::time::Duration;

use http::{Request, Response};
use steadfast_testkit::net::{Client, Gated, Gates, Net, Reply};
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};

const MS: Duration = Duration::from_millis(1);

fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).expect("valid")
}

fn net_with_server_a() -> Net<&'static str> {
    let net = Net::new();
    net.on("a", |_| Response::new("a"));
    net
}

#[tokio::test(start_paused = true)]
async fn host_name_selects_server_and_number_selects_reply() {
    let net = net_with_server_a();
    net.on("b", |n| match n {
        0 => Reply::from(Response::new("first")).after(250 * MS),
        _ => Reply::from(Box::<dyn std::error::Error + Send + Sync>::from(
            io::Error::from(io::ErrorKind::ConnectionReset),
        )),
    });
    let start = Instant::now();
    let response = net.client().oneshot(get("http://b.test/x?y")).await;
    assert_eq!(response.expect("an answer").into_body(), "first");
    assert_eq!(start.elapsed(), 250 * MS);
    let response = net.client().oneshot(get("http://b.test/")).await;
    response.expect_err("the second reply is an error");
    assert_eq!(start.elapsed(), 250 * MS, "the error took no time");
    assert_eq!(net.counts(["a", "b"]), [0, 2]);
    let sent = net.sent("b");
    assert_eq!(sent[0].uri, "http://b.test/x?y");
    assert_eq!(sent[0].at, start);
}

#[tokio::test(start_paused = true)]
async fn new_rule_keeps_log_of_requests() {
    let net = net_with_server_a();
    let send = || net.client().oneshot(get("http://a.test/"));
    send().await.expect("an answer");
    net.on_request("a", |n, sent| {
        assert_eq!((n, sent.uri.path()), (1, "/"));
        Response::new("new")
    });
    assert_eq!(send().await.expect("an answer").into_body(), "new");
    assert_eq!(net.count("a"), 2);
}

#[tokio::test(start_paused = true)]
async fn dropped_and_answered_requests_stop_running() {
    let net = net_with_server_a();
    net.on("b", |_| Reply::<&str>::never());
    let mut response = task::spawn(net.client().oneshot(get("http://b.test/")));
    assert_pending!(response.poll());
    assert_eq!(net.running("b"), 1);
    drop(response);
    net.client()
        .oneshot(get("http://a.test/"))
        .await
        .expect("ok");
    assert_eq!((net.running("a"), net.running("b")), (0, 0));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "called without readiness of its own")]
async fn clone_of_ready_client_is_not_ready() {
    let mut client = net_with_server_a().client();
    let ready = ServiceExt::<Request<()>>::ready(&mut client).await;
    let mut clone = ready.expect("always ready").clone();
    drop(clone.call(get("http://a.test/")));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "called without readiness of its own")]
async fn each_call_needs_readiness() {
    let mut client = net_with_server_a().client();
    let ready = ServiceExt::<Request<()>>::ready(&mut client).await;
    drop(ready.expect("always ready").call(get("http://a.test/")));
    drop(client.call(get("http://a.test/")));
}

fn gated_server(gates: &Gates) -> task::Spawn<Gated<Client<&'static str>>> {
    task::spawn(gates.layer("a").layer(net_with_server_a().client()))
}

fn poll_ready(
    service: &mut task::Spawn<Gated<Client<&'static str>>>,
) -> std::task::Poll<Result<(), Box<dyn std::error::Error + Send + Sync>>> {
    service.enter(|cx, mut service| Service::<Request<()>>::poll_ready(&mut *service, cx))
}

#[tokio::test(start_paused = true)]
async fn ready_handle_holds_slot_until_its_response() {
    let gates = Gates::default();
    let mut service = gated_server(&gates);
    gates.set_free_slots("a", 1);
    assert_ready_ok!(poll_ready(&mut service));
    assert_ready_ok!(poll_ready(&mut service));
    assert_eq!(gates.free_slots("a"), 0, "one slot for two polls");
    let response = service.call(get("http://a.test/"));
    assert_pending!(poll_ready(&mut service));
    response.await.expect("an answer");
    assert!(service.is_woken(), "the slot is free again");
    assert_ready_ok!(poll_ready(&mut service));
    drop(service);
    assert_eq!(gates.free_slots("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn readiness_fails_as_often_as_requested() {
    let gates = Gates::default();
    let mut service = gated_server(&gates);
    gates.fail_readiness("a", 2);
    for _ in 0..2 {
        assert_ready_err!(poll_ready(&mut service));
    }
    assert_ready_ok!(poll_ready(&mut service));
    assert_eq!(gates.ready_polls("a"), 3);
}

#[tokio::test(start_paused = true)]
async fn clone_of_ready_service_holds_no_slot() {
    let gates = Gates::default();
    let mut service = gated_server(&gates);
    gates.set_free_slots("a", 1);
    assert_ready_ok!(poll_ready(&mut service));
    let mut clone = task::spawn((*service).clone());
    assert_pending!(poll_ready(&mut clone));
    drop(service);
    assert!(clone.is_woken());
    assert_ready_ok!(poll_ready(&mut clone));
}
