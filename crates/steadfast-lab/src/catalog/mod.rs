//! Scenarios that have a name.

mod balance;
mod entry;
mod evidence;
mod limits;
mod list;
mod quota;
mod retries;
mod single;

pub(crate) use self::balance::{STEPS, refusing};
pub use self::entry::Entry;
pub(crate) use self::evidence::{BURST, LIFTED, NEIGHBOUR, RANDOM, evidence};
pub use self::limits::limits;
pub use self::list::catalog;
pub(crate) use self::retries::retries;
