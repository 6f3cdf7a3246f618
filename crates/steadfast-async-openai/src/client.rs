//! The client over a stack.

use async_openai::Client;
use async_openai::config::{Config, OpenAIConfig};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use steadfast_core::BoxError;
use tower_service::Service;

use crate::service::HttpService;

/// The base of all calls. A stack replaces everything but the path below `/v1`.
const API_BASE: &str = "http://stack.invalid/v1";

/// Creates a client over a stack that has the addresses and keys of its endpoints, such as `AiStack`.
///
/// The environment is not read. The requests have the path of the OpenAI API and no credential. A
/// stack with another request root needs [`client_with_config`], with a base that ends in it.
pub fn client<S, B>(stack: S) -> Client<OpenAIConfig>
where
    S: Service<Request<reqwest::Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    // The default configuration reads the environment. All of its values are replaced.
    let config = OpenAIConfig::new()
        .with_api_base(API_BASE)
        .with_api_key("")
        .with_org_id("")
        .with_project_id("");
    client_with_config(stack, config)
}

/// Creates a client with a configuration.
///
/// For a stack without addresses and keys, or for another API of `async-openai` such as Azure.
pub fn client_with_config<C, S, B>(stack: S, config: C) -> Client<C>
where
    C: Config,
    S: Service<Request<reqwest::Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    Client::with_config(config).with_http_service(HttpService::new(stack))
}
