//! Servers with a quota per model, or per model and credential.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::Request;
use steadfast_core::{LimitKey, RoutingOptions};
use tokio::time::Instant;

use crate::support::{Body, MS, Net, Reply, Sent, get, ok, refusal};

pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];
pub(super) const MODELS: [&str; 3] = ["x", "y", "z"];
pub(super) const CALLERS: [&str; 2] = ["one", "two"];

/// The restrictions of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wish {
    pub(super) model: usize,
    pub(super) caller: usize,
    /// The only endpoint that it allows, if it allows only one.
    pub(super) only: Option<usize>,
}

/// A request that a server received: the endpoint, and the number of the request.
pub(super) type Received = (usize, usize);

/// The servers of a walk.
#[derive(Clone, Default)]
pub(super) struct Servers {
    received: Arc<Mutex<Vec<Received>>>,
    /// Whether each request is served.
    pub(super) unlimited: Arc<Mutex<bool>>,
}

/// A token bucket: the tokens, and the instant of the last refill.
type Bucket = (f64, Instant);

impl Wish {
    /// Returns the request, with or without the credential of its caller.
    pub(super) fn request(self, number: usize, has_credential: bool) -> Request<Body> {
        let mut request = super::super::with_number(get(), number);
        let (model, caller) = (MODELS[self.model], CALLERS[self.caller]);
        let headers = request.headers_mut();
        headers.insert("x-model", http::HeaderValue::from_static(model));
        if has_credential {
            headers.insert("x-api-key", http::HeaderValue::from_static(caller));
        }
        request.extensions_mut().insert(LimitKey::new(model));
        if let Some(only) = self.only {
            let options = RoutingOptions::new().only(NAMES[only]);
            request.extensions_mut().insert(options);
        }
        request
    }

    pub(super) fn wants(self, endpoint: usize) -> bool {
        self.only.is_none_or(|only| only == endpoint)
    }
}

impl Servers {
    /// Starts the servers. Those in `passes` have a quota per credential.
    pub(super) fn start(net: &Net, per_second: f64, passes: [bool; 3]) -> Self {
        let servers = Self::default();
        for (endpoint, name) in NAMES.into_iter().enumerate() {
            let (servers, buckets) = (servers.clone(), Mutex::new(HashMap::new()));
            net.on_request(name, move |_, sent| {
                let number = sent.uri.path()[1..].parse().expect("a number");
                servers.received.lock().unwrap().push((endpoint, number));
                let key = quota_of(sent, passes[endpoint]);
                let has_token = take(&mut buckets.lock().unwrap(), key, per_second);
                if has_token || *servers.unlimited.lock().unwrap() {
                    Reply::from(ok()).after(10 * MS * (number as u32 % 3))
                } else {
                    Reply::from(refusal("1")).after(5 * MS)
                }
            });
        }
        servers
    }

    /// Returns the requests that arrived after the first `known`.
    pub(super) fn since(&self, known: usize) -> Vec<Received> {
        self.received.lock().unwrap()[known..].to_vec()
    }
}

/// Returns the name of the quota that a request uses.
fn quota_of(sent: &Sent, per_credential: bool) -> (String, String) {
    let text = |name| {
        let value = sent.headers.get(name);
        value.map_or_else(String::new, |value| value.to_str().expect("ASCII").into())
    };
    let credential = per_credential.then(|| text("x-api-key"));
    (text("x-model"), credential.unwrap_or_default())
}

/// Takes a token of a bucket that holds the tokens of a second.
fn take(
    buckets: &mut HashMap<(String, String), Bucket>,
    key: (String, String),
    per_second: f64,
) -> bool {
    let now = Instant::now();
    let bucket = buckets.entry(key).or_insert((per_second, now));
    let gained = per_second * now.duration_since(bucket.1).as_secs_f64();
    *bucket = (f64::min(bucket.0 + gained, per_second), now);
    let has_token = bucket.0 >= 1.0;
    bucket.0 -= f64::from(has_token);
    has_token
}
