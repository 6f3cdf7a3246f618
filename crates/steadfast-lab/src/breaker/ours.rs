//! Our breaker.
//!
//! It is the published value, not a copy. Its clock is tokio's, which the simulation moves.

use steadfast_breaker::CircuitBreaker;
use steadfast_core::{BreakerState, Class, Verdict};
use tokio::time::Instant;

use super::{Breaker, End, Ticket};

/// Our breaker, as one of the compared ones.
pub(crate) struct Ours(pub(crate) CircuitBreaker);

impl Breaker for Ours {
    fn admit(&mut self, now: Instant) -> Option<Ticket> {
        debug_assert_eq!(now, Instant::now(), "it asks tokio's clock itself");
        let permit = self.0.try_acquire().ok()?;
        Some(Ticket {
            permit: Some(permit),
            ..Ticket::default()
        })
    }

    fn record(&mut self, ticket: Ticket, end: End, _: Instant) {
        let permit = ticket.permit.expect("a ticket of this breaker");
        match end {
            End::Cancelled => drop(permit),
            End::Failed => permit.record(Verdict::new(Class::ServerError)),
            End::Succeeded => permit.record(Verdict::SUCCESS),
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.0.state(), BreakerState::Closed)
    }
}
