//! Endpoints from the addresses of a name.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use steadfast_core::InvalidConfig;
use tokio::time::{sleep, timeout};

use crate::endpoint::Endpoint;
use crate::pool::handle::PoolHandle;

/// How long an answer of a resolver is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How soon a resolver that failed is asked again. It doubles, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How many addresses of a name are used. Nobody fills a pool without end.
const MAX_ADDRESSES: usize = 64;

/// Makes an endpoint for each address of a host name, and asks for them again from time to time.
///
/// [`PoolHandle::resolve`] does it. `Endpoint::new("api", "https://api.example.com/v1")` becomes
/// `api@192.0.2.1:443` and `api@192.0.2.2:443`, each with a breaker, a cooldown and a count of
/// its own, and with all that the endpoint `api` is set to.
///
/// # How a request gets to its address
///
/// The URI of a request keeps the name, because `Host`, SNI and the certificate need it. The
/// address is beside it: [`Endpoint::address`] says it to the function that makes the
/// [layers of an endpoint](crate::EndpointBalanceBuilder::endpoint_layer), and
/// [`ResolvedAddr`](crate::ResolvedAddr) in the extensions of the request to the client. A client
/// that knows of neither goes wherever the name leads it, and the endpoints are the same place
/// under several names.
///
/// Clients keep connections by the name in the URI, so each address needs a client of its own:
///
/// ```
/// # use bytes::Bytes;
/// # use http::{Request, Uri};
/// # use http_body_util::{BodyExt, Full};
/// # use std::io;
/// # use std::net::SocketAddr;
/// # use steadfast_balance::{Endpoint, EndpointBalanceLayer, Resolve, Strategy};
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::{TokioExecutor, TokioIo};
/// use tokio::net::TcpStream;
/// use tower::{Layer, ServiceExt, layer::layer_fn, service_fn};
///
/// # /// Answers with the name that it was asked for.
/// # async fn serve() -> io::Result<SocketAddr> {
/// #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// #     let address = listener.local_addr()?;
/// #     tokio::spawn(async move {
/// #         while let Ok((mut stream, _)) = listener.accept().await {
/// #             let mut head = vec![0; 4096];
/// #             let length = stream.read(&mut head).await.unwrap_or_default();
/// #             let head = String::from_utf8_lossy(&head[..length]).into_owned();
/// #             let host = head.lines().find(|line| line.starts_with("host")).unwrap_or_default();
/// #             let body = format!("{host} at {address}");
/// #             let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
/// #             let _ = stream.write_all(answer.as_bytes()).await;
/// #         }
/// #     });
/// #     Ok(address)
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let layer = EndpointBalanceLayer::builder()
///     .strategy(Strategy::RoundRobin)
///     .endpoint_layer(|endpoint| {
///         let address = endpoint.address().expect("all of them were resolved");
///         let connect = service_fn(move |_: Uri| {
///             let stream = TcpStream::connect(address);
///             Box::pin(async move { Ok::<_, io::Error>(TokioIo::new(stream.await?)) })
///         });
///         layer_fn(move |()| Client::builder(TokioExecutor::new()).build(connect))
///     })
///     .build_empty()?;
/// let pool = layer.handle();
///
/// # let (one, two) = (serve().await?, serve().await?);
/// # let (one, two) = (one.min(two), one.max(two));
/// // With the feature `dns`, `Resolve::new` asks the resolver of the operating system.
/// let api = Endpoint::new("api", "http://api.test")?;
/// let resolve = Resolve::with(api, move |name| async move {
///     assert_eq!(name, "api.test:80");
///     Ok(vec![one, two])
/// });
/// tokio::spawn(pool.resolve(resolve)?);
/// # tokio::task::yield_now().await;
///
/// let service = layer.layer(());
/// for address in [one, two] {
///     let request = Request::get("/models").body(Full::<Bytes>::default())?;
///     let response = service.clone().oneshot(request).await?;
///     let body = response.into_body().collect().await?.to_bytes();
///     assert_eq!(body, format!("host: api.test at {address}"));
/// }
/// # Ok(())
/// # }
/// ```
///
/// For TLS put `hyper_rustls`'s connector around a `HttpConnector::new_with_resolver` that answers
/// with the address; with `reqwest` it is `ClientBuilder::resolve`.
#[derive(Clone)]
#[must_use = "it does nothing until it is given to a pool"]
pub struct Resolve {
    /// The endpoint whose name is resolved. Each address gets a copy.
    endpoint: Endpoint,
    /// The time between two lookups.
    interval: Duration,
    /// Resolves `host:port` to addresses.
    resolver: Arc<Resolver>,
}

