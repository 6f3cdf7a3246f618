//! The default classification of an error by its type and the types of its sources.

use std::error::Error;
use std::io;

use tokio::time::error::Elapsed;

use super::local::local_verdict;
use crate::class::Class;
use crate::exhausted::Exhausted;
use crate::layer::chain::chain;
use crate::verdict::{Classified, Verdict};

pub(super) fn classify_error(error: &(dyn Error + 'static)) -> Verdict {
    chain(error)
        .find_map(known_verdict)
        .unwrap_or(Verdict::new(Class::Transport))
}

fn known_verdict(error: &(dyn Error + 'static)) -> Option<Verdict> {
    if let Some(error) = error.downcast_ref::<Classified>() {
        Some(error.verdict())
    } else if let Some(error) = error.downcast_ref::<Exhausted>() {
        Some(error.verdict())
    } else if error.is::<Elapsed>() {
        Some(Verdict::new(Class::Timeout))
    } else {
        let error = error.downcast_ref::<io::Error>()?;
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        let connect = refused.then_some(Verdict::new(Class::Connect));
        connect.or_else(|| local_verdict(error))
    }
}
