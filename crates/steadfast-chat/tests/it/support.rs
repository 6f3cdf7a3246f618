//! Clients over upstreams on loopback.

use steadfast::{AiStack, AiStackBuilder, Endpoint};
use steadfast_chat::ChatClient;
use steadfast_testkit::{Reply, Upstream};

/// Starts an upstream for each name, and a client over all of them.
pub(crate) async fn client<const N: usize>(names: [&str; N]) -> (ChatClient, [Upstream; N]) {
    client_over(AiStack::builder(), names).await
}

/// The same, with further settings of the stack.
pub(crate) async fn client_over<const N: usize>(
    mut builder: AiStackBuilder,
    names: [&str; N],
) -> (ChatClient, [Upstream; N]) {
    let mut upstreams = Vec::new();
    for name in names {
        let upstream = Upstream::start().await.expect("a free port").named(name);
        let endpoint = Endpoint::new(name, &upstream.url()).expect("a URL");
        builder = builder.endpoint(endpoint);
        upstreams.push(upstream);
    }
    let ai = builder.build().expect("a valid stack");
    let upstreams = upstreams.try_into().expect("as many as names");
    (ChatClient::new(ai), upstreams)
}

/// Creates a stream of these events.
pub(crate) fn events(data: &[&str]) -> Reply {
    let body: String = data
        .iter()
        .map(|data| format!("data: {data}\n\n"))
        .collect();
    Reply::raw(200, [("content-type", "text/event-stream")], body)
}
