//! The file `models.toml`.

use std::collections::HashSet;

use steadfast_models::{Capability, Catalogue};

#[test]
fn each_row_has_source_date_and_own_names() {
    let catalogue = Catalogue::shipped();
    let mut names = HashSet::new();
    for model in catalogue.models() {
        let name = model.name();
        assert!(model.source().starts_with("https://"), "{name}");
        let date: Vec<_> = model.date().split('-').map(str::len).collect();
        assert_eq!(date, [4, 2, 2], "{name}");
        for name in model.aliases().iter().map(String::as_str).chain([name]) {
            assert!(names.insert(name.to_owned()), "{name} stands twice");
        }
        for offer in model.offers() {
            assert!(!offer.source.is_empty() && !offer.date.is_empty(), "{name}");
        }
    }
}

#[test]
fn all_families_are_present() {
    let catalogue = Catalogue::shipped();
    let found: HashSet<_> = catalogue
        .models()
        .filter_map(|model| model.family())
        .collect();
    let expected = [
        "openai",
        "anthropic",
        "google",
        "deepseek",
        "mistral",
        "meta",
        "qwen",
    ];
    assert_eq!(found, HashSet::from(expected));
}

#[test]
fn list_prices_of_holysheep_stand_beside_references() {
    let catalogue = Catalogue::shipped();
    for (name, price, reference) in [
        ("gpt-4.1", 8.0, Some(60.0)),
        ("claude-sonnet-4-5", 15.0, Some(18.0)),
        ("claude-sonnet-4.5", 15.0, Some(18.0)),
        ("gemini-2.5-flash", 2.5, Some(1.25)),
        ("deepseek-v3.2", 0.42, None),
    ] {
        let model = catalogue.find(name).expect(name);
        let [offer] = model.offers() else {
            panic!("{name} has no offer");
        };
        let found = (&*offer.provider, offer.price, offer.reference);
        assert_eq!(found, ("holysheep", price, reference), "{name}");
        assert!(
            model.price().is_some(),
            "{name} has a price of its provider"
        );
    }
}

#[test]
fn names_of_hosts_are_found() {
    let catalogue = Catalogue::shipped();
    for (name, expected) in [
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-3.5-turbo-0125", "gpt-3.5-turbo"),
        ("openai/gpt-4.1-mini", "gpt-4.1-mini"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4-0"),
        ("claude-opus-4-1@20250805", "claude-opus-4-1"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
        ("anthropic/claude-3.5-haiku:beta", "claude-3-5-haiku"),
        ("models/gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("mistral-small-2506", "mistral-small"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b"),
        ("llama3.1:8b", "llama-3.1-8b"),
        ("Qwen/Qwen2.5-72B-Instruct", "qwen2.5-72b-instruct"),
        ("deepseek-ai/DeepSeek-V3", "deepseek-v3"),
    ] {
        let model = catalogue.find(name).map(|model| model.name());
        assert_eq!(model.ok(), Some(expected), "{name}");
    }
}

#[test]
fn capabilities_of_a_row_are_read() {
    let catalogue = Catalogue::shipped();
    let model = catalogue.find("gpt-4o").expect("a row");
    assert_eq!(model.can(Capability::Vision), Some(true));
    let model = catalogue.find("deepseek-chat").expect("a row");
    assert_eq!(model.can(Capability::Vision), Some(false));
    let model = catalogue.find("whisper-1").expect("a row");
    assert_eq!(model.can(Capability::Vision), None);
}
