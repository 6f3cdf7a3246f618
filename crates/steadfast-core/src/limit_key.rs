use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU64;
use std::sync::LazyLock;

use http::Extensions;

/// The longest text of a key in bytes. The whole key then has 96 bytes.
const LONGEST: usize = 87;

/// Hashes names with secrets of this process, so that a caller cannot construct a collision.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The dimension of a provider limit besides the credential, usually the model.
///
/// Providers limit each credential per model. A limit of one model must not affect the other models
/// of the same endpoint. A layer inserts the key into the request extensions. The balancer keeps a
/// cooldown, a send rate and a quota per endpoint and key. Without a key, all requests share one
/// state.
///
/// A key has a fixed size and holds its text inline, so a copy neither allocates nor counts
/// references. Logs and the status of a pool contain the text, so it must not be a secret.
///
/// ```
/// use steadfast_core::LimitKey;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(LimitKey::new("gpt-4o-mini"));
/// assert_eq!(LimitKey::of(request.extensions()), Some(&LimitKey::new("gpt-4o-mini")));
/// ```
#[derive(Clone, Copy)]
pub struct LimitKey {
    /// The hash of the whole name, which may be longer than `text`.
    hash: NonZeroU64,
    /// The length of the text.
    len: u8,
    /// The name, or its start if the name is too long. The rest is zero.
    text: [u8; LONGEST],
}

impl LimitKey {
    /// Creates a key. Only the first 87 bytes of a longer name are kept as text.
    ///
    /// Two longer names that begin alike are different keys with the same text.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let kept = &name[..boundary(name)];
        let mut text = [0; LONGEST];
        text[..kept.len()].copy_from_slice(kept.as_bytes());
        Self {
            hash: NonZeroU64::new(HASHES.hash_one(name)).unwrap_or(NonZeroU64::MIN),
            len: kept.len() as u8,
            text,
        }
    }

    /// Returns the key in the extensions of a request.
    #[must_use]
    #[inline]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Returns the name, or its start if the name is longer than 87 bytes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }

    /// Returns the hash of the whole name. It differs between two runs of a program.
    #[must_use]
    #[inline]
    pub fn hash_value(&self) -> u64 {
        self.hash.get()
    }
}

/// Returns the end of the text that is kept. It is between two characters.
fn boundary(name: &str) -> usize {
    let most = LONGEST.min(name.len());
    (0..=most)
        .rfind(|at| name.is_char_boundary(*at))
        .unwrap_or_default()
}

impl PartialEq for LimitKey {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // The hash alone differs for two long names with the same text.
        self.hash == other.hash && self.len == other.len && self.text == other.text
    }
}

impl Eq for LimitKey {}

impl Hash for LimitKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash.get());
    }
}

impl From<&str> for LimitKey {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Debug for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for LimitKey {
    /// Writes the name on one line. A caller chooses it, and a line break would forge a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().chars().try_for_each(|letter| match letter {
            '"' | '\'' | '\\' => f.write_char(letter),
            _ => fmt::Display::fmt(&letter.escape_debug(), f),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_equal_keys() {
        let (a, b) = (LimitKey::new("gpt-4o"), LimitKey::new("gpt-4o-mini"));
        assert_eq!(a, LimitKey::new("gpt-4o"));
        assert_eq!(a.hash_value(), LimitKey::new("gpt-4o").hash_value());
        assert_ne!(a, b);
        assert_eq!(format!("{a} {b:?}"), "gpt-4o \"gpt-4o-mini\"");
        assert_eq!(LimitKey::new("").as_str(), "");
    }

    /// A caller chooses the name. It wrote lines of its own into the log.
    #[test]
    fn text_of_key_stays_on_its_line() {
        for (name, expected) in [
            ("a\nINFO b", r"a\nINFO b"),
            ("a\r\u{1b}[31m", r"a\r\u{1b}[31m"),
            ("\u{2028}\u{202e}\u{85}", r"\u{2028}\u{202e}\u{85}"),
            (r#"a'b"c\d"#, r#"a'b"c\d"#),
            ("模型 é 🦀", "模型 é 🦀"),
        ] {
            let key = LimitKey::new(name);
            assert_eq!(key.to_string(), expected);
            assert_eq!(key.as_str(), name);
        }
    }

    /// A caller chooses the name, so a key must not grow with it.
    #[test]
    fn long_name_keeps_its_start_and_its_identity() {
        let (a, b) = ("m".repeat(1_000_000), "m".repeat(1_000_001));
        assert_eq!(LimitKey::new(&a).as_str(), "m".repeat(LONGEST));
        assert_eq!(LimitKey::new(&a), LimitKey::new(&a));
        assert_ne!(LimitKey::new(&a), LimitKey::new(&b));
        assert_eq!(size_of::<Option<LimitKey>>(), 96);
    }

    /// The cut must not split a character.
    #[test]
    fn long_name_is_cut_between_characters() {
        for width in ["é", "模", "🦀"] {
            let key = LimitKey::new(&format!("a{}", width.repeat(60)));
            assert!(key.as_str().ends_with(width), "{key}");
            assert!(key.as_str().len() > LONGEST - width.len(), "{key}");
        }
    }
}
