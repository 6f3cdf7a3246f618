use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::time::sleep;

use super::{Client, Contestant, NotAsked, Sending, Shape, hyper_client, through};
use crate::retry::ask::Ask;

const ATTEMPTS: usize = 4;
const PAUSE: Duration = Duration::from_secs(5);

/// Sends every request once.
pub(crate) struct Once;

/// Sends every request again until it succeeds, five seconds apart, with the first part of its
/// body, and does not stop when its caller has gone.
pub(crate) struct Stubborn;

impl Contestant for Once {
    fn package(&self) -> &'static str {
        "hyper-util"
    }

    fn configured(&self) -> &'static str {
        "never retries"
    }

    fn client(&self, _: Shape, origin: &str) -> Result<Box<dyn Client>, NotAsked> {
        Ok(Box::new(OnceClient(origin.to_owned())))
    }
}

impl Contestant for Stubborn {
    fn package(&self) -> &'static str {
        "hyper-util"
    }

    fn configured(&self) -> &'static str {
        "always retries"
    }

    fn client(&self, _: Shape, origin: &str) -> Result<Box<dyn Client>, NotAsked> {
        Ok(Box::new(StubbornClient(origin.to_owned())))
    }
}

struct OnceClient(String);

impl Client for OnceClient {
    fn send(&self, ask: &Ask) -> Result<Sending, NotAsked> {
        Ok(Box::pin(through(hyper_client(), ask.request(&self.0))))
    }
}

struct StubbornClient(String);

impl Client for StubbornClient {
    fn send(&self, ask: &Ask) -> Result<Sending, NotAsked> {
        let (ask, origin) = (ask.clone(), self.0.clone());
        let sending = tokio::spawn(async move {
            let mut result = through(hyper_client(), ask.request(&origin)).await;
            for _ in 1..ATTEMPTS {
                if result
                    .as_ref()
                    .is_ok_and(|answer| answer.status == 200 && answer.body.is_ok())
                {
                    break;
                }
                sleep(PAUSE).await;
                let mut body = ask.payload.bytes();
                body.truncate(body.len() / 2);
                let request: Request<_> = ask.request(&origin);
                result = through(hyper_client(), request.map(|_| Full::<Bytes>::from(body))).await;
            }
            result
        });
        Ok(Box::pin(async move { sending.await.expect("no panic") }))
    }
}
