//! Decides the reply to each request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::received::Received;
use crate::reply::Reply;

/// Decides how an upstream answers the requests for which no one-time reply is queued.
///
/// A [`Reply`] is one, too: `upstream.set(Reply::status(500))`. Clones share the place in a cycle.
#[derive(Clone)]
#[must_use = "a behavior does nothing until an upstream has it"]
pub struct Behavior {
    choose: Arc<dyn Fn(&Received) -> Reply + Send + Sync>,
}

impl Behavior {
    /// Creates a behavior that gives `reply` to every request.
    pub fn always(reply: Reply) -> Self {
        Self::by(move |_| reply.clone())
    }

    /// Creates a behavior that repeats `replies` in order.
    ///
    /// No replies at all mean [`Reply::ok`].
    pub fn cycle(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Vec<_> = replies.into_iter().collect();
        let next = AtomicUsize::new(0);
        Self::by(move |_| {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let place = turn.checked_rem(replies.len());
            place.map_or_else(Reply::ok, |place| replies[place].clone())
        })
    }

    /// Creates a behavior that looks at the request: its path, a key in its headers, its body.
    pub fn by(choose: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            choose: Arc::new(choose),
        }
    }

    /// Returns the reply to a request.
    pub(crate) fn choose(&self, received: &Received) -> Reply {
        (self.choose)(received)
    }
}

impl Default for Behavior {
    fn default() -> Self {
        Self::always(Reply::ok())
    }
}

impl From<Reply> for Behavior {
    fn from(reply: Reply) -> Self {
        Self::always(reply)
    }
}

impl fmt::Debug for Behavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behavior").field("choose", &"_").finish()
    }
}
