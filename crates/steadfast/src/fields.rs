//! The fields of a JSON object, read in one pass without a tree.
//!
//! A deserializer of `serde_json` reads a body of 1 KiB in 9,900 instructions, a third of the whole
//! stack. The pass needs 2,500. The difference grows with the length of the body, because long
//! strings are searched with vectors.
//!
//! The pass accepts only what `serde_json` accepts. It gives up on unusual text:
//!
//! * a field name with an escape or with a character outside of ASCII,
//! * an escape in a string that is read,
//! * a nesting that is too deep,
//! * any error of the grammar.
//!
//! The caller then reads the text with `serde_json`, so the result is the same.

/// The bytes that one step of a search in a long string checks together. The compiler uses vectors
/// for a step of 64 bytes, and not for a shorter one.
const STEP: usize = 64;
/// The bytes that one step of a search in a short string checks together.
const WORD: usize = 8;
/// One in each byte of a word.
const ONES: u64 = u64::from_ne_bytes([1; WORD]);

/// The rest of a JSON text.
///
/// Each method returns `None` if the text is invalid or unusual.
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    /// The number of further levels that may be open at once.
    depth: usize,
}

/// Calls `read` with each field name of an object, and with its value. `read` must consume the
/// value.
///
/// Returns `None` if the text is no object, is invalid or unusual, or is nested deeper than `depth`.
pub(crate) fn each_field<'a>(
    object: &'a [u8],
    depth: usize,
    mut read: impl FnMut(&'a [u8], &mut Cursor<'a>) -> Option<()>,
) -> Option<()> {
    let mut cursor = Cursor {
        rest: object,
        depth,
    };
    if cursor.peek()? != b'{' {
        return None;
    }
    cursor.items(b'}', |cursor| {
        let name = cursor.plain_text()?;
        // `serde_json` rejects a name that is not UTF-8.
        if !name.is_ascii() {
            return None;
        }
        cursor.eat(b':')?;
        read(name, cursor)
    })?;
    cursor.peek().is_none().then_some(())
}

impl<'a> Cursor<'a> {
    /// Skips a value of any type, and checks its grammar.
    ///
    /// The depth of the recursion is bounded by the depth of the text, see [`each_field`].
    pub(crate) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => self.items(b'}', |cursor| {
                cursor.string()?;
                cursor.eat(b':')?;
                cursor.skip()
            }),
            b'[' => self.items(b']', Self::skip),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number(),
        }
    }

    /// Reads a flag, which may be `null`. Another type is unusual.
    pub(crate) fn flag(&mut self) -> Option<Option<bool>> {
        let value = match self.peek()? {
            b't' => Some(true),
            b'f' => Some(false),
            b'n' => None,
            _ => return None,
        };
        self.skip()?;
        Some(value)
    }

    /// Returns whether a value is other than `null`, and skips it.
    pub(crate) fn is_present(&mut self) -> Option<bool> {
        let is_present = self.peek()? != b'n';
        self.skip()?;
        Some(is_present)
    }

    /// Reads a string without escapes.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.plain_text()?).ok()
    }

    /// Reads a string without escapes, which may be invalid UTF-8.
    ///
    /// An escape would need a copy of the string.
    fn plain_text(&mut self) -> Option<&'a [u8]> {
        let (text, is_plain) = self.string()?;
        is_plain.then_some(text)
    }

    /// Reads a string with its escapes. Returns whether it has none.
    fn string(&mut self) -> Option<(&'a [u8], bool)> {
        self.eat(b'"')?;
        let (text, mut len, mut is_plain) = (self.rest, 0, true);
        loop {
            len += plain_len(&text[len..]);
            match text.get(len)? {
                b'"' => break,
                b'\\' => {
                    len += escape_len(&text[len + 1..])?;
                    is_plain = false;
                }
                _ => return None,
            }
        }
        self.rest = &text[len + 1..];
        Some((&text[..len], is_plain))
    }

    /// Reads the items of an array or an object, up to the bracket `close`.
    fn items(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.rest = &self.rest[1..];
        self.depth = self.depth.checked_sub(1)?;
        if self.eat(close).is_none() {
            loop {
                item(self)?;
                if self.eat(close).is_some() {
                    break;
                }
                self.eat(b',')?;
            }
        }
        self.depth += 1;
        Some(())
    }

    /// Skips a number: an optional sign, digits without a leading zero, an optional fraction, and an
    /// optional exponent.
    fn number(&mut self) -> Option<()> {
        self.rest = self.rest.strip_prefix(b"-").unwrap_or(self.rest);
        // No number begins with a zero and a further digit.
        if let [b'0', b'0'..=b'9', ..] = self.rest {
            return None;
        }
        self.some_digits()?;
        if let Some(rest) = self.rest.strip_prefix(b".") {
            self.rest = rest;
            self.some_digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = match rest {
                [b'+' | b'-', rest @ ..] => rest,
                _ => rest,
            };
            self.some_digits()?;
        }
        Some(())
    }

    /// Skips at least one digit.
    fn some_digits(&mut self) -> Option<()> {
        let other = self.rest.iter().position(|byte| !byte.is_ascii_digit());
        let digits = other.unwrap_or(self.rest.len());
        self.rest = &self.rest[digits..];
        (digits > 0).then_some(())
    }

    /// Skips a literal: `true`, `false` or `null`.
    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    /// Skips this byte, and the white space in front of it.
    fn eat(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.rest = &self.rest[1..];
        Some(())
    }

    /// Skips white space. Returns the byte behind it, if there is one.
    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }
}

