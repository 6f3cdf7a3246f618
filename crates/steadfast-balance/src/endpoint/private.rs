//! The headers and query parameters of a caller that are not for an endpoint.

use std::borrow::Cow;

use http::HeaderName;

/// Returns whether a header is one of the headers of most requests, which are neither private nor
/// of one connection. Their names are not searched.
// A call would double the cost of 10 instructions for each header of a request.
#[inline(always)]
pub(super) fn is_common(name: &HeaderName) -> bool {
    // The length of a name decides first, so a name costs one comparison.
    matches!(
        name.as_str(),
        "accept"
            | "accept-encoding"
            | "content-length"
            | "content-type"
            | "user-agent"
            | "x-request-id"
    )
}

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
pub(super) fn is_private(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
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

/// Returns the first part of a query pair that is a credential, and whose name is not one of
/// `passed`, which is in lower case. Names are compared decoded.
///
/// Some servers separate pairs by `;`, so each part counts.
pub(super) fn private_part<'a>(pair: &'a str, passed: &[String]) -> Option<&'a str> {
    pair.split(';').find(|part| {
        let name = decoded(name_of(part));
        is_private_name(&name) && !passed.iter().any(|passed| passed.as_bytes() == &*name)
    })
}

/// Returns whether a query pair holds the credential of an account, as [`is_account`] does for a
/// header.
pub(super) fn is_account_pair(pair: &str) -> bool {
    pair.split(';').any(|part| {
        let name = decoded(name_of(part));
        let is_session = *name == b"sig"[..] || has_word(&name, |word| word == Word::Session);
        is_private_name(&name) && !is_session
    })
}

/// Returns the name of a part of a query, as it was sent.
fn name_of(part: &str) -> &str {
    part.split('=').next().unwrap_or_default()
}

/// Logs the name of a query parameter that an endpoint does not get. Without a value, the name may
/// be the secret.
#[cold]
pub(super) fn log_removal(part: &str) {
    if let Some((name, _)) = part.split_once('=') {
        tracing::debug!(
            name,
            "query parameter removed, because its name looks like a credential"
        );
    }
}

fn is_private_name(name: &[u8]) -> bool {
    // Without it, a client would read the first page of a list forever.
    let is_page = [&b"pagetoken"[..], b"nexttoken", b"continuationtoken"]
        .iter()
        .any(|page| ends_with_word(name, page));
    !is_page && (has_word(name, |word| word != Word::Origin) || name == b"sig")
}

/// Decodes `%XX` in a name, and returns it in lower case. An invalid sequence stays as it is.
fn decoded(name: &str) -> Cow<'_, [u8]> {
    let is_plain = |byte: u8| byte != b'%' && !byte.is_ascii_uppercase();
    if name.bytes().all(is_plain) {
        return Cow::Borrowed(name.as_bytes());
    }
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
    Cow::Owned(text)
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
/// Two or three letters decide in most positions, so a name costs one pass.
#[inline]
fn has_word(text: &[u8], wanted: impl Fn(Word) -> bool) -> bool {
    // No word is shorter than three letters.
    text.windows(3).enumerate().any(|(at, letters)| {
        let may_begin = has_pair(&FIRST, letters) && has_pair(&SECOND, &letters[1..]);
        may_begin && begins_with_word(&text[at..], &wanted)
    })
}

/// Returns whether `text` begins with a word that is `wanted`.
fn begins_with_word(text: &[u8], wanted: impl Fn(Word) -> bool) -> bool {
    let mut found = WORDS.iter().filter(|(word, _)| text.starts_with(word));
    found.any(|(_, kind)| wanted(*kind))
}

