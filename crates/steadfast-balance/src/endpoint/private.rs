//! The headers and query parameters of a caller that are not for an endpoint.

use http::HeaderName;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};

/// The headers of most requests. They are no credentials, so their names are not searched.
const COMMON: [HeaderName; 5] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    ACCEPT,
    ACCEPT_ENCODING,
    USER_AGENT,
];

/// What a word in a name shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// A credential of an account.
    Credential,
    /// A credential of a session or of one request.
    Session,
    /// The caller, or the path to this proxy.
    Origin,
}

/// Returns whether a header holds a credential of the caller, or names the caller or its proxies.
///
/// Such headers are meant for the caller's own server. An endpoint gets them only if configured.
#[inline]
pub(super) fn is_private(name: &HeaderName) -> bool {
    !COMMON.contains(name) && has_private_name(name.as_str().as_bytes())
}

fn has_private_name(name: &[u8]) -> bool {
    // An endpoint repeats a request safely only if it receives the idempotency key.
    has_word(name, |_| true) && name != b"idempotency-key" || name == b"via"
}

/// Returns whether a header holds the credential of an account, and not one of a session, of one
/// request, or of a proxy.
pub(super) fn is_account(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    has_word(text, |word| word == Word::Credential)
        && !has_word(text, |word| word == Word::Session)
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
    !is_page && (has_word(name, |word| word != Word::Origin) || name == b"sig")
}

/// Decodes `%XX` in a name, and returns it in lower case. An invalid sequence stays as it is.
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
        text.push(byte.to_ascii_lowercase());
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
    letters.take(word.len()).eq(word.iter().rev())
}

/// Returns whether `text`, in lower case, contains a word that is `wanted`.
///
/// Two letters decide in most positions, so a name costs one pass.
#[inline]
fn has_word(text: &[u8], wanted: impl Fn(Word) -> bool) -> bool {
    let mut positions = text.windows(2).enumerate();
    positions.any(|(at, two)| {
        let found = words(u16::from_be_bytes([two[0], two[1]]));
        !found.is_empty()
            && (found.iter()).any(|(word, kind)| text[at..].starts_with(word) && wanted(*kind))
    })
}

/// Returns the words that begin with two letters.
#[inline]
fn words(two: u16) -> &'static [(&'static [u8], Word)] {
    const fn start(two: &[u8; 2]) -> u16 {
        u16::from_be_bytes(*two)
    }
    const AS: u16 = start(b"as");
    const AU: u16 = start(b"au");
    const CF: u16 = start(b"cf");
    const CL: u16 = start(b"cl");
    const CO: u16 = start(b"co");
    const CR: u16 = start(b"cr");
    const FO: u16 = start(b"fo");
    const JW: u16 = start(b"jw");
    const KE: u16 = start(b"ke");
    const OP: u16 = start(b"op");
    const PA: u16 = start(b"pa");
    const RE: u16 = start(b"re");
    const SE: u16 = start(b"se");
    const SI: u16 = start(b"si");
    const TO: u16 = start(b"to");
    const X: u16 = start(b"x-");
    match two {
        AS => &[(b"assertion", Word::Credential)],
        AU => &[(b"auth", Word::Credential)],
        CF => &[(b"cf-access", Word::Credential)],
        CL => &[(b"client-ip", Word::Origin)],
        CO => &[(b"cookie", Word::Session), (b"connecting-ip", Word::Origin)],
        CR => &[(b"credential", Word::Credential)],
        FO => &[(b"forwarded", Word::Origin)],
        JW => &[(b"jwt", Word::Credential)],
        KE => &[(b"key", Word::Credential)],
        // Beside the endpoint's own key they are a mismatch, and the response is a `401`.
        OP => &[
            (b"openai-organization", Word::Credential),
            (b"openai-project", Word::Credential),
        ],
        PA => &[(b"passw", Word::Credential)],
        RE => &[(b"referer", Word::Origin), (b"real-ip", Word::Origin)],
        SE => &[(b"secret", Word::Credential), (b"session", Word::Session)],
        SI => &[(b"signature", Word::Session)],
        TO => &[(b"token", Word::Credential)],
        X => &[(b"x-original-", Word::Origin)],
        _ => &[],
    }
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

    #[test]
    fn each_word_is_found_anywhere_in_a_name() {
        let all = (0..=u16::MAX).flat_map(words);
        let mut count = 0;
        for (word, kind) in all {
            for parts in [[b"a-", *word, b""], [b"", *word, b"-z"]] {
                let name = HeaderName::from_bytes(&parts.concat()).unwrap();
                assert!(is_private(&name), "{name}: {kind:?}");
            }
            count += 1;
        }
        assert_eq!(count, 20);
    }

    /// Common headers are not searched, so none of them may be private.
    #[test]
    fn common_headers_have_no_word() {
        for name in COMMON {
            assert!(!has_private_name(name.as_str().as_bytes()), "{name}");
        }
    }
}
