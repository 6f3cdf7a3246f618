mod classified;
mod grpc;
mod scope;
mod value;

pub use self::classified::Classified;
pub use self::scope::Scope;
pub use self::value::Verdict;

#[cfg(test)]
mod tests;
