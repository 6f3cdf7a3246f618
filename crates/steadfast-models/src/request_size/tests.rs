use super::*;
use proptest::prelude::*;

fn size(body: &str) -> RequestSize {
    RequestSize::of(body.as_bytes(), Tokens::Bytes)
}

/// Sixteen letters are four tokens.
const FOUR: &str = "abcdefghijklmnop";

#[test]
fn texts_of_each_format_count() {
    for (body, expected) in [
        (r#"{"messages":[{"role":"user","content":"T"}]}"#, 4),
        (
            r#"{"messages":[{"role":"user","content":"T"},{"content":"T"}]}"#,
            8,
        ),
        (
            r#"{"messages":[{"content":[{"type":"text","text":"T"}]}]}"#,
            4,
        ),
        (r#"{"system":"T","messages":[{"content":"T"}]}"#, 8),
        (r#"{"system":[{"type":"text","text":"T"}]}"#, 4),
        (
            r#"{"contents":[{"parts":[{"text":"T"}]}],"systemInstruction":{"parts":[{"text":"T"}]}}"#,
            8,
        ),
        (
            r#"{"instructions":"T","input":[{"role":"user","content":"T"}]}"#,
            8,
        ),
        (r#"{"input":"T"}"#, 4),
        (r#"{"prompt":"T"}"#, 4),
        (r#"{"tools":[{"function":{"description":"T"}}]}"#, 4),
        (r#"{"user":"T","metadata":{"messages":"T"},"x":["T"]}"#, 0),
        (r#"{"mess\u0061ges":[{"content":"T"}]}"#, 4),
    ] {
        let body = body.replace('T', FOUR);
        assert_eq!(size(&body).prompt_tokens(), expected, "{body}");
    }
}

/// An image of 5 MB would otherwise count as a million tokens.
#[test]
fn data_does_not_count() {
    let data = "A".repeat(4000);
    for body in [
        r#"{"messages":[{"content":[{"image_url":{"url":"data:image/png;base64,D"}}]}]}"#,
        r#"{"messages":[{"content":[{"input_audio":{"data":"D"}}]}]}"#,
        r#"{"messages":[{"content":[{"source":{"type":"base64","data":"D"}}]}]}"#,
        r#"{"input":[{"content":[{"image_url":"data:image/png;base64,D"}]}]}"#,
        r#"{"contents":[{"parts":[{"inlineData":{"data":"D"}}]}]}"#,
        r#"{"input":["data:image/png;base64,D"]}"#,
        r#"{"messages":[{"content":[{"file":{"file_data":"D"}}]}]}"#,
    ] {
        let body = body.replace('D', &data);
        assert!(size(&body).prompt_tokens() < 20, "{}", &body[..60]);
    }
}

/// A list of 1,000 short inputs fits a context of 8,192 tokens, since each is read alone.
#[test]
fn longest_input_of_a_list_counts() {
    let body = format!(r#"{{"input":["{FOUR}","{FOUR}{FOUR}","{FOUR}"]}}"#);
    assert_eq!(size(&body).prompt_tokens(), 8);
    assert_eq!(size(r#"{"input":[[1,2,3],[4]]}"#).prompt_tokens(), 0);
}

#[test]
fn largest_output_is_read_from_each_field() {
    for (body, expected) in [
        (r#"{"max_tokens":5}"#, Some(5)),
        (r#"{"max_completion_tokens":5}"#, Some(5)),
        (r#"{"max_output_tokens":5}"#, Some(5)),
        (r#"{"generationConfig":{"maxOutputTokens":5}}"#, Some(5)),
        (r#"{"max_tokens":9,"max_completion_tokens":5}"#, Some(5)),
        (r#"{"max_completion_tokens":5,"max_tokens":9}"#, Some(5)),
        (r#"{"max_tokens":18446744073709551615}"#, Some(u64::MAX)),
        (r#"{"max_tokens":-1}"#, None),
        (r#"{"max_tokens":5.5}"#, None),
        (r#"{"max_tokens":null}"#, None),
        (r#"{"max_tokens":[5],"x":{"max_tokens":5}}"#, None),
        (r#"{"max_tokens":"5"}"#, None),
        (r#"{"max_tokens":5"#, None),
        ("[5]", None),
        ("", None),
    ] {
        assert_eq!(size(body).max_tokens(), expected, "{body}");
    }
    assert_eq!(
        size(r#"{"max_tokens":18446744073709551615,"input":"T"}"#).total_tokens(),
        u64::MAX
    );
}

/// A caller chooses the depth. The stack of the thread is finite.
#[test]
fn deep_body_has_no_size() {
    let deep = "[".repeat(1_000_000);
    for body in [
        format!(r#"{{"messages":{deep}"#),
        format!(r#"{{"x":{deep}"#),
        deep.clone(),
    ] {
        assert_eq!(size(&body), RequestSize::default());
    }
}

proptest! {
    #[test]
    fn any_body_is_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let size = RequestSize::of(&body, Tokens::Bytes);
        prop_assert!(size.prompt_tokens() <= body.len() as u64);
    }
}
