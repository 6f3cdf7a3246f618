//! The sources of tokens: a file, a command, or a function.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use steadfast_core::BoxError;

use crate::api_key::ApiKey;

/// The result of a source: a token and its lifetime, or `None` for a token without an end.
type Renewed = Result<(ApiKey, Option<Duration>), BoxError>;

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
    /// The file holds the token alone. White space around it is ignored.
    pub fn from_file(path: impl Into<PathBuf>, every: Duration) -> impl TokenSource {
        let path: PathBuf = path.into();
        move || {
            let path = path.clone();
            async move {
                // Files have no other way than a thread.
                let text = tokio::task::spawn_blocking(|| std::fs::read_to_string(path)).await?;
                let text =
                    text.map_err(|error| format!("the file of the token: {}", error.kind()))?;
                Ok((Self::new(&text)?, Some(every)))
            }
        }
    }

    /// Creates a source that runs a command each time that `every` has passed, and after a `401`.
    ///
    /// The command prints the token alone. It is killed after 10 s.
    #[cfg(any(feature = "client", feature = "config"))]
    pub fn from_command<T: Into<std::ffi::OsString>>(
        command: impl IntoIterator<Item = T>,
        every: Duration,
    ) -> impl TokenSource {
        let command: Vec<std::ffi::OsString> = command.into_iter().map(Into::into).collect();
        move || {
            let command = command.clone();
            async move {
                let [program, arguments @ ..] = &command[..] else {
                    return Err("the command of the token is empty".into());
                };
                let mut process = tokio::process::Command::new(program);
                process.args(arguments).kill_on_drop(true);
                process.stdin(std::process::Stdio::null());
                let output = process.output().await;
                let output = output
                    .map_err(|error| format!("the command of the token: {}", error.kind()))?;
                // Its output may hold a secret.
                if !output.status.success() {
                    return Err(format!("the command of the token: {}", output.status).into());
                }
                Ok((
                    Self::new(&String::from_utf8(output.stdout).unwrap_or_default())?,
                    Some(every),
                ))
            }
        }
    }
}
