//! The labels of limit keys, in a bounded number.

use std::sync::{Mutex, PoisonError};

use steadfast_core::LimitKey;

/// The maximum number of keys with a label of their own, unless they are fixed.
pub(crate) const MAX_KEYS: usize = 64;
/// The label of the keys without a label of their own.
const OTHER: &str = "other";

/// The keys with a label of their own.
#[derive(Debug, Default)]
pub(crate) struct KeyLabels {
    keys: Mutex<Vec<LimitKey>>,
    /// Whether further keys get no label of their own.
    is_fixed: bool,
}

impl KeyLabels {
    /// Gives a label to these keys only.
    pub(crate) fn only(keys: Vec<LimitKey>) -> Self {
        Self {
            keys: Mutex::new(keys),
            is_fixed: true,
        }
    }

    /// Returns the label of a key.
    pub(crate) fn label(&self, key: &LimitKey) -> String {
        // A key is pushed whole, so a panic cannot leave the list inconsistent.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.contains(key) {
            if self.is_fixed || keys.len() >= MAX_KEYS {
                return OTHER.to_owned();
            }
            keys.push(*key);
        }
        key.to_string()
    }
}
