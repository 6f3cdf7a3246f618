use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::ReqwestService;
use async_openai::middleware::retry::OpenAIRetryLayer;
use async_openai::traits::RequestOptionsBuilder;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;
use tower::ServiceBuilder;

use super::{Client, Contestant, NotAsked, Sending, Shape, in_short, reqwest_client};
use crate::retry::ask::{Answer, Ask, Payload};

pub(crate) struct AsyncOpenai;

impl Contestant for AsyncOpenai {
    fn package(&self) -> &'static str {
        "async-openai"
    }

    fn configured(&self) -> &'static str {
        "The retry layer of its default client, with 3 retries. It speaks one API: a `GET` here is `models().list()`, a \
         `POST` a chat completion, and there are no other methods and no streamed bodies. It gives errors without the \
         headers of the answer, so a hint in them is lost to its caller."
    }

    fn client(&self, shape: Shape, origin: &str) -> Result<Box<dyn Client>, NotAsked> {
        if shape == Shape::Budget {
            return Err("no budget");
        }
        let config = OpenAIConfig::new()
            .with_api_key("sk-0")
            .with_api_base(format!("{origin}/v1"));
        let http = reqwest_client().build().expect("a client");
        let mut client = async_openai::Client::build(http.clone(), config);
        if shape == Shape::Nested {
            let service = ServiceBuilder::new()
                .layer(OpenAIRetryLayer::default())
                .layer(OpenAIRetryLayer::default())
                .service(ReqwestService::new(http));
            client = client.with_http_service(service);
        }
        Ok(Box::new(AsyncOpenaiClient(client)))
    }
}

struct AsyncOpenaiClient(async_openai::Client<OpenAIConfig>);

impl Client for AsyncOpenaiClient {
    fn send(&self, ask: &Ask) -> Result<Sending, NotAsked> {
        if ask.once {
            return Err("the same for all requests");
        }
        let Payload::Whole(body) = &ask.payload else {
            return Err("no streamed bodies");
        };
        let (client, headers) = (self.0.clone(), headers(ask));
        if ask.method == Method::GET {
            return Ok(Box::pin(async move {
                let models = client.models().headers(headers);
                answer(models.list_byot().await)
            }));
        }
        if ask.method != Method::POST {
            return Err("no such method");
        }
        let body: Value = serde_json::from_slice(body).map_err(|_| "JSON only")?;
        Ok(Box::pin(async move {
            let chat = client.chat().headers(headers);
            answer(chat.create_byot(body).await)
        }))
    }
}

fn headers(ask: &Ask) -> HeaderMap {
    let parse = |(name, value): &(&'static str, String)| {
        let value = HeaderValue::from_str(value).expect("a valid value");
        (HeaderName::from_static(name), value)
    };
    ask.headers.iter().map(parse).collect()
}

fn answer(result: Result<Value, OpenAIError>) -> Result<Answer, String> {
    let (status, body) = match result {
        Ok(value) => (StatusCode::OK, value.to_string()),
        Err(OpenAIError::ApiError(error)) => (error.status_code, error.to_string()),
        Err(OpenAIError::JSONDeserialize(..)) => return Err("JSON error".to_owned()),
        Err(error) => return Err(in_short(&error)),
    };
    Ok(Answer {
        status,
        headers: HeaderMap::new(),
        body: Ok(Bytes::from(body)),
    })
}
