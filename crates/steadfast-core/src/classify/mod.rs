mod closure;
mod default_classifier;
mod error;
mod head;
mod local;
mod response;
mod rule;

pub use self::closure::{ClassifyFn, classify_fn};
pub use self::default_classifier::DefaultClassifier;
pub use self::head::Head;
pub use self::rule::Classify;

#[cfg(test)]
mod tests;