/// Returns the number of bytes before a quote, a backslash or a control character.
fn plain_len(text: &[u8]) -> usize {
    // Most strings are short.
    let (start, rest) = text.split_at(text.len().min(STEP));
    let len = plain_len_by_words(start);
    if len < start.len() {
        return len;
    }
    // An early exit would rule out vectors.
    let all_plain = |step: &&[u8]| step.iter().fold(true, |all, byte| all & is_plain(*byte));
    let steps = rest.chunks_exact(STEP).take_while(all_plain).count();
    len + steps * STEP + plain_len_by_words(&rest[steps * STEP..])
}

/// The same as [`plain_len`], for a short text.
///
/// Eight bytes are checked together in one word. The end of a text that is shorter than a word is
/// checked byte by byte.
fn plain_len_by_words(text: &[u8]) -> usize {
    let mut len = 0;
    while let Some(word) = text[len..].first_chunk::<WORD>() {
        let others = others(u64::from_le_bytes(*word));
        if others != 0 {
            return len + others.trailing_zeros() as usize / WORD;
        }
        len += WORD;
    }
    let end = text[len..].iter().take_while(|byte| is_plain(**byte));
    len + end.count()
}

/// Returns a word with the highest bit of the first byte that is not plain. Higher bytes may have
/// that bit by mistake. No bit is set if all bytes are plain.
fn others(word: u64) -> u64 {
    // A byte of `x` is smaller than a byte of `than`: the difference borrows.
    let is_less = |x: u64, than: u64| x.wrapping_sub(than) & !x;
    let is = |byte: u8| is_less(word ^ (ONES * u64::from(byte)), ONES);
    let control = is_less(word, ONES * u64::from(b' '));
    (control | is(b'"') | is(b'\\')) & (ONES << 7)
}

/// Returns whether a byte may stand in a string as it is.
///
/// A byte outside of ASCII is one. `serde_json` does not check the encoding of a string that it skips,
/// and [`Cursor::text`] checks the strings that are read.
fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

/// Returns the length of an escape, with its backslash. `escape` begins behind it.
///
/// A lone half of a surrogate pair is valid in a string that is skipped, as it is for `serde_json`.
fn escape_len(escape: &[u8]) -> Option<usize> {
    match escape {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(2),
        [b'u', digits @ ..] => {
            let digits = digits.get(..4)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(6)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_part_ends_at_first_other_byte(
            len in 0..200_usize,
            others in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut text = vec![b'a'; len];
            for (at, byte) in others.iter().filter(|_| len > 0) {
                text[at.index(len)] = *byte;
            }
            let first = text.iter().position(|byte| !is_plain(*byte));
            prop_assert_eq!(plain_len(&text), first.unwrap_or(len));
        }
    }
}
