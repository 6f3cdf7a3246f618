//! Endpoints from the resolved addresses of a host name.

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

/// The timeout of one lookup.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The wait after a failed lookup. It doubles with each failure, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The greatest number of addresses of a name, so that an answer cannot grow a pool without limit.
const MAX_ADDRESSES: usize = 64;

/// Describes the lookup of a host name that yields an endpoint for each address.
///
/// [`PoolHandle::resolve`] runs the lookups, one per interval. For example,
/// `Endpoint::new("api", "https://api.example.com/v1")` becomes `api@192.0.2.1:443` and
/// `api@192.0.2.2:443`. Each address has its own breaker, cooldown and count of requests in flight.
/// Each address has all settings of the endpoint `api`.
///
/// # Address of a request
///
/// The URI of a request keeps the name, because `Host`, SNI and the certificate need it. The
/// address is available in two other places:
///
/// * [`Endpoint::address`] has it for the function that creates the
///   [layers of an endpoint](crate::EndpointBalanceBuilder::endpoint_layer).
/// * [`ResolvedAddr`](crate::ResolvedAddr) in the extensions of the request has it for the client.
///
/// If a client uses neither, it resolves the name itself. All endpoints then lead to the same
/// addresses.
///
/// HTTP clients pool connections by the name in the URI. Each address therefore needs its own
/// client:
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
/// For TLS, wrap a `HttpConnector::new_with_resolver` that returns the address in the connector of
/// `hyper_rustls`. With `reqwest`, use `ClientBuilder::resolve`.
#[derive(Clone)]
#[must_use = "it does nothing until it is given to a pool"]
pub struct Resolve {
    /// The endpoint to resolve. Each address gets a copy of it.
    endpoint: Endpoint,
    /// The time between an answer and the next lookup.
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
    /// The endpoint that each address gets a copy of.
    endpoint: Endpoint,
    /// The ids of the endpoints that this resolution has added.
    ids: Vec<(SocketAddr, u64)>,
}

impl Resolve {
    /// The default time between an answer and the next lookup, 30 s.
    ///
    /// DNS records that are expected to change often have this time to live.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

    /// Resolves the host of an endpoint with the resolver of the operating system.
    #[cfg(feature = "dns")]
    pub fn new(endpoint: Endpoint) -> Self {
        Self::with(endpoint, async |name: String| {
            Ok(tokio::net::lookup_host(name).await?.collect())
        })
    }

    /// Resolves the host of an endpoint with `resolver`, a function of `host:port`.
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

    /// Sets the time between an answer and the next lookup. It must be positive.
    ///
    /// Defaults to [`DEFAULT_INTERVAL`](Self::DEFAULT_INTERVAL).
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Resolves a name. Returns an error if the answer is empty.
    async fn addresses(&self, name: String) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = timeout(TIMEOUT, (self.resolver)(name)).await??;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no addresses"));
        }
        // Resolvers often rotate the order. Sorted, the limit keeps the same addresses each time.
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        Ok(addresses)
    }
}

impl PoolHandle {
    /// Keeps an endpoint in the pool for each address of a name, of at most 64.
    ///
    /// The future never completes. Spawn it, or poll it next to other work. Each answer updates the
    /// pool:
    ///
    /// * If an address is still listed, its endpoint keeps its state.
    /// * If an address is new, an endpoint is added.
    /// * If an address is no longer listed, its endpoint is removed. Attempts in flight continue.
    /// * If an endpoint was removed through the handle, the next answer adds it again. To keep it
    ///   out of service, use [`disable`](Self::disable).
    ///
    /// Endpoints from other sources do not change. Each answer must list all addresses of the name.
    /// If answers list a varying subset, endpoints come and go and lose their state.
    ///
    /// A lookup fails if the resolver fails, returns no address, or takes longer than 10 s. The
    /// endpoints stay after a failure. The next lookup starts after 1 s. This wait doubles with
    /// each failure, up to the interval.
    ///
    /// # Errors
    ///
    /// Returns an error with the name of the field if the interval is zero or the endpoint
    /// is invalid.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the endpoints stay in the pool and are no longer updated.
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
        // The handle may have removed an endpoint since, or all of them with `replace`.
        self.ids.retain(|(_, id)| self.pool.has(*id));
        // Additions come before removals, so that the pool is not empty in between.
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
            // The name may be in use. The next answer tries the address again.
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
