//! The admission of an attempt by the limits of an endpoint.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::concerned::Concerned;
use super::keyed::KeyedState;
use super::limit_state::LimitState;
use crate::state::cooldown::{Stub, Ticket};
use crate::state::quota::Taken;

/// The admission of an attempt by all limits that apply to it.
#[derive(Debug)]
pub(crate) struct Tickets {
    /// The instant of the admission.
    pub(super) sent: Instant,
    /// The age of the pool at that instant. Two differences of instants cost 56 instructions each.
    pub(super) age: Duration,
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
    pub(crate) ticket: Ticket,
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
    /// Returns the instant of the admission.
    pub(crate) fn sent(&self) -> Instant {
        self.sent
    }

    /// Returns the age of the pool at the admission.
    pub(crate) fn pool_age(&self) -> Duration {
        self.age
    }

    /// Returns the time since the admission.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.sent)
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
            ticket: self.wide.at(self.sent),
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
            let own = std::iter::once(keyed.own(self.sent));
            own.chain(keyed.account(self.sent))
        });
        std::iter::once(self.wide(wide)).chain(keyed)
    }

    /// Returns the admission at this level by the limits of the key, or `None` for the level of the
    /// endpoint.
    #[inline]
    pub(super) fn keyed_at(&self, level: Level) -> Option<Admission<'_>> {
        let keyed = self.keyed.as_ref()?;
        match level {
            Level::Key => Some(keyed.own(self.sent)),
            Level::Account => {
                let own = || keyed.state.key().is_none().then(|| keyed.own(self.sent));
                keyed.account(self.sent).or_else(own)
            }
            Level::Endpoint => None,
        }
    }
}

impl KeyedTicket {
    /// Returns the admission by the limits of the key. `sent` is the instant of the admission.
    #[inline]
    pub(super) fn own(&self, sent: Instant) -> Admission<'_> {
        Admission {
            limits: &self.state.limits,
            ticket: self.own.at(sent),
            state: Some(&self.state),
        }
    }

    /// Returns the admission by the account, if it is another state.
    #[inline]
    pub(super) fn account(&self, sent: Instant) -> Option<Admission<'_>> {
        let account = self.account.as_deref()?;
        Some(Admission {
            limits: &account.limits,
            ticket: self.by_account.at(sent),
            state: Some(account),
        })
    }
}
