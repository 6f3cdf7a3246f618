//! Scenarios that have a name.

mod balance;
mod entry;
mod list;
mod quota;
mod retries;
mod single;

pub(crate) use self::balance::{STEPS, refusing};
pub use self::entry::Entry;
pub use self::list::catalog;
pub(crate) use self::retries::retries;
