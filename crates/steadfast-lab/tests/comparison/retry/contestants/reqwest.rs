use reqwest::retry;

use super::{
    Client, Contestant, NotAsked, Sending, Shape, in_short, is_transient, reqwest_answer,
    reqwest_client, reqwest_request,
};
use crate::retry::ask::Ask;

/// Ten requests that succeed and sixty that fail, and 60 % more.
const PROMISE: usize = 42;
const EXTRA_LOAD: f32 = 0.6;

pub(crate) struct Reqwest;

impl Contestant for Reqwest {
    fn package(&self) -> &'static str {
        "reqwest"
    }

    fn name(&self) -> String {
        "`reqwest::retry`".to_owned()
    }

    fn configured(&self) -> &'static str {
        "`retry::for_host` of the server, its default of 2 retries and its default budget. The classifier, which sees \
         the method, the URI, the status or the error: `429` and refused connections for every method, `5xx` and other \
         errors for idempotent methods only, as its documentation advises. A budget set by hand is \
         `max_extra_load(0.6)`: 42 retries for 70 requests."
    }

    fn promise(&self) -> Option<usize> {
        Some(PROMISE)
    }

    fn client(&self, shape: Shape, origin: &str) -> Result<Box<dyn Client>, NotAsked> {
        let mut policy = retry::for_host("127.0.0.1").classify_fn(|outcome| {
            let (status, error) = (outcome.status(), outcome.error());
            let error = error.and_then(|error| error.downcast_ref::<reqwest::Error>());
            let is_bad = error.is_some() || status.is_some_and(is_transient);
            let is_safe = outcome.method().is_idempotent()
                || status.is_some_and(|status| status == 429)
                || error.is_some_and(reqwest::Error::is_connect);
            if is_bad && is_safe {
                outcome.retryable()
            } else {
                outcome.success()
            }
        });
        match shape {
            Shape::Nested => return Err("one policy for a client"),
            Shape::Budget => policy = policy.max_extra_load(EXTRA_LOAD),
            _ => {}
        }
        let client = reqwest_client().retry(policy).build().expect("a client");
        Ok(Box::new(ReqwestClient {
            client,
            origin: origin.to_owned(),
        }))
    }
}

struct ReqwestClient {
    client: reqwest::Client,
    origin: String,
}

impl Client for ReqwestClient {
    fn send(&self, ask: &Ask) -> Result<Sending, NotAsked> {
        if ask.once {
            return Err("the same for all requests");
        }
        let request = reqwest_request(ask, &self.origin);
        let client = self.client.clone();
        Ok(Box::pin(async move {
            match client.execute(request).await {
                Ok(response) => Ok(reqwest_answer(response).await),
                Err(error) => Err(in_short(&error)),
            }
        }))
    }
}
