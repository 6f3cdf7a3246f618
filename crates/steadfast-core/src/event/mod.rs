mod kind;
mod observer;
mod observers;

pub use self::kind::Event;
pub use self::observer::{Observer, observer_fn};
pub use self::observers::Observers;
