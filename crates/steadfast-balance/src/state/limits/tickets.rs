//! The admission of an attempt by the limits of an endpoint.

use std::sync::Arc;
use std::time::Duration;

use super::concerned::Concerned;
use super::keyed::KeyedState;
use super::limit_state::LimitState;
use crate::state::cooldown::{Stub, Ticket};
use crate::state::quota::Taken;

/// The admission of an attempt by all limits that apply to it.
#[derive(Debug)]
pub(crate) struct Tickets {
    /// The age of the pool at the admission, from which its instant follows.
    ///
    /// An attempt moves with its response. With a whole instant or duration, a response with a
    /// small body would be larger than 256 bytes, and a move would cost 52 instructions in place of
    /// 29.
    age: Age,
    /// The ticket of the limits that all requests share.
    pub(super) wide: Stub,
    /// The tickets of the limits of the request's key.
    pub(super) keyed: Option<KeyedTicket>,
    /// The amounts that the attempt has taken from the quotas.
    pub(super) taken: Taken,
}

/// The admission of an attempt by the limits of its key.
#[derive(Debug)]
pub(super) struct KeyedTicket {
    pub(super) state: Arc<KeyedState>,
    pub(super) own: Stub,
    /// The account of the request, if it is another state.
    pub(super) account: Option<Arc<KeyedState>>,
    /// The ticket of the account. Without one, a copy of `own`.
    pub(super) by_account: Stub,
}

/// A duration in half its size. It ends at 136 years.
#[derive(Clone, Copy, Debug)]
struct Age {
    seconds: u32,
    nanos: u32,
}

/// The states that a verdict concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The key of the request, or all requests without a key.
    Key,
    /// The credential: the caller's, if the endpoint passes it on, otherwise the endpoint's own.
    Account,
    /// The endpoint itself.
    Endpoint,
}

/// One of the states that admitted an attempt.
#[derive(Clone, Copy)]
pub(crate) struct Admission<'a> {
    pub(crate) limits: &'a LimitState,
    pub(super) stub: Stub,
    /// The state of a key or of an account, or `None` for the shared limits.
    state: Option<&'a KeyedState>,
}

impl Admission<'_> {
    /// Returns the requests that the limits concern.
    pub(crate) fn concerned(&self) -> Concerned {
        self.state.map(KeyedState::concerned).unwrap_or_default()
    }
}

impl Tickets {
    /// Creates the tickets of an attempt that is admitted at this age of the pool.
    #[inline]
    pub(super) fn new(age: Duration, wide: Ticket, keyed: Option<KeyedTicket>) -> Self {
        Self {
            age: Age {
                seconds: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
                nanos: age.subsec_nanos(),
            },
            wide: wide.stub(),
            keyed,
            taken: Taken::default(),
        }
    }

    /// Returns the age of the pool at the admission.
    #[inline]
    pub(crate) fn pool_age(&self) -> Duration {
        Duration::new(u64::from(self.age.seconds), self.age.nanos)
    }

    /// Returns whether the request has a key with limits of its own.
    pub(crate) fn has_key(&self) -> bool {
        let keyed = self.keyed.as_ref();
        keyed.is_some_and(|keyed| keyed.state.key().is_some())
    }

    /// Returns the admission by the shared limits, which are `limits`.
    #[inline]
    pub(super) fn wide<'a>(&self, limits: &'a LimitState) -> Admission<'a> {
        Admission {
            limits,
            stub: self.wide,
            state: None,
        }
    }

    /// Returns all admissions. The shared limits are `wide`.
    #[inline]
    pub(super) fn all<'a>(
        &'a self,
        wide: &'a LimitState,
    ) -> impl Iterator<Item = Admission<'a>> + use<'a> {
        let keyed = self.keyed.iter().flat_map(|keyed| {
            let own = std::iter::once(keyed.own());
            own.chain(keyed.account())
        });
        std::iter::once(self.wide(wide)).chain(keyed)
    }

    /// Returns the admission at this level by the limits of the key, or `None` for the level of the
    /// endpoint.
    #[inline]
    pub(super) fn keyed_at(&self, level: Level) -> Option<Admission<'_>> {
        let keyed = self.keyed.as_ref()?;
        match level {
            Level::Key => Some(keyed.own()),
            Level::Account => {
                let own = || keyed.state.key().is_none().then(|| keyed.own());
                keyed.account().or_else(own)
            }
            Level::Endpoint => None,
        }
    }
}

impl KeyedTicket {
    /// Returns the admission by the limits of the key.
    #[inline]
    pub(super) fn own(&self) -> Admission<'_> {
        Admission {
            limits: &self.state.limits,
            stub: self.own,
            state: Some(&self.state),
        }
    }

    /// Returns the admission by the account, if it is another state.
    #[inline]
    pub(super) fn account(&self) -> Option<Admission<'_>> {
        let account = self.account.as_deref()?;
        Some(Admission {
            limits: &account.limits,
            stub: self.by_account,
            state: Some(account),
        })
    }
}
