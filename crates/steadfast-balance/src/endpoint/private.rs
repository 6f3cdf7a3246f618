//! The headers and query parameters of a caller that are not for an endpoint.

use http::HeaderName;

/// Words in the name of a credential. Each one is in lower case.
const WORDS: [&[u8]; 14] = [
    b"key",
    b"token",
    b"secret",
    b"auth",
    b"credential",
    b"signature",
    b"session",
    b"cookie",
    b"passw",
    b"jwt",
    b"assertion",
    b"cf-access",
    // Beside the endpoint's own key they are a mismatch, and the response is a `401`.
    b"openai-organization",
    b"openai-project",
];

/// Words in the name of a header that describes the caller or the path to this proxy.
const ORIGINS: [&[u8]; 6] = [
    b"forwarded",
    b"referer",
    b"real-ip",
    b"client-ip",
    b"connecting-ip",
    b"x-original-",
];

/// Returns whether a header holds a credential of the caller, or names the caller or its proxies.
///
/// Such headers are meant for the caller's own server. An endpoint gets them only if configured.
#[inline]
pub(super) fn is_private(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    // An endpoint repeats a request safely only if it receives this key.
    (has_word(text, &WORDS) && text != b"idempotency-key")
        || has_word(text, &ORIGINS)
        || text == b"via"
}

/// Returns whether a header holds the credential of an account, and not one of a session, of one
/// request, or of a proxy.
pub(super) fn is_account(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    let changes: [&[u8]; 3] = [b"signature", b"session", b"cookie"];
    has_word(text, &WORDS)
        && !has_word(text, &changes)
        && !text.starts_with(b"proxy-")
        && text != b"idempotency-key"
}

/// Returns whether a query pair is a credential. The name is compared decoded.
///
/// Some servers separate pairs by `;`, so each part counts.
pub(super) fn is_private_pair(pair: &str) -> bool {
    pair.split(';').any(|part| {
        let name = part.split('=').next().unwrap_or_default();
        is_private_name(&decoded(name))
    })
}

fn is_private_name(name: &[u8]) -> bool {
    // Without it, a client would read the first page of a list forever.
    let is_page = [&b"pagetoken"[..], b"nexttoken", b"continuationtoken"]
        .iter()
        .any(|page| ends_with_word(name, page));
    !is_page && (has_word(name, &WORDS) || name.eq_ignore_ascii_case(b"sig"))
}

/// Decodes `%XX` in a name. An invalid sequence stays as it is.
fn decoded(name: &str) -> Vec<u8> {
    let mut rest = name.as_bytes();
    let mut text = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let (byte, after) = match after {
            [high, low, after @ ..] if *first == b'%' => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (*first, &rest[1..]),
            },
            _ => (*first, after),
        };
        text.push(byte);
        rest = after;
    }
    text
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Returns whether a name ends with `word`, without `-` and `_`.
fn ends_with_word(name: &[u8], word: &[u8]) -> bool {
    let letters = name.iter().rev().filter(|byte| !b"-_".contains(byte));
    let letters = letters.map(u8::to_ascii_lowercase);
    letters.take(word.len()).eq(word.iter().rev().copied())
}

/// Returns whether `text` contains one of `words`.
///
/// The first byte of a word decides in most positions, so a name costs about one pass.
#[inline]
fn has_word(text: &[u8], words: &[&[u8]]) -> bool {
    (0..text.len()).any(|at| {
        let rest = &text[at..];
        let first = rest[0].to_ascii_lowercase();
        // Most letters begin no word.
        matches!(first, b'a' | b'c' | b'f' | b'j'..=b'k' | b'o'..=b'p' | b'r'..=b't' | b'x')
            && words.iter().any(|word| {
                word[0] == first
                    && rest
                        .get(..word.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(word))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_with_word_of_credential_is_private() {
        for name in [
            "authorization",
            "x-auth-token",
            "x-amz-security-token",
            "ocp-apim-subscription-key",
            "cf-access-client-id",
            "cf-access-jwt-assertion",
            "x-goog-iap-jwt-assertion",
            "private-token",
            "x-litellm-api-key",
            "x-client-secret",
            "x-session-id",
            "x-amz-signature",
            "x-csrf-cookie",
            "www-credentials",
            "openai-project",
            "forwarded",
            "x-forwarded-for",
            "x-real-ip",
            "true-client-ip",
            "via",
            "referer",
        ] {
            assert!(is_private(&name.parse().unwrap()), "{name}");
        }
        for name in [
            "content-type",
            "accept",
            "user-agent",
            "idempotency-key",
            "anthropic-version",
            "anthropic-beta",
            "x-request-id",
            "traceparent",
            "x-stainless-os",
        ] {
            assert!(!is_private(&name.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn query_name_is_compared_decoded_and_without_case() {
        for pair in [
            "key=1",
            "Key",
            "k%65y=1",
            "%4B%45%59=1",
            "api_key=1",
            "api-key=1",
            "access_token=1",
            "token=1",
            "sig=1",
            "SIG=1",
            "X-Amz-Signature=1",
            "a=1;key=2",
            "auth[0]=1",
            "password=1",
        ] {
            assert!(is_private_pair(pair), "{pair}");
        }
        for pair in [
            "",
            "a=key",
            "api-version=1",
            "k%6=1",
            "%",
            "sign=1",
            "page_token=1",
            "nextPageToken=1",
            "limit=1",
        ] {
            assert!(!is_private_pair(pair), "{pair}");
        }
    }

    /// The first byte of each word must pass the check of letters.
    #[test]
    fn each_word_is_found() {
        for word in WORDS.iter().chain(&ORIGINS) {
            let name = [b"x-", *word, b"-y"].concat();
            let name = HeaderName::from_bytes(&name).unwrap();
            assert!(is_private(&name), "{name}");
        }
    }
}
