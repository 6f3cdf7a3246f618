//! The admission of an attempt by the limits of an endpoint.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::LimitKey;
use tokio::time::Instant;

use super::keyed::KeyedState;
use super::limit_state::LimitState;
use crate::state::cooldown::Ticket;

/// The admission of an attempt by all limits that apply to it.
#[derive(Debug)]
pub(crate) struct Tickets {
    /// The ticket of the limits that all requests share.
    pub(super) wide: Ticket,
    /// The tickets of the limits of the request's key.
    pub(super) keyed: Option<KeyedTicket>,
}

/// The admission of an attempt by the limits of its key.
#[derive(Debug)]
pub(super) struct KeyedTicket {
    pub(super) state: Arc<KeyedState>,
    pub(super) own: Ticket,
    /// The ticket of the limits of the credential, if the state has such limits.
    pub(super) account: Option<Ticket>,
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
    /// The key of the state, if it has one.
    pub(crate) key: Option<&'a LimitKey>,
}

impl Tickets {
    /// Returns the instant of the admission.
    pub(crate) fn sent(&self) -> Instant {
        self.wide.sent()
    }

    /// Returns the time since the admission.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.wide.age(now)
    }

    /// Returns the admission by the shared limits, which are `limits`.
    #[inline]
    pub(super) fn wide<'a>(&self, limits: &'a LimitState) -> Admission<'a> {
        Admission {
            limits,
            ticket: self.wide,
            key: None,
        }
    }

    /// Returns all admissions. The shared limits are `wide`.
    #[inline]
    pub(super) fn all<'a>(
        &'a self,
        wide: &'a LimitState,
    ) -> impl Iterator<Item = Admission<'a>> + use<'a> {
        let keyed = self.keyed.iter().flat_map(|keyed| {
            let account = (keyed.account).and_then(|_| keyed.at(Level::Account));
            keyed.at(Level::Key).into_iter().chain(account)
        });
        std::iter::once(self.wide(wide)).chain(keyed)
    }
}

impl KeyedTicket {
    /// Returns the admission at this level, or `None` for the level of the endpoint.
    #[inline]
    pub(super) fn at(&self, level: Level) -> Option<Admission<'_>> {
        let own = Admission {
            limits: &self.state.limits,
            ticket: self.own,
            key: self.state.key(),
        };
        match level {
            Level::Key => Some(own),
            Level::Account => match (&self.state.account, self.account) {
                (Some(account), Some(ticket)) => Some(Admission {
                    limits: &account.limits,
                    ticket,
                    key: None,
                }),
                _ => own.key.is_none().then_some(own),
            },
            Level::Endpoint => None,
        }
    }
}
