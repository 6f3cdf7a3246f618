//! Server-sent events, read from the chunks of a body as they come.

/// Longer events pass unread.
const MAX_EVENT: usize = 64 * 1024;

/// Some servers send this before the first event.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Splits a stream of bytes into the data of its events.
///
/// Lines and fields follow the WHATWG rules. `id`, `retry` and comments are dropped. So is the name
/// of an event: all providers repeat it in the data.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    /// The line, or the event, exceeds [`MAX_EVENT`].
    long_line: bool,
    long_event: bool,
    begun: bool,
}

/// The data of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data<'a> {
    Whole(&'a [u8]),
    /// The event exceeds [`MAX_EVENT`].
    TooLong,
}

impl Events {
    /// Reads a chunk, and calls `found` with the data of each event that it completes.
    pub(crate) fn read(&mut self, chunk: &[u8], mut found: impl FnMut(Data<'_>)) {
        let mut rest = chunk;
        while let Some(&first) = rest.first() {
            // The second half of a line end.
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(is_line_end) else {
                self.extend(rest);
                return;
            };
            self.extend(&rest[..end]);
            self.after_cr = rest[end] == b'\r';
            self.end_line(&mut found);
            rest = &rest[end + 1..];
        }
    }

    /// Ends the stream. An event without its blank line counts: some servers omit it.
    pub(crate) fn finish(&mut self, mut found: impl FnMut(Data<'_>)) {
        self.end_line(&mut found);
        self.end_event(&mut found);
    }

    fn extend(&mut self, text: &[u8]) {
        let room = MAX_EVENT.saturating_sub(self.line.len() + self.data.len());
        self.line.extend_from_slice(&text[..text.len().min(room)]);
        self.long_line |= text.len() > room;
    }

    fn end_line(&mut self, found: &mut impl FnMut(Data<'_>)) {
        if !std::mem::replace(&mut self.begun, true) && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
        let long = std::mem::take(&mut self.long_line);
        self.long_event |= long;
        if self.line.is_empty() && !long {
            self.end_event(found);
            return;
        }
        let value = match self.line.strip_prefix(b"data:") {
            Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
            None if self.line == b"data" => Some(&[][..]),
            None => None,
        };
        if let Some(value) = value {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data.extend_from_slice(value);
        }
        self.line.clear();
    }

    fn end_event(&mut self, found: &mut impl FnMut(Data<'_>)) {
        if std::mem::take(&mut self.long_event) {
            found(Data::TooLong);
        } else if self.has_data {
            found(Data::Whole(&self.data));
        }
        self.data.clear();
        self.has_data = false;
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(data: Data<'_>) -> String {
        match data {
            Data::Whole(data) => String::from_utf8_lossy(data).into_owned(),
            Data::TooLong => "(too long)".to_owned(),
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
            ("event: error\ndata: {}\nid: 7\n\n", &["{}"]),
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
        let mut found = Vec::new();
        events.read(b"\nmore: of it\ndata: b\n\ndata: a\n\n", |data| {
            found.push(text(data));
        });
        assert_eq!(found, ["(too long)", "a"], "the next one is read again");
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
