//! Layers that retry.

mod ask;
mod case;
mod cases;
pub(crate) mod contestants;
mod observed;

pub(crate) use self::case::{Case, Group};
pub(crate) use self::cases::cases;
