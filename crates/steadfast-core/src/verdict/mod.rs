mod classified;
mod value;

pub use self::classified::Classified;
pub use self::value::Verdict;

#[cfg(test)]
mod tests;
