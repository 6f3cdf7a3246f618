use super::skip::MAX_DEPTH;
use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn read(json: &str) -> Option<Vec<(String, String)>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut all = Vec::new();
    fields(json.as_bytes(), |name, value| {
        all.push((text(name), text(value)));
    })?;
    Some(all)
}

#[test]
fn top_level_fields_are_slices_of_the_text() {
    let json = r#" {"a" : [1,{"b":"]}\""}], "c\"d":"\\" ,"e":null,"f":-1.5e3,"g":{}} "#;
    let expected = [
        ("a", r#"[1,{"b":"]}\""}]"#),
        (r#"c\"d"#, r#""\\""#),
        ("e", "null"),
        ("f", "-1.5e3"),
        ("g", "{}"),
    ];
    let found = read(json).expect("an object");
    let found: Vec<_> = (found.iter().map(|(name, value)| (&**name, &**value))).collect();
    assert_eq!(found, expected);
    assert_eq!(field(json.as_bytes(), "e"), Some(&b"null"[..]));
    assert_eq!(field(json.as_bytes(), "b"), None);

    let mut all = Vec::new();
    let list = br#"[ 1, "a,b", [2], {} ]"#;
    items(list, |item| all.push(item)).expect("an array");
    assert_eq!(all, [&b"1"[..], b"\"a,b\"", b"[2]", b"{}"]);
}

#[test]
fn text_that_is_not_one_whole_object_is_none() {
    for json in [
        "",
        " ",
        "{",
        "[]",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{} x",
        "{\"a\":\"b}",
        "{\"a\":[1}",
        "{\"a\":[1}]}",
        "{\"a\":tru}",
        "{a:1}",
        "{\"a\":<}",
        "{\"a\":{\"b\":1}",
        "{\"a\" 1}",
        "{\"a\":\"\\",
        "<!DOCTYPE html>",
        "null",
        "{}{}",
    ] {
        assert_eq!(read(json), None, "{json}");
    }
}

#[test]
fn deep_text_is_none_and_costs_no_stack() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&nested(MAX_DEPTH as usize)).is_some());
    assert!(read(&nested(MAX_DEPTH as usize + 1)).is_none());
    assert!(read(&nested(100_000)).is_none());
}

#[test]
fn scalars_are_read_from_their_text() {
    assert_eq!(plain_text(b"\"stop\""), Some("stop"));
    assert_eq!(plain_text(b"\"a\\n\""), None);
    assert_eq!(plain_text(b"null"), None);
    assert_eq!(
        (count(b"12"), count(b"-1"), count(b"1.5")),
        (Some(12), None, None)
    );
}

/// Any JSON value, printed.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i16>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn fields_agree_with_a_tree(value in json(), pretty: bool) {
        let print = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let text = print(&value).unwrap();
        let found = read(&text);
        prop_assert_eq!(found.is_some(), value.is_object());
        for (name, part) in found.into_iter().flatten() {
            let name: String = serde_json::from_str(&format!("\"{name}\"")).unwrap();
            let part: Value = serde_json::from_str(&part).unwrap();
            prop_assert_eq!(&part, &value[name]);
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in "[\\[\\]{}\",:\\\\a1 tn]{0,40}") {
        let _ = fields(bytes.as_bytes(), |_, _| {});
        let _ = items(bytes.as_bytes(), |_| {});
    }

    /// A part of an object is never taken for a whole answer.
    #[test]
    fn cut_object_is_none(value in json(), cut: prop::sample::Index) {
        let text = serde_json::to_vec(&serde_json::json!({"a": value})).unwrap();
        let cut = cut.index(text.len());
        let found = fields(&text[..cut], |_, _| {});
        prop_assert!(found.is_none());
    }
}
