mod closure;
mod default_classifier;
mod error;
mod head;
mod response;
mod rule;
mod with_classifier;

pub use self::closure::{ClassifyFn, classify_fn};
pub use self::default_classifier::DefaultClassifier;
pub use self::head::Head;
pub use self::rule::Classify;
pub use self::with_classifier::{verdict_of, verdict_of_error};

#[cfg(test)]
mod tests;
