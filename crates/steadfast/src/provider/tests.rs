use super::*;

fn shown(endpoints: &[Endpoint]) -> Vec<(String, String)> {
    let names = endpoints.iter();
    names.map(|it| (it.name().to_string(), it.base())).collect()
}

#[test]
fn each_provider_has_its_name_and_valid_endpoints() {
    for facts in &ALL {
        let provider = facts.provider;
        assert_eq!(facts.name.parse::<Provider>().unwrap(), provider);
        #[cfg(feature = "serde")]
        assert_eq!(serde_json::to_value(provider).unwrap(), facts.name);
        let key = format!("{}0123456789abcdef0123", facts.key.0);
        match provider.endpoints([&key]) {
            Ok(endpoints) => assert_eq!(endpoints.len(), facts.bases.len(), "{provider}"),
            Err(error) => assert!(facts.bases.is_empty(), "{provider}: {error}"),
        }
        let own = provider.endpoint_at("own", "https://own.test/v1", &key);
        let text = format!("{:?}", own.unwrap());
        let header = facts.header.unwrap_or("authorization");
        assert!(text.contains(&format!("Credential({header}: *)")), "{text}");
        assert_eq!(
            provider.endpoints::<&str>([]).is_ok(),
            facts.is_local,
            "{provider}"
        );
    }
    assert!("fastest".parse::<Provider>().is_err());
}

#[test]
fn several_keys_make_numbered_endpoints() {
    let keys = ["sk-0123456789abcdef01", " sk-0123456789abcdef02\n"];
    let one = Provider::HolySheep.endpoints([keys[0]]).unwrap();
    let expected = HOLYSHEEP
        .iter()
        .map(|(name, base)| ((*name).to_owned(), (*base).to_owned()));
    assert_eq!(shown(&one), expected.collect::<Vec<_>>());
    let two = Provider::HolySheep.endpoints(keys).unwrap();
    let names: Vec<_> = shown(&two).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "primary-1",
            "primary-2",
            "backup1-1",
            "backup1-2",
            "backup2-1",
            "backup2-2"
        ]
    );
    assert!(!format!("{two:?}").contains("0123456789"));
}

#[test]
fn invalid_key_returns_reason_without_key() {
    for (provider, key, expected) in [
        (
            Provider::HolySheep,
            "pk-0123456789abcdef01",
            "begin with \"sk-\"",
        ),
        (
            Provider::HolySheep,
            "sk-0123 456789abcdef01",
            "contains a space",
        ),
        (
            Provider::HolySheep,
            "sk-0123456789abcde",
            "18 characters and should have at least 20",
        ),
        (
            Provider::Anthropic,
            "sk-0123456789",
            "begin with \"sk-ant-\"",
        ),
        (
            Provider::OpenRouter,
            "sk-0123456789",
            "begin with \"sk-or-\"",
        ),
        (Provider::Groq, "gsk_", "5"),
        (Provider::XAi, "", "empty"),
        (Provider::Mistral, "0123\u{e9}", "visible ASCII"),
    ] {
        let error = provider.endpoints([key]).unwrap_err().to_string();
        assert!(error.contains(expected), "{provider}: {error}");
        assert!(!error.contains("0123"), "{error}");
    }
}
