use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;

use super::{
    Client, Contestant, NotAsked, Sending, Shape, in_short, reqwest_answer, reqwest_client,
    reqwest_request,
};
use crate::retry::ask::Ask;

const RETRIES: u32 = 3;

pub(crate) struct ReqwestRetry;

impl Contestant for ReqwestRetry {
    fn package(&self) -> &'static str {
        "reqwest-retry"
    }

    fn configured(&self) -> &'static str {
        "`RetryTransientMiddleware` with the default strategy and `ExponentialBackoff::builder()\
         .build_with_max_retries(3)`, as its documentation shows: waits of up to 1 s, 2 s and 4 s, each \
         drawn at random between zero and this bound."
    }

    fn client(&self, shape: Shape, origin: &str) -> Result<Box<dyn Client>, NotAsked> {
        if shape == Shape::Budget {
            return Err("no budget");
        }
        let client = reqwest_client().build().expect("a client");
        let mut builder = ClientBuilder::new(client).with(retry());
        if shape == Shape::Nested {
            builder = builder.with(retry());
        }
        Ok(Box::new(ReqwestRetryClient {
            client: builder.build(),
            origin: origin.to_owned(),
        }))
    }
}

fn retry() -> RetryTransientMiddleware<ExponentialBackoff> {
    let policy = ExponentialBackoff::builder().build_with_max_retries(RETRIES);
    RetryTransientMiddleware::new_with_policy(policy)
}

struct ReqwestRetryClient {
    client: ClientWithMiddleware,
    origin: String,
}

impl Client for ReqwestRetryClient {
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
