//! Tests of the tables.

mod deleted;
#[cfg(feature = "client")]
mod recorded;
#[cfg(feature = "client")]
mod reply;
#[cfg(feature = "client")]
mod server;

pub(super) use self::deleted::is_deleted;
