//! The client of reqwest, with middleware that answers in place of the network.

use std::pin::Pin;

use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;
use tokio::time::sleep;

use super::client::Client;
use super::request::{chat, template};
use super::retry::{ATTEMPTS, BACKOFF};
use super::upstream::Plan;

type Handled<'a> = Pin<Box<dyn Future<Output = Result<Response>> + Send + 'a>>;

/// A client of reqwest with successful requests.
pub(crate) struct Reqwest {
    client: ClientWithMiddleware,
    template: Option<Request>,
}

impl Reqwest {
    /// Creates a client that sends each request once.
    pub(crate) fn bare<P: Plan>(plan: P) -> Self {
        Self::new(builder(), plan)
    }

    /// Creates a client that does what retrying takes, without a rule.
    pub(crate) fn by_hand<P: Plan>(plan: P) -> Self {
        Self::new(builder().with(twice), plan)
    }

    /// Creates a client with the middleware that retries.
    pub(crate) fn retrying<P: Plan>(plan: P) -> Self {
        let policy = ExponentialBackoff::builder().build_with_max_retries(ATTEMPTS - 1);
        let retry = RetryTransientMiddleware::new_with_policy(policy);
        Self::new(builder().with(retry), plan)
    }

    fn new<P: Plan>(builder: ClientBuilder, plan: P) -> Self {
        Self {
            client: builder.with(instead_of_the_network(plan)).build(),
            template: None,
        }
    }
}

impl Client for Reqwest {
    async fn send(&mut self) {
        let template = self.template.get_or_insert_with(|| {
            let request = template(None).map(|_| chat());
            Request::try_from(request).expect("an absolute URI")
        });
        let request = template.try_clone().expect("a body in memory");
        let mut response = self.client.execute(request).await.expect("an answer");
        assert!(response.status().is_success(), "not what the case is about");
        while response.chunk().await.is_ok_and(|chunk| chunk.is_some()) {}
    }
}

impl Clone for Reqwest {
    fn clone(&self) -> Self {
        // Without the template, as other clients.
        Self {
            client: self.client.clone(),
            template: None,
        }
    }
}

fn builder() -> ClientBuilder {
    ClientBuilder::new(reqwest::Client::new())
}

fn instead_of_the_network<P: Plan>(plan: P) -> impl Middleware {
    middleware(move |_, _, _| {
        let response = plan.answer().expect("no plan of this client fails");
        let response = response.map(reqwest::Body::wrap);
        Box::pin(std::future::ready(Ok(response.into())))
    })
}

/// Lets the compiler know how long the arguments of a closure live.
fn middleware<F>(f: F) -> F
where
    F: for<'a> Fn(Request, &'a mut Extensions, Next<'a>) -> Handled<'a>,
{
    f
}

fn twice<'a>(request: Request, extensions: &'a mut Extensions, next: Next<'a>) -> Handled<'a> {
    Box::pin(async move {
        let copy = request.try_clone().expect("a body in memory");
        let response = next.clone().run(request, extensions).await?;
        if response.status() != StatusCode::TOO_MANY_REQUESTS {
            return Ok(response);
        }
        sleep(BACKOFF).await;
        next.run(copy, extensions).await
    })
}
