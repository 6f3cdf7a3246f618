//! Scenarios that have a name.
//!
//! Each file holds the scenarios of one subject. Names are unique. The numbers of a scenario are in
//! its description, because the page prints it.
//!
//! | File | Subject | Its page |
//! |---|---|---|
//! | `quota` | endpoints with different quotas, faults of one of them | one page per scenario |
//! | `single` | one endpoint: an overload, a herd of clients | one page per scenario |
//! | `balance` | stragglers, a rising load, endpoints that always refuse | one page per scenario, `goals.md` |
//! | `evidence` | refusals with different causes | `goals.md` |
//! | `retries` | random failures at one endpoint | `retry.md` |
//! | `limits` | quotas per model, credential and minute; overload; outages | `limits.md` |

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
