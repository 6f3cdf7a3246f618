//! Tokens that expire: the current one of an endpoint, and its renewal.

mod service;
mod source;

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use steadfast_core::BoxError;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncGuard};
use tokio::time::{Instant, timeout};

pub(crate) use self::service::TokenLayer;
pub use self::source::TokenSource;

/// A token is renewed this long before it expires, or a tenth of its lifetime if that is shorter.
const EARLY: Duration = Duration::from_secs(60);
/// The time for a renewal.
const RENEWAL: Duration = Duration::from_secs(10);
/// The pause after a failed renewal. Meanwhile requests without a valid token fail at once.
const PAUSE: Duration = Duration::from_secs(1);
/// A younger token is not renewed after a `401`: a server that rejects each token would otherwise
/// cause a renewal per request.
const YOUNG: Duration = Duration::from_secs(5);

/// The token of an endpoint. Its renewal runs once at a time.
pub(crate) struct Tokens {
    /// Returns new tokens.
    source: Arc<dyn TokenSource>,
    /// The last token, and the last failure.
    state: Mutex<State>,
    /// Held during a renewal. A request that leaves keeps its renewal here.
    renewal: AsyncMutex<Option<Renewal>>,
}

/// A call of the source.
struct Renewal {
    /// The call, with its limit.
    call: Pin<Box<dyn Future<Output = Received> + Send>>,
    /// The limit.
    until: Instant,
}

/// The value of `authorization` and its lifetime, or a reason.
type Received = Result<(HeaderValue, Option<Duration>), Reason>;

/// The last results of the source.
#[derive(Default)]
struct State {
    /// The last token.
    token: Option<Token>,
    /// The number of tokens so far.
    count: u64,
    /// The end of the pause after a failure, and its message.
    failed: Option<(Instant, Reason)>,
}

/// A token and its times.
#[derive(Clone)]
pub(crate) struct Token {
    /// The value of `authorization`.
    header: HeaderValue,
    /// Its number.
    number: u64,
    /// The time at which it was received.
    since: Instant,
    /// The time from which it is renewed. `None` for a token without an end.
    due: Option<Instant>,
    /// The time from which it is not sent.
    end: Option<Instant>,
}

/// The error of a source, which all requests without a token share.
type Reason = Arc<dyn Error + Send + Sync>;

/// The source of the tokens of an endpoint failed.
#[derive(Debug)]
struct NoToken(Reason);

impl Tokens {
    /// Creates the state of an endpoint that has not needed a token yet.
    pub(crate) fn new(source: impl TokenSource) -> Self {
        Self {
            source: Arc::new(source),
            state: Mutex::default(),
            renewal: AsyncMutex::default(),
        }
    }

    /// Returns a token other than `rejected`, and renews it if that is due.
    ///
    /// While a token is valid, one request renews it, and the others use it. Without a valid one,
    /// all requests wait for one renewal. If the request that started it leaves, the next one
    /// continues it: the source may be slower than the patience of every caller.
    pub(crate) async fn get(&self, rejected: Option<u64>) -> Result<Token, BoxError> {
        if let Some(token) = self.valid(rejected) {
            if !token.is_due() {
                return Ok(token);
            }
            let Ok(renewal) = self.renewal.try_lock() else {
                return Ok(token);
            };
            // The token is valid for a while, so a failure can wait for the next request.
            return Ok(self.renew(renewal).await.unwrap_or(token));
        }
        let renewal = self.renewal.lock().await;
        // Another request may have renewed it meanwhile.
        match self.valid(rejected) {
            Some(token) => Ok(token),
            None => self.renew(renewal).await.map_err(Into::into),
        }
    }

    /// Returns whether a `401` to this token justifies another one.
    pub(crate) fn may_replace(&self, token: &Token) -> bool {
        token.since.elapsed() >= YOUNG || self.lock().count != token.number
    }

    /// Returns the last token, unless it has ended or was rejected.
    fn valid(&self, rejected: Option<u64>) -> Option<Token> {
        let token = self.lock().token.clone()?;
        let is_over = token.end.is_some_and(|end| end <= Instant::now());
        (!is_over && rejected != Some(token.number)).then_some(token)
    }

    /// Returns the present token, without a renewal.
    pub(crate) fn present(&self) -> Option<HeaderValue> {
        self.valid(None).map(|token| token.header)
    }

    /// Waits for a token of the source.
    async fn renew(&self, mut renewal: AsyncGuard<'_, Option<Renewal>>) -> Result<Token, NoToken> {
        if let Some((until, reason)) = &self.lock().failed {
            if *until > Instant::now() {
                return Err(NoToken(reason.clone()));
            }
        }
        // A call that was left until its limit is not late: it starts anew.
        let is_over = |it: &mut Renewal| it.until <= Instant::now();
        drop(renewal.take_if(is_over));
        let renewed = poll_fn(|cx| {
            // Not in its place during the poll: a source that panics is not polled again.
            let mut current = renewal.take().unwrap_or_else(|| self.call());
            let polled = current.call.as_mut().poll(cx);
            if polled.is_pending() {
                *renewal = Some(current);
            }
            polled
        });
        let renewed = renewed.await;
        let now = Instant::now();
        let mut state = self.lock();
        match renewed {
            Ok((header, lifetime)) => {
                state.count += 1;
                let token = Token::new(header, state.count, now, lifetime);
                state.token = Some(token.clone());
                state.failed = None;
                Ok(token)
            }
            Err(reason) => {
                state.failed = Some((now + PAUSE, reason.clone()));
                Err(NoToken(reason))
            }
        }
    }

    /// Calls the source.
    fn call(&self) -> Renewal {
        let source = self.source.clone();
        let call = async move {
            match timeout(RENEWAL, source.token()).await {
                Ok(Ok((key, lifetime))) => Ok((key.bearer(), lifetime)),
                Ok(Err(error)) => Err(Reason::from(error)),
                Err(_) => Err(Reason::from(BoxError::from("no token within 10 s"))),
            }
        };
        Renewal {
            call: Box::pin(call),
            until: Instant::now() + RENEWAL,
        }
    }

    /// Locks the state for a few instructions.
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each field is written whole, so a panic cannot leave it inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    /// Creates a token that was received now.
    fn new(header: HeaderValue, number: u64, now: Instant, lifetime: Option<Duration>) -> Self {
        // A lifetime beyond the clock has no end.
        let after = |time: Duration| now.checked_add(time);
        let early = |lifetime: Duration| lifetime.saturating_sub(EARLY.min(lifetime / 10));
        Self {
            header,
            number,
            since: now,
            due: lifetime.map(early).and_then(after),
            end: lifetime.and_then(after),
        }
    }

    /// Returns whether it is to be renewed.
    fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no token for the endpoint: {}", self.0)
    }
}

impl Error for NoToken {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests;
