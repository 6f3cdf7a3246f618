//! A policy made of rules.
//!
//! All policies that are not our own code, and not tower's, are of this type.

use tower::util::BoxCloneSyncService;

use crate::policy::client::{Client, Policy};
use crate::policy::looped::Loop;
use crate::policy::rules::Rules;
use crate::policy::setup::Setup;

/// A policy that is a name and rules.
pub(crate) struct Rival<F> {
    /// The name in tables.
    pub(crate) name: &'static str,
    /// The description on the page.
    pub(crate) about: &'static str,
    /// Creates the rules of a client.
    pub(crate) rules: F,
}

impl<F, R> Policy for Rival<F>
where
    F: Fn(&Setup) -> R + Send + Sync,
    R: Rules,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn client(&self, setup: &Setup) -> Client {
        let looped = Loop::new((self.rules)(setup), setup);
        BoxCloneSyncService::new(tower::service_fn(move |request| {
            looped.clone().run(request)
        }))
    }
}