/// The words, and what each shows.
const WORDS: [(&[u8], Word); 27] = [
    (b"auth", Word::Credential),
    (b"key", Word::Credential),
    (b"token", Word::Credential),
    (b"secret", Word::Credential),
    (b"cookie", Word::Session),
    (b"forwarded", Word::Origin),
    (b"assertion", Word::Credential),
    (b"bearer", Word::Credential),
    (b"cf-access", Word::Credential),
    // Proxies with authentication add such names for the servers behind them.
    (b"client-cert", Word::Session),
    (b"client-ip", Word::Origin),
    (b"connecting-ip", Word::Origin),
    (b"credential", Word::Credential),
    (b"dpop", Word::Session),
    (b"jwt", Word::Credential),
    (b"oidc", Word::Session),
    // Beside the endpoint's own key they are a mismatch, and the response is a `401`.
    (b"openai-organization", Word::Credential),
    (b"openai-project", Word::Credential),
    (b"passw", Word::Credential),
    (b"principal", Word::Session),
    (b"pwd", Word::Credential),
    (b"referer", Word::Origin),
    (b"real-ip", Word::Origin),
    (b"remote-", Word::Origin),
    (b"session", Word::Session),
    (b"signature", Word::Session),
    (b"x-original-", Word::Origin),
];

/// Pairs of letters, one bit each: the low five bits of the first letter are the index, and the
/// low five bits of the second one are the bit. Different pairs may share a bit.
type Pairs = [u32; 32];

/// The first and the second letter of each word.
const FIRST: Pairs = pairs(0);
/// The second and the third letter of each word.
const SECOND: Pairs = pairs(1);

/// Returns the pairs of letters at this position of the words.
const fn pairs(at: usize) -> Pairs {
    let mut pairs = [0; 32];
    let mut n = 0;
    while n < WORDS.len() {
        let word = WORDS[n].0;
        pairs[(word[at] & 31) as usize] |= 1 << (word[at + 1] & 31);
        n += 1;
    }
    pairs
}

/// Returns whether the pair at the start of `letters` may be one of `pairs`.
#[inline]
fn has_pair(pairs: &Pairs, letters: &[u8]) -> bool {
    pairs[usize::from(letters[0] & 31)] >> (letters[1] & 31) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HOST;
    use proptest::prelude::*;
    use steadfast_core::layer::is_hop_by_hop;

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
            "x-bearer",
            "x-ssl-client-cert",
            "dpop",
            "x-amzn-oidc-data",
            "x-ms-client-principal",
            "remote-user",
            "x-pwd",
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
            assert!(private_part(pair, &[]).is_some(), "{pair}");
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
            assert!(private_part(pair, &[]).is_none(), "{pair}");
        }
    }

    #[test]
    fn each_part_of_a_pair_must_be_passed() {
        let passed = ["author".to_owned(), "startkey".to_owned()];
        for pair in [
            "author=a",
            "Author=a",
            "auth%6Fr=a",
            "startKey=1;author=b",
            "limit=1",
        ] {
            assert_eq!(private_part(pair, &passed), None, "{pair}");
        }
        for (pair, part) in [
            ("author=a;key=b", "key=b"),
            ("author[key]=a", "author[key]=a"),
            ("authors=a", "authors=a"),
        ] {
            assert_eq!(private_part(pair, &passed), Some(part));
        }
    }

    #[test]
    fn each_word_is_found_anywhere_in_a_name() {
        for (word, kind) in WORDS {
            for parts in [[b"a-", word, b""], [b"", word, b"-z"]] {
                let name = HeaderName::from_bytes(&parts.concat()).unwrap();
                assert!(is_private(&name), "{name}: {kind:?}");
            }
        }
    }

    /// Common headers are not searched, so none of them may be private.
    #[test]
    fn common_headers_are_not_removed() {
        let names = "accept accept-encoding content-length content-type user-agent x-request-id";
        for name in names.split(' ') {
            let name = HeaderName::from_static(name);
            assert!(is_common(&name) && !is_private(&name), "{name}");
            assert!(!is_hop_by_hop(&name) && name != HOST, "{name}");
        }
    }

    proptest! {
        /// The letters of a position decide first, and must never hide a word.
        #[test]
        fn any_name_with_a_word_has_one(name in "([a-z0-9_-]|key|auth|token|cf-|-ip|re|se){0,12}") {
            let text = name.as_bytes();
            let contains = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
            let expected = |kind| WORDS.iter().any(|(word, of)| *of == kind && contains(word));
            for kind in [Word::Credential, Word::Session, Word::Origin] {
                prop_assert_eq!(has_word(text, |word| word == kind), expected(kind), "{}", name);
            }
        }
    }
}
