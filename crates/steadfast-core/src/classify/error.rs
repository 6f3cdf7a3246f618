//! The default classification of an error by its type and the types of its sources.

use std::error::Error;
use std::io;

use tokio::time::error::Elapsed;

use crate::chain::chain;
use crate::class::Class;
use crate::exhausted::Exhausted;
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
        let kind = error.downcast_ref::<io::Error>()?.kind();
        (kind == io::ErrorKind::ConnectionRefused).then_some(Verdict::new(Class::Connect))
    }
}
