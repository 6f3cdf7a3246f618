//! A recorded reply.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};

/// The outcome for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Final,
    Other,
    OtherThenSame,
    OtherThenOther,
}

/// A part of a reply as the server plays it.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Bytes),
    Sleep(Duration),
    Close,
}

#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) class: String,
    pub(super) scope: String,
    /// The hint, and the allowed difference.
    pub(super) hint: (Option<Duration>, Duration),
    /// `None` for `ctx`.
    pub(super) outcome: Option<Outcome>,
    pub(super) path: String,
    pub(super) streamed: bool,
    pub(super) steps: Vec<Step>,
}

impl Reply {
    pub(super) fn read(file: &Path) -> Self {
        let bytes = std::fs::read(file).expect("a file");
        let end = bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .expect("a line");
        let first = std::str::from_utf8(&bytes[..end]).expect("text");
        let mut words = first
            .strip_prefix("# ")
            .expect("the expectations")
            .split(' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("{first}")).to_owned();
        let (class, scope, hint, outcome) = (word(), word(), word(), word());
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        Self {
            class,
            scope,
            hint: read_hint(&hint),
            outcome: match &*outcome {
                "A" => Some(Outcome::Final),
                "B" => Some(Outcome::Other),
                "B/A" => Some(Outcome::OtherThenSame),
                "B/2" => Some(Outcome::OtherThenOther),
                "ctx" => None,
                other => panic!("{other}"),
            },
            path: words.next().unwrap_or("/v1/chat/completions").to_owned(),
            streamed: name.starts_with("sse"),
            steps: steps(&bytes[end + 1..]),
        }
    }

    /// Returns the reply of a healthy endpoint to the same request.
    pub(super) fn good(&self) -> Self {
        let name = match (&*self.path, self.streamed) {
            (path, true) if path.ends_with("/responses") => "good-responses-stream.http",
            (path, false) if path.ends_with("/responses") => "good-responses.http",
            (path, false) if path.ends_with("/messages") => "good-messages.http",
            (path, true) if path.ends_with("/messages") => "good-messages-stream.http",
            (path, false) if path.ends_with(":generateContent") => "good-gemini.http",
            (path, false) if path.ends_with("/embeddings") => "good-embeddings.http",
            (path, false) if path.ends_with("/v2/chat") => "good-cohere.http",
            (path, true) if path.ends_with("/v2/chat") => "good-cohere-stream.http",
            (_, true) => "good-stream.http",
            (_, false) => "good.http",
        };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects/good");
        let bytes = std::fs::read(file.join(name)).expect("a file");
        Self {
            steps: steps(&bytes),
            ..self.clone()
        }
    }

    /// Returns the reply without a server.
    pub(super) fn response(&self) -> Response<RecordedBody> {
        let mut all = Vec::new();
        for step in &self.steps {
            if let Step::Send(data) = step {
                all.extend_from_slice(data);
            }
        }
        let end = all
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .expect("a head");
        let head = std::str::from_utf8(&all[..end]).expect("text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let mut response = Response::builder().status(status.expect("a status"));
        let mut length = None;
        for (name, value) in lines.map(|line| line.split_once(':').expect("a header")) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().ok();
            }
            response = response.header(name, value.trim());
        }
        let data = Bytes::copy_from_slice(&all[end + 4..]);
        let is_cut = length.is_some_and(|length| length > data.len());
        let mut frames = VecDeque::from([Ok(data)]);
        if is_cut {
            frames.push_back(Err(io::ErrorKind::UnexpectedEof));
        }
        response.body(RecordedBody(frames)).expect("a response")
    }
}

fn read_hint(text: &str) -> (Option<Duration>, Duration) {
    if text == "-" {
        return (None, Duration::ZERO);
    }
    let exact = text.trim_start_matches('~');
    let tolerance = Duration::from_secs(if exact == text { 0 } else { 20 });
    let hint = match exact.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().expect("a number")),
        None => {
            let seconds = exact.trim_end_matches('s').parse().expect("a number");
            Duration::from_secs(seconds)
        }
    };
    (Some(hint), tolerance)
}

/// Reads `@sleep N`, `@close@` and `@now+N@`.
fn steps(bytes: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut data = Vec::new();
    let mut rest = bytes;
    while let Some(&byte) = rest.first() {
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if let Some(seconds) = line.strip_prefix(b"@sleep ") {
            let seconds: f64 = std::str::from_utf8(seconds)
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            steps.push(Step::Send(std::mem::take(&mut data).into()));
            // A test waits for milliseconds.
            steps.push(Step::Sleep(Duration::from_secs_f64(seconds / 100.0)));
            rest = &rest[(line.len() + 1).min(rest.len())..];
        } else if rest.starts_with(b"@close@") {
            steps.push(Step::Send(std::mem::take(&mut data).into()));
            steps.push(Step::Close);
            return steps;
        } else if let Some(after) = rest.strip_prefix(b"@now+") {
            let end = after.iter().position(|&byte| byte == b'@').expect("an end");
            let seconds: u64 = std::str::from_utf8(&after[..end]).unwrap().parse().unwrap();
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("a clock");
            data.extend_from_slice((now.as_secs() + seconds).to_string().as_bytes());
            rest = &after[end + 1..];
        } else {
            data.push(byte);
            rest = &rest[1..];
        }
    }
    steps.push(Step::Send(data.into()));
    steps
}

/// The body of a recorded reply, which may be cut.
#[derive(Debug)]
pub(super) struct RecordedBody(VecDeque<Result<Bytes, io::ErrorKind>>);

impl Body for RecordedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = self.0.pop_front();
        Poll::Ready(next.map(|next| next.map(Frame::data).map_err(io::Error::from)))
    }
}
