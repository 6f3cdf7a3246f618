mod late_verdict;
mod on_end;
mod read_ahead;
mod watched;

pub use self::late_verdict::LateVerdict;
pub use self::on_end::{End, OnEnd};
pub use self::read_ahead::ReadAhead;
pub use self::watched::Watched;
