//! The place of the model in a multipart form, such as an upload of audio.
//!
//! Only the delimiters and the headers of the parts are read. A file is searched for delimiters,
//! and is neither copied nor decoded.

use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::memmem;

/// The longest boundary, as RFC 2046 defines it.
const MAX_BOUNDARY: usize = 70;

/// Returns the boundary of a multipart form.
pub(crate) fn boundary(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = kind.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"'))
    })?;
    (1..=MAX_BOUNDARY)
        .contains(&boundary.len())
        .then_some(boundary)
}

/// Returns the last value of a field `model`, and the places of the first and the last one.
///
/// Both are rewritten and the others stay, as for JSON.
pub(crate) fn models(body: &[u8], boundary: &str) -> Option<(String, Vec<Range<usize>>)> {
    let delimiter = format!("--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    // A delimiter begins a line, so a part may contain its text elsewhere.
    let starts_line = |at: &usize| *at == 0 || body[..*at].ends_with(b"\r\n");
    let mut before = None;
    let mut places = Vec::new();
    // The caller chooses the number of parts, so they are not collected.
    let parts = finder.find_iter(body).filter(starts_line).filter_map(|at| {
        // The line end in front of a delimiter belongs to the delimiter.
        let (start, end) = (before.replace(at)? + delimiter.len(), at.checked_sub(2)?);
        let part = body.get(start..end)?.strip_prefix(b"\r\n")?;
        let head = memmem::find(part, b"\r\n\r\n")?;
        is_model(&part[..head]).then_some(start + 2 + head + 4..end)
    });
    for place in parts {
        places.truncate(1);
        places.push(place);
    }
    let last = std::str::from_utf8(&body[places.last()?.clone()]).ok()?;
    Some((last.to_owned(), places))
}

/// Returns whether the headers of a part name it `model`. A file has another name as well.
fn is_model(head: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(head) else {
        return false;
    };
    head.split("\r\n").any(|line| {
        let Some((name, value)) = line.split_once(':') else {
            return false;
        };
        let mut parameters = value.split(';').map(str::trim);
        name.trim().eq_ignore_ascii_case("content-disposition")
            && parameters.any(|it| it == "name=\"model\"" || it == "name=model")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn boundary_is_read_from_content_type() {
        for (kind, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            (
                "Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"",
                Some("a b"),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/mixed; boundary=abc", None),
            ("application/json", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(boundary(&headers), expected, "{kind}");
        }
    }

    #[test]
    fn value_of_model_is_found_between_files() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
            Content-Type: audio/wav\r\n\r\n--b name=\"model\"\r\n\r\nx\r\n--b\r\n\
            content-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b--\r\n";
        let (name, places) = models(body.as_bytes(), "b").expect("a model");
        assert_eq!(name, "whisper-1");
        let texts: Vec<_> = places.into_iter().map(|place| &body[place]).collect();
        assert_eq!(texts, ["whisper-1"]);
    }

    #[test]
    fn first_and_last_model_are_found() {
        let part =
            |name| format!("--b\r\nContent-Disposition: form-data; name=model\r\n\r\n{name}\r\n");
        let body = ["a", "b", "c", "d"].map(part).concat() + "--b--";
        let (name, places) = models(body.as_bytes(), "b").expect("a model");
        let texts: Vec<_> = places.into_iter().map(|place| &body[place]).collect();
        assert_eq!((&*name, texts), ("d", vec!["a", "d"]));
    }

    #[test]
    fn form_without_model_has_none() {
        for body in [
            "",
            "--b",
            "--b--",
            "--b\r\n--b",
            "--b\r\n\r\n\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=\"models\"\r\n\r\nx\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nx",
        ] {
            assert_eq!(models(body.as_bytes(), "b"), None, "{body}");
        }
    }
}
