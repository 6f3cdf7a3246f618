//! The text of events.

use bytes::Bytes;
use steadfast_core::BoxError;
use steadfast_core::layer::verdict_of_error;

use crate::error_format::ErrorEvent;

/// The name of an event with an error. Clients of Anthropic read the name, the others the data.
pub(crate) const ERROR: &str = "event: error\n";

/// Writes an error as an event, the one with this number in its stream.
pub(crate) fn error_event(error: &BoxError, format: ErrorEvent, number: u64) -> Bytes {
    let class = verdict_of_error(error).class();
    let data = format(class, &error.to_string(), number).to_string();
    event(ERROR, data.as_bytes())
}

/// Writes an event. Each line of its data has a field of its own.
pub(crate) fn event(name: &str, data: &[u8]) -> Bytes {
    let mut text = name.as_bytes().to_vec();
    for line in data.split(|&byte| matches!(byte, b'\n' | b'\r')) {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.push(b'\n');
    text.into()
}
