//! The sources of tokens: a file, a command, or a function.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::BoxError;
#[cfg(any(feature = "client", feature = "config"))]
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::api_key::ApiKey;

/// The result of a source: a token and its lifetime, or `None` for a token without an end.
type Renewed = Result<(ApiKey, Option<Duration>), BoxError>;

/// The most bytes that are read for a token: one more than the longest token with its white space.
const MAX_READ: u64 = 64 * 1024 + 1;

/// Returns tokens that expire, for
/// [`AiStackBuilder::endpoint_with_tokens`](crate::AiStackBuilder::endpoint_with_tokens).
///
/// A closure that returns a future is a source. [`ApiKey::from_file`] and [`ApiKey::from_command`]
/// return others. A source may be slow: it is called once at a time, before a token expires and
/// after a `401`, and for at most 10 s.
///
/// ```
/// use std::time::Duration;
/// use steadfast::{AiStack, ApiKey, BoxError, Endpoint};
///
/// let source = || async {
///     // Call the token service here.
///     let token = ApiKey::new("ya29.0123456789")?;
///     Ok::<_, BoxError>((token, Some(Duration::from_secs(3600))))
/// };
/// let endpoint = Endpoint::new("vertex", "https://us-central1-aiplatform.googleapis.com/v1")?;
/// let ai = AiStack::builder().endpoint_with_tokens(endpoint, source).build()?;
/// # Ok::<(), BoxError>(())
/// ```
///
/// | Event | Effect |
/// |---|---|
/// | the first attempt | waits for the first token |
/// | a token ends soon | one attempt renews it, and others use it meanwhile |
/// | a token has ended | attempts wait for one renewal |
/// | `401` | one renewal, and the request is sent once more |
/// | the source fails | attempts fail at once for 1 s, and fail over |
pub trait TokenSource: Send + Sync + 'static {
    /// Returns a new token and its lifetime. `None` means that it has no end.
    fn token(&self) -> Pin<Box<dyn Future<Output = Renewed> + Send + '_>>;
}

impl<F, Fut> TokenSource for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Renewed> + Send + 'static,
{
    fn token(&self) -> Pin<Box<dyn Future<Output = Renewed> + Send + '_>> {
        Box::pin(self())
    }
}

impl ApiKey {
    /// Creates a source that reads a file each time that `every` has passed, and after a `401`.
    ///
    /// The file holds the token alone, in at most 64 KiB. White space around it is ignored.
    pub fn from_file(path: impl Into<PathBuf>, every: Duration) -> impl TokenSource {
        let path: PathBuf = path.into();
        let reading = Arc::new(Mutex::new(None));
        move || {
            let (path, reading) = (path.clone(), reading.clone());
            async move {
                // Files have no other way than a thread. A read that hangs is waited for again:
                // further ones would occupy all threads of the runtime.
                let mut reading = reading.lock().await;
                let running = reading.take().filter(|it| !JoinHandle::is_finished(it));
                let running = running.unwrap_or_else(|| spawn_blocking(|| read(path)));
                let text = reading.insert(running).await?;
                let text =
                    text.map_err(|error| format!("the file of the token: {}", error.kind()))?;
                Ok((key(&text)?, Some(every)))
            }
        }
    }

    /// Creates a source that runs a command each time that `every` has passed, and after a `401`.
    ///
    /// The command prints the token alone, in at most 64 KiB. It is killed after 10 s. Its error
    /// output is discarded, because it may hold a secret.
    #[cfg(any(feature = "client", feature = "config"))]
    pub fn from_command<T: Into<std::ffi::OsString>>(
        command: impl IntoIterator<Item = T>,
        every: Duration,
    ) -> impl TokenSource {
        let command: Vec<std::ffi::OsString> = command.into_iter().map(Into::into).collect();
        move || {
            let command = command.clone();
            async move { Ok((run(&command).await?, Some(every))) }
        }
    }
}

/// Reads a file, up to the length of a token that is too long.
fn read(path: PathBuf) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_READ).read_to_end(&mut text)?;
    Ok(text)
}

/// Runs a command, and returns the token that it prints. A dropped future kills the command.
#[cfg(any(feature = "client", feature = "config"))]
async fn run(command: &[std::ffi::OsString]) -> Result<ApiKey, BoxError> {
    use std::process::Stdio;

    let failed = |error: io::Error| format!("the command of the token: {}", error.kind());
    let [program, arguments @ ..] = command else {
        return Err("the command of the token is empty".into());
    };
    let mut process = tokio::process::Command::new(program);
    process.args(arguments).kill_on_drop(true);
    process
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = process.spawn().map_err(failed)?;
    let output = process.stdout.take().expect("it is piped");
    let mut text = Vec::new();
    output
        .take(MAX_READ)
        .read_to_end(&mut text)
        .await
        .map_err(failed)?;
    // A command that still prints would wait for a reader.
    if text.len() as u64 == MAX_READ {
        return key(&text);
    }
    let status = process.wait().await.map_err(failed)?;
    if !status.success() {
        return Err(format!("the command of the token: {status}").into());
    }
    key(&text)
}

/// Checks the text of a token.
fn key(text: &[u8]) -> Result<ApiKey, BoxError> {
    if text.len() as u64 == MAX_READ {
        return Err("the token exceeds 64 KiB".into());
    }
    Ok(ApiKey::new(&String::from_utf8_lossy(text))?)
}