/// A function from `host:port` to a lookup.
type Resolver = dyn Fn(String) -> Resolving + Send + Sync;
/// A lookup in progress.
type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The addresses of a name that are in a pool.
struct Known {
    /// The pool that the addresses are added to.
    pool: PoolHandle,
    endpoint: Endpoint,
    /// The ids of the endpoints that this resolution has added.
    ids: Vec<(SocketAddr, u64)>,
}

impl Resolve {
    /// The time between two questions, if not set. It is the time to live of many records that are
    /// meant to change.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

    /// Resolves the host of an endpoint with the resolver of the operating system.
    #[cfg(feature = "dns")]
    pub fn new(endpoint: Endpoint) -> Self {
        Self::with(endpoint, async |name: String| {
            Ok(tokio::net::lookup_host(name).await?.collect())
        })
    }

    /// Resolves the host of an endpoint with `resolver`, which is asked for `host:port`.
    pub fn with<R, F>(endpoint: Endpoint, resolver: R) -> Self
    where
        R: Fn(String) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self {
            endpoint,
            interval: Self::DEFAULT_INTERVAL,
            resolver: Arc::new(move |name| Box::pin(resolver(name))),
        }
    }

    /// Sets the time between an answer and the next question.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Resolves a name. An empty answer is an error.
    async fn addresses(&self, name: String) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = timeout(TIMEOUT, (self.resolver)(name)).await??;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no addresses"));
        }
        // The order of an answer often changes although nothing else does.
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        Ok(addresses)
    }
}

impl PoolHandle {
    /// Keeps an endpoint in the pool for each address of a name, of at most 64.
    ///
    /// The future never ends; spawn it, or poll it beside something else. An address that is still
    /// there at the next answer keeps its endpoint and its state, a new one gets an endpoint, and
    /// one that has gone loses it, while what runs there comes to its end. One that somebody has
    /// removed comes back with the next answer: [`disable`](Self::disable) keeps it out. Other
    /// endpoints are left alone. So this is for names whose answers have all addresses. Where each has
    /// a few of many, endpoints would come and go, and what is known of them with them. When the resolver fails, finds nothing, or does not answer for 10 s, the endpoints
    /// stay, and it is asked again after 1 s, doubling to the interval.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if something is misconfigured.
    ///
    /// # Cancel safety
    ///
    /// Once the future is dropped the endpoints stay as they are.
    pub fn resolve(
        &self,
        resolve: Resolve,
    ) -> Result<impl Future<Output = Infallible> + Send + use<>, InvalidConfig> {
        if resolve.interval.is_zero() {
            return Err(InvalidConfig::new("interval", "0s", "must be positive"));
        }
        resolve.endpoint.validate()?;
        let mut known = Known {
            pool: self.clone(),
            endpoint: resolve.endpoint.clone(),
            ids: Vec::new(),
        };
        let name = host_and_port(&resolve.endpoint);
        Ok(async move {
            let mut retry = FIRST_RETRY;
            loop {
                match resolve.addresses(name.clone()).await {
                    Ok(addresses) => {
                        known.follow(&addresses);
                        retry = FIRST_RETRY;
                        sleep(resolve.interval).await;
                    }
                    Err(error) => {
                        tracing::info!(%name, %error, "name not resolved");
                        sleep(retry.min(resolve.interval)).await;
                        retry = retry.saturating_mul(2);
                    }
                }
            }
        })
    }
}

impl Known {
    /// Adds new addresses, and removes addresses that are no longer listed.
    fn follow(&mut self, addresses: &[SocketAddr]) {
        // Somebody may have taken one out, or all with `replace`.
        self.ids.retain(|(_, id)| self.pool.has(*id));
        // First those that come, so that there is no moment without any.
        for address in addresses {
            if !self.ids.iter().any(|(known, _)| known == address) {
                self.add(*address);
            }
        }
        self.ids.retain(|(address, id)| {
            let stays = addresses.contains(address);
            if !stays {
                self.pool.take(*id);
            }
            stays
        });
    }

    /// Adds an endpoint with this address.
    fn add(&mut self, address: SocketAddr) {
        let endpoint = self.endpoint.clone().resolved(address);
        let name = endpoint.name().clone();
        match self.pool.put(None, endpoint) {
            Ok(id) => self.ids.push((address, id)),
            // The rest is valid, but its name can be taken. It is tried again with the next answer.
            Err(error) => tracing::info!(endpoint = %name, %error, "endpoint passed over"),
        }
    }
}

/// Returns the `host:port` to resolve.
fn host_and_port(endpoint: &Endpoint) -> String {
    let authority = &endpoint.base.authority;
    let default = if endpoint.base.scheme == Scheme::HTTPS {
        443
    } else {
        80
    };
    let port = authority.port_u16().unwrap_or(default);
    format!("{}:{port}", authority.host())
}

impl fmt::Debug for Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolve")
            .field("endpoint", &self.endpoint)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
