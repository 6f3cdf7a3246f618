use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use steadfast::{AiStack, Deadline, Endpoint};
use steadfast_core::RetryBudget;
use steadfast_retry::{RetryOn429Layer, RetryOverride};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt};

use super::{Client, Contestant, NotAsked, Sending, Shape, hyper_client, through};
use crate::retry::ask::{Ask, SentBody};

const BUDGET: u32 = 100;

pub(crate) struct Ours;

impl Contestant for Ours {
    fn package(&self) -> &'static str {
        "steadfast-retry"
    }

    fn configured(&self) -> &'static str {
        "`RetryOn429Layer::new()` over the client of hyper-util. In the rows about \
         error bodies: \
         `AiStack` with one endpoint and its defaults, as the layer alone reads no bodies. The header \
         with the attempt's number is set with `attempt_header`. A budget set by hand is `RetryBudget::new(100)`, of \
         which one caller takes at most three quarters, and a retry after a `503` takes 14."
    }

    fn promise(&self) -> Option<usize> {
        Some((BUDGET * 3 / 4 / RetryBudget::RETRY_COST) as usize)
    }

    fn client(&self, shape: Shape, origin: &str) -> Result<Box<dyn Client>, NotAsked> {
        let budget = match shape {
            Shape::Budget => RetryBudget::new(BUDGET),
            _ => RetryBudget::default(),
        };
        let layer = RetryOn429Layer::new().budget(budget.clone());
        let service = match shape {
            Shape::ErrorBodies => {
                let endpoint = Endpoint::new("only", &format!("{origin}/v1"));
                let stack = AiStack::builder().endpoint(endpoint.expect("a valid URL"));
                erase(stack.build().expect("a valid configuration"))
            }
            Shape::Nested => erase(layer.layer(RetryOn429Layer::new().layer(hyper_client()))),
            Shape::Numbered => {
                let name = HeaderName::from_static("x-attempt");
                erase(layer.attempt_header(name).layer(hyper_client()))
            }
            _ => erase(layer.layer(hyper_client())),
        };
        Ok(Box::new(OursClient {
            service,
            origin: origin.to_owned(),
            budget,
        }))
    }
}

type Erased = BoxCloneSyncService<Request<SentBody>, Response<AnswerBody>, BoxError>;
type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

struct OursClient {
    service: Erased,
    origin: String,
    budget: RetryBudget,
}

impl Client for OursClient {
    fn send(&self, ask: &Ask) -> Result<Sending, NotAsked> {
        let mut request = ask.request(&self.origin);
        if let Some(deadline) = ask.deadline {
            request.extensions_mut().insert(Deadline::after(deadline));
        }
        if ask.once {
            request.extensions_mut().insert(RetryOverride::never());
        }
        Ok(Box::pin(through(self.service.clone(), request)))
    }

    fn budget(&self) -> Option<(u32, u32)> {
        Some((self.budget.available(), self.budget.capacity()))
    }
}

fn erase<S, B>(service: S) -> Erased
where
    S: Service<Request<SentBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let service = service.map_response(|response: Response<B>| {
        response.map(|body| body.map_err(Into::into).boxed_unsync())
    });
    BoxCloneSyncService::new(service.map_err(Into::into))
}
