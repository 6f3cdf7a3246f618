//! Without the feature `decode`, no encoding is known.

use super::undecoded::Undecoded;

/// Decodes `identity` alone. The inspection treats a body with another encoding as unknown, and
/// passes it on.
pub(crate) fn decode_one(
    name: &str,
    body: &[u8],
    _: usize,
    text: &mut Vec<u8>,
) -> Result<(), Undecoded> {
    if name != "identity" {
        return Err(Undecoded::Unknown);
    }
    text.extend_from_slice(body);
    Ok(())
}
