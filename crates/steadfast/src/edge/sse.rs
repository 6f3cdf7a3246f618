//! Server-sent events, read from the chunks of a body as they come.

/// Longer events are not kept: they pass, and are not looked into.
const MAX_EVENT: usize = 64 * 1024;

/// Splits a stream of bytes into the data of its events.
///
/// Follows the WHATWG rules for lines and fields; `id`, `retry` and comments are dropped, and so
/// is the name of an event, which all providers repeat in its data.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    too_long: bool,
}

impl Events {
    /// Reads a chunk, and calls `found` with the data of each event that it completes.
    pub(crate) fn read(&mut self, chunk: &[u8], mut found: impl FnMut(&[u8])) {
        for &byte in chunk {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                // The second half of a line end.
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    self.end_line(&mut found);
                }
                _ if self.line.len() + self.data.len() < MAX_EVENT => self.line.push(byte),
                _ => self.too_long = true,
            }
        }
    }

    fn end_line(&mut self, found: &mut impl FnMut(&[u8])) {
        if self.line.is_empty() {
            if self.has_data && !self.too_long {
                found(&self.data);
            }
            self.data.clear();
            self.has_data = false;
            self.too_long = false;
            return;
        }
        if let Some(value) = self.line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(chunks: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        let mut found = Vec::new();
        for chunk in chunks {
            events.read(chunk, |data| {
                found.push(String::from_utf8_lossy(data).into_owned());
            });
        }
        found
    }

    #[test]
    fn reads_fields_and_line_ends_of_all_kinds() {
        for (text, expected) in [
            ("data: a\n\n", &["a"][..]),
            ("data:a\r\n\r\n", &["a"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("event: error\ndata: {}\nid: 7\n\n", &["{}"]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            ("data:  a\n\n", &[" a"]),
            (": keep-alive\n\n\n\n", &[]),
            ("data\n\n", &[]),
            ("data:\n\n", &[""]),
            ("data: not finished\n", &[]),
        ] {
            assert_eq!(events(&[text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn an_event_without_end_does_not_fill_the_memory() {
        let mut events = Events::default();
        let chunk = [b'x'; 1000];
        for _ in 0..1000 {
            events.read(&chunk, |_| panic!("it has no end"));
        }
        assert!(events.line.len() <= MAX_EVENT);
        let mut found = Vec::new();
        events.read(b"\n\ndata: a\n\n", |data| found.push(data.to_vec()));
        assert_eq!(found, [b"a"], "the next one is read again");
    }

    proptest! {
        #[test]
        fn chunks_may_be_cut_anywhere(
            data in prop::collection::vec("[a-z{}\":]{0,12}", 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        ) {
            let text: String = data.iter().map(|data| format!("data: {data}{end}{end}")).collect();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(events(&chunks), data);
        }
    }
}
