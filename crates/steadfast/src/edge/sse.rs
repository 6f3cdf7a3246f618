//! Server-sent events, read from the chunks of a body as they come.

use memchr::memchr2;

/// Longer events pass unread.
const MAX_EVENT: usize = 64 * 1024;

/// The memory that is kept between two events. A stream may last for minutes.
const KEPT: usize = 1024;

/// Some servers send this before the first event.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Splits a stream of bytes into its events.
///
/// Lines and fields follow the WHATWG rules. `id`, `retry` and comments are dropped. A field `error`
/// is no part of these rules, but some servers report an error in it.
#[derive(Debug)]
pub struct Events {
    /// The part of a line that has come.
    line: Vec<u8>,
    /// The field `event`, and the lines of `data` or `error`.
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    has_error: bool,
    /// The last line end was a carriage return, so a line feed may belong to it.
    after_cr: bool,
    /// The line, or the event, is too long.
    long_line: bool,
    long_event: bool,
    begun: bool,
    /// The bytes of the longest event that is read.
    max: usize,
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SseEvent<'a> {
    /// The name of an event, which may be empty, and its data.
    Whole {
        /// The name.
        name: &'a [u8],
        /// The data.
        data: &'a [u8],
    },
    /// The data of an event with a field `error`.
    Error(&'a [u8]),
    /// The event is too long to be read.
    TooLong,
}

impl Default for Events {
    fn default() -> Self {
        Self::with_max(MAX_EVENT)
    }
}

impl Events {
    /// Creates a reader that drops events of more than `max` bytes.
    #[must_use]
    pub fn with_max(max: usize) -> Self {
        Self {
            line: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            has_error: false,
            after_cr: false,
            long_line: false,
            long_event: false,
            begun: false,
            max,
        }
    }

    /// Reads a chunk, and calls `found` with each event that it completes.
    pub fn read(&mut self, chunk: &[u8], mut found: impl FnMut(SseEvent<'_>)) {
        let mut rest = chunk;
        while let Some(&first) = rest.first() {
            // The second half of a line end.
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.extend(rest);
                return;
            };
            self.after_cr = rest[end] == b'\r';
            if self.line.is_empty() && !self.long_line && end <= self.room() {
                self.read_line(&rest[..end], &mut found);
            } else {
                self.extend(&rest[..end]);
                self.end_line(&mut found);
            }
            rest = &rest[end + 1..];
        }
    }

