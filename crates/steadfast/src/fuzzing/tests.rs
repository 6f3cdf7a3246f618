//! Recorded replies, mutations of them, and hostile text in full size.

use std::fs;
use std::path::{Path, PathBuf};

use allocation_counter::measure;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{answer, dialect, error_body, hints, sse};

/// A target, and the folder of its corpus in `fuzz/corpus`.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 5] = [
    ("answer", answer),
    ("dialect", dialect),
    ("error_body", error_body),
    ("hints", hints),
    ("sse", sse),
];

/// Returns the files below a folder. The corpus may have been excluded from the sources.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        match entry.path() {
            path if path.is_dir() => files(&path, found),
            path => found.push(path),
        }
    }
}

/// Returns the recorded replies, and the corpus of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("tests/dialects"), &mut found);
    files(&root.join("../../fuzz/corpus").join(target), &mut found);
    found.sort();
    let mut all = Vec::new();
    for path in found {
        let file = fs::read(path).expect("a file");
        // The body alone, too.
        let body = file.windows(4).position(|part| part == b"\r\n\r\n");
        all.extend(body.map(|at| file[at + 4..].to_vec()));
        all.push(file);
    }
    all
}

#[test]
fn recorded_text_and_its_mutations_break_no_reader() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(corpus.len() >= 300, "{} texts", corpus.len());
        for text in &corpus {
            target(text);
        }
        let config = Config::with_cases(200);
        let edit = (
            any::<prop::sample::Index>(),
            prop::collection::vec(any::<u8>(), 0..6),
            0..40_usize,
        );
        let edits = prop::collection::vec(edit, 1..5);
        let strategy = (prop::sample::select(corpus), edits);
        let outcome = TestRunner::new(config).run(&strategy, |(mut text, edits)| {
            for (at, new, removed) in edits {
                let at = at.index(text.len() + 1);
                let end = text.len().min(at + removed);
                text.splice(at..end, new);
            }
            target(&text);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// A hostile text of about a size, and the largest memory that its reader may use.
type Hostile = (&'static str, fn(&[u8]), fn(usize) -> Vec<u8>, usize);

const MIB: usize = 1024 * 1024;

/// The text, which the test itself holds, is not counted.
const HOSTILE: &[Hostile] = &[
    (
        "nested answer",
        answer,
        |n| nested(b"{\"choices\":", n),
        4 * MIB,
    ),
    (
        "nested error",
        error_body,
        |n| [&b"\x06\0"[..], &nested(b"{\"error\":", n)].concat(),
        4 * MIB,
    ),
    (
        "nested event",
        dialect,
        |n| [&b"error\n"[..], &nested(b"{\"error\":", n)].concat(),
        4 * MIB,
    ),
    (
        "long event",
        stream,
        |n| [b"data: ", &vec![b'x'; n][..], b"\n\n"].concat(),
        MIB,
    ),
    ("stream without a line", stream, |n| vec![b'x'; n], MIB),
    (
        "lines without an event",
        stream,
        |n| b"data: x\n".repeat(n / 8),
        MIB,
    ),
    ("tiny events", stream, |n| b"data:\n\n".repeat(n / 7), MIB),
    ("comments", stream, |n| b":\n\n".repeat(n / 3), MIB),
    (
        "hint of digits",
        hints,
        |n| [&b"try again in "[..], &vec![b'9'; n]].concat(),
        8 * MIB,
    ),
    (
        "hint of words",
        hints,
        |n| b"try again in ".repeat(n / 13),
        8 * MIB,
    ),
    ("quotes", answer, |n| vec![b'"'; n], 4 * MIB),
    (
        "escapes",
        answer,
        |n| [&b"{\"a\":\""[..], &vec![b'\\'; n], b"\"}"].concat(),
        4 * MIB,
    ),
    (
        "many fields",
        answer,
        |n| [&b"{"[..], &b"\"a\":1,".repeat(n / 6), b"\"b\":1}"].concat(),
        4 * MIB,
    ),
];

fn nested(open: &[u8], size: usize) -> Vec<u8> {
    open.repeat(size / open.len())
}

/// Reads a stream in chunks as a connection delivers them.
fn stream(data: &[u8]) {
    let mut stream = crate::edge::Stream::new(crate::dialect::Context::default(), true);
    for chunk in data.chunks(16 * 1024) {
        stream.read(chunk);
    }
    stream.finish();
}

/// Returns the time of this thread on a processor, so that a busy machine does not count.
fn cpu_time() -> u128 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let time = stat.split(' ').next().and_then(|time| time.parse().ok());
    time.unwrap_or_default()
}

/// Time grows with the size of the text, and memory is bounded.
#[test]
fn hostile_text_takes_linear_time_and_bounded_memory() {
    const SMALL: usize = 64 * 1024;
    for (name, target, text, bound) in HOSTILE {
        let time = |size: usize| {
            let text = text(size);
            let mut used = u64::MAX;
            let times = (0..3).map(|_| {
                let start = cpu_time();
                let peak = measure(|| target(&text)).bytes_max;
                used = used.min(peak);
                cpu_time() - start
            });
            (times.min().expect("three runs"), used)
        };
        let (small, _) = time(SMALL);
        let (large, used) = time(8 * SMALL);
        // Quadratic time would be 64 times as long.
        let allowed = 24 * small + 50_000_000;
        assert!(
            large <= allowed,
            "{name}: {small} ns, and {large} ns for 8 times the text"
        );
        assert!(used <= *bound as u64, "{name}: {used} bytes");
    }
}

#[test]
fn bodies_of_absurd_size_are_read() {
    let nesting = 100_000;
    answer(&b"[".repeat(nesting));
    answer(
        &[
            &b"{\"a\":"[..],
            &b"[".repeat(nesting),
            &b"]".repeat(nesting),
            b"}",
        ]
        .concat(),
    );
    dialect(&[&b"x\n{\"error\":"[..], &b"{\"a\":".repeat(nesting)].concat());
    error_body(&[&b"\x00\x00{\"error\":"[..], &b"[".repeat(nesting)].concat());
    // 100 MB in one event, in parts of 1 MiB.
    let part = vec![b'x'; MIB];
    let used = measure(|| {
        let mut stream = crate::edge::Stream::new(crate::dialect::Context::default(), true);
        stream.read(b"data: ");
        for _ in 0..100 {
            stream.read(&part);
        }
        stream.finish();
    });
    assert!(used.bytes_max <= MIB as u64, "{} bytes", used.bytes_max);
    // A million tiny events.
    let part = b"data: x\n\n".repeat(1000);
    let mut events = 0;
    let used = measure(|| {
        let mut reader = crate::edge::Events::default();
        for _ in 0..1000 {
            reader.read(&part, |_| events += 1);
        }
    });
    assert_eq!(events, 1_000_000);
    assert!(used.bytes_max <= MIB as u64, "{} bytes", used.bytes_max);
}
