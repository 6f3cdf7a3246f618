//! The ends of events in the chunks of a stream.

use memchr::memchr2;

/// Finds the ends of events. An event ends with a blank line.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// The last line has begun.
    in_line: bool,
    /// The event has a field.
    in_event: bool,
    /// The last line end was a carriage return, so a line feed may belong to it.
    after_cr: bool,
    /// The number of events so far.
    events: u64,
}

impl Blocks {
    /// Reads a chunk. Returns the length of its part up to the last position outside of any event,
    /// or 0 if it has none. Comments between events are outside.
    pub(super) fn read(&mut self, chunk: &[u8]) -> usize {
        let (mut at, mut end) = (0, 0);
        while let Some(&first) = chunk.get(at) {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                at += 1;
            } else {
                let length = memchr2(b'\n', b'\r', &chunk[at..]);
                if length != Some(0) {
                    self.begin_line(first);
                }
                let Some(length) = length else {
                    return end;
                };
                at += length;
                self.after_cr = chunk[at] == b'\r';
                at += 1;
                self.end_line();
            }
            if !self.in_event {
                end = at;
            }
        }
        end
    }

    /// Returns the number of events that have ended.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Begins a line, unless the last one goes on.
    fn begin_line(&mut self, first: u8) {
        if !std::mem::replace(&mut self.in_line, true) {
            self.in_event |= first != b':';
        }
    }

    /// Ends a line, and with a blank line the event.
    fn end_line(&mut self) {
        if !std::mem::take(&mut self.in_line) && std::mem::take(&mut self.in_event) {
            self.events += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn part_up_to_last_whole_event_is_found() {
        for (chunk, end, events) in [
            ("data: a\n\n", 9, 1),
            ("data: a\n\ndata: b", 9, 1),
            ("data: a\n\ndata: b\n", 9, 1),
            ("data: a\r\n\r\n", 11, 1),
            ("data: a\r\rdata: b\r", 9, 1),
            ("data: a\n\r\n", 10, 1),
            ("event: x\ndata: a\n\ndata: b\n\n", 27, 2),
            (": ping\n", 7, 0),
            (":\n:\n\n\n", 6, 0),
            (": pi", 0, 0),
            ("data: a\n: ping\n", 0, 0),
            ("data: a", 0, 0),
            ("\n", 1, 0),
            ("", 0, 0),
        ] {
            let mut blocks = Blocks::default();
            assert_eq!(blocks.read(chunk.as_bytes()), end, "{chunk:?}");
            assert_eq!(blocks.events(), events, "{chunk:?}");
        }
    }

    #[test]
    fn line_end_in_two_chunks_is_one() {
        let mut blocks = Blocks::default();
        let ends =
            ["data: a\r", "\n", "\r", "\ndata: b"].map(|chunk| blocks.read(chunk.as_bytes()));
        assert_eq!(ends, [0, 0, 1, 1]);
        assert_eq!(blocks.events(), 1);
    }

    proptest! {
        #[test]
        fn chunk_borders_do_not_change_ends(
            text in "(data: [a-z]{0,3}|:|\n|\r|\r\n){0,16}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = text.as_bytes();
            let mut whole = Blocks::default();
            let end = whole.read(text);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut blocks = Blocks::default();
            let mut last = 0;
            for cut in cuts.windows(2) {
                match blocks.read(&text[cut[0]..cut[1]]) {
                    0 => {}
                    end => last = cut[0] + end,
                }
            }
            prop_assert_eq!((last, blocks.events()), (end, whole.events()));
        }
    }
}