    /// Ends the stream. An event without its blank line counts: some servers omit it.
    pub fn finish(&mut self, mut found: impl FnMut(SseEvent<'_>)) {
        self.end_line(&mut found);
        self.end_event(&mut found);
    }

    /// Returns whether nothing of a further event has come.
    pub(crate) fn is_between(&self) -> bool {
        let parts = [&self.line, &self.name, &self.data];
        parts.iter().all(|part| part.is_empty()) && !self.has_data && !self.long_event
    }

    /// The bytes that the present event may still have.
    fn room(&self) -> usize {
        self.max
            .saturating_sub(self.line.len() + self.data.len() + self.name.len())
    }

    /// Adds a part of a line. Text beyond the bound is dropped.
    fn extend(&mut self, text: &[u8]) {
        let room = self.room();
        self.line.extend_from_slice(&text[..text.len().min(room)]);
        self.long_line |= text.len() > room;
    }

    /// Reads the line that has come in parts.
    fn end_line(&mut self, found: &mut impl FnMut(SseEvent<'_>)) {
        let mut line = std::mem::take(&mut self.line);
        self.read_line(&line, found);
        line.clear();
        self.line = line;
    }

    /// Reads a whole line: a field, a comment, or the end of the event.
    fn read_line(&mut self, line: &[u8], found: &mut impl FnMut(SseEvent<'_>)) {
        let mut line = line;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        let long = std::mem::take(&mut self.long_line);
        self.long_event |= long;
        if line.is_empty() && !long {
            self.end_event(found);
            return;
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            b"data" => self.add_data(value),
            b"error" => {
                self.has_error = true;
                self.add_data(value);
            }
            _ => {}
        }
    }

    /// Adds a line of data. The line ends between lines belong to the data.
    fn add_data(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
    }

    /// Ends the event. An event without data is dropped, as the rules require.
    fn end_event(&mut self, found: &mut impl FnMut(SseEvent<'_>)) {
        let (name, data) = (&*self.name, &*self.data);
        if std::mem::take(&mut self.long_event) {
            found(SseEvent::TooLong);
        } else if self.has_error {
            found(SseEvent::Error(data));
        } else if self.has_data {
            found(SseEvent::Whole { name, data });
        }
        for part in [&mut self.line, &mut self.name, &mut self.data] {
            part.clear();
            part.shrink_to(KEPT);
        }
        (self.has_data, self.has_error) = (false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(event: SseEvent<'_>) -> String {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match event {
            SseEvent::Whole { name: b"", data } => text(data),
            SseEvent::Whole { name, data } => format!("{}|{}", text(name), text(data)),
            SseEvent::Error(data) => format!("(error) {}", text(data)),
            SseEvent::TooLong => "(too long)".to_owned(),
        }
    }

    fn events(chunks: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        let mut found = Vec::new();
        for chunk in chunks {
            events.read(chunk, |data| found.push(text(data)));
        }
        found
    }

    #[test]
    fn fields_and_line_ends_of_all_kinds_are_read() {
        for (text, expected) in [
            ("data: a\n\n", &["a"][..]),
            ("data:a\r\n\r\n", &["a"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("event: error\ndata: {}\nid: 7\n\n", &["error|{}"]),
            ("event:a\nevent: b\ndata: c\n\ndata: d\n\n", &["b|c", "d"]),
            ("event: a\n\ndata: b\n\n", &["b"]),
            ("retry: 10\nid\ndata: a\n\n", &["a"]),
            ("error: {}\n\n", &["(error) {}"]),
            ("error\n\n", &["(error) "]),
            ("errors: {}\n\n", &[]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            ("data:  a\n\n", &[" a"]),
            (": keep-alive\n\n\n\n", &[]),
            ("data\n\n", &[""]),
            ("data:\n\n", &[""]),
            ("database: a\n\n", &[]),
            ("data: not finished\n", &[]),
            ("\u{feff}data: a\n\n", &["a"]),
        ] {
            assert_eq!(events(&[text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn last_event_without_end_is_read() {
        for end in ["", "\n", "\n\n", "\r\n"] {
            let mut events = Events::default();
            let mut found = Vec::new();
            events.read(format!("data: [DONE]{end}").as_bytes(), |data| {
                found.push(text(data));
            });
            events.finish(|data| found.push(text(data)));
            assert_eq!(found, ["[DONE]"], "{end:?}");
        }
    }

    #[test]
    fn event_without_end_uses_bounded_memory() {
        let mut events = Events::default();
        let chunk = [b'x'; 1000];
        for _ in 0..1000 {
            events.read(&chunk, |_| panic!("it has no end"));
        }
        assert!(events.line.len() + events.data.len() <= MAX_EVENT);
        assert!(events.line.capacity() <= 2 * MAX_EVENT);
        let mut found = Vec::new();
        events.read(b"\nmore: of it\ndata: b\n\ndata: a\n\n", |data| {
            found.push(text(data));
        });
        assert_eq!(found, ["(too long)", "a"], "the next one is read again");
        let kept = [&events.line, &events.data].map(Vec::capacity);
        assert!(kept.iter().all(|kept| *kept <= KEPT), "{kept:?}");
    }

    /// A chunk with the whole of it is no reason to read it.
    #[test]
    fn bound_of_event_is_independent_of_chunks() {
        for (text, expected) in [
            ("data: 0123456789\n\n", &["0123456789"][..]),
            ("data: 01234567890\n\n", &["(too long)"]),
            ("data: 0123456\ndata: 0123\n\n", &["(too long)"]),
        ] {
            for chunk in [1, 7, 100] {
                let mut events = Events::with_max(16);
                let mut found = Vec::new();
                for chunk in text.as_bytes().chunks(chunk) {
                    events.read(chunk, |event| found.push(self::text(event)));
                }
                assert_eq!(found, expected, "{text:?} in {chunk}");
            }
        }
    }

    proptest! {
        #[test]
        fn chunk_borders_do_not_change_events(
            data in prop::collection::vec("[a-z{}\":]{0,12}", 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        ) {
            let text: String = data.iter().map(|data| format!("data: {data}{end}{end}")).collect();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let text = text.as_bytes();
            let chunks: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            prop_assert_eq!(events(&chunks), data);
        }
    }
}
