//! A stream that is collected to its end before it is passed on.
//!
//! Nothing of it has reached the caller if it breaks, so another endpoint can serve the request.

use bytes::Bytes;
use http_body::Body;
use steadfast_core::{BoxError, Class};
use tokio::time::timeout_at;

use crate::body::FRAME;
use crate::edge::body::EdgeBody;
use crate::edge::limits::Limits;
use crate::edge::memory::Memory;
use crate::edge::stream::Stream;

/// The rest of a larger stream is passed on as it comes.
const MAX_STREAM: usize = 8 * 1024 * 1024;

/// Reads a stream up to the end of its answer, and keeps its frames. `size` is the size of the
/// frames so far.
///
/// A stream that breaks is an error. An event that reports a fault of the request ends the reading:
/// the caller gets it as the endpoint has sent it, as no other endpoint would answer in another
/// way.
pub(super) async fn collect<B>(
    body: &mut EdgeBody<B>,
    stream: &mut Stream,
    mut size: usize,
    limits: &Limits,
    memory: &Memory,
) -> Result<(), BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    body.set_clock(limits.idle);
    while size <= MAX_STREAM && body.hold(memory, size) && !stream.is_finished() {
        if let Some(verdict) = stream.failed() {
            return match is_of_request(verdict.class()) {
                true => Ok(()),
                false => unbroken(stream),
            };
        }
        let Ok(next) = timeout_at(limits.total.at(), body.next_data()).await else {
            return Err(limits.total.error().into());
        };
        match next {
            Some(Some(data)) => {
                size += FRAME + data.len();
                stream.read(&data);
            }
            Some(None) => return Err(body.take_error().expect("the item read last is an error")),
            None => {
                stream.finish();
                return unbroken(stream);
            }
        }
    }
    Ok(())
}

/// Returns the error of a stream that ends here, if its answer is incomplete.
fn unbroken(stream: &Stream) -> Result<(), BoxError> {
    match stream.broken() {
        Some(broken) => Err(broken.into()),
        None => Ok(()),
    }
}

/// Returns whether every endpoint would report a failure of this class.
fn is_of_request(class: Class) -> bool {
    matches!(
        class,
        Class::CallerFault | Class::ContentPolicy | Class::ContextTooLong
    )
}
