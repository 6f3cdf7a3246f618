//! Files that replace and extend the catalogue.

use steadfast_models::{Catalogue, Model};

#[test]
fn file_replaces_and_extends_rows() {
    let catalogue = Catalogue::shipped();
    let before = catalogue.models().count();
    let catalogue = catalogue
        .extend_toml(
            r#"
            [[model]]
            name = "gpt-4o"
            aliases = ["fast"]
            context = 1000
            [[model]]
            name = "ours"
            "#,
        )
        .expect("a valid file");
    assert_eq!(catalogue.models().count(), before + 1);
    let model = catalogue.find("fast").expect("an alias");
    assert_eq!(
        (model.name(), model.context_window()),
        ("gpt-4o", Some(1000))
    );
    assert_eq!(model.max_output(), None, "the row is replaced as a whole");
    assert!(
        catalogue.find("chatgpt-4o-latest").is_err(),
        "an alias of the former row"
    );
    assert!(catalogue.find("ours").is_ok());
}

#[test]
fn later_alias_takes_precedence_and_name_wins() {
    let catalogue = Catalogue::new()
        .with(Model::new("a").alias("x").alias("b"))
        .with(Model::new("b").alias("x"));
    assert_eq!(catalogue.find("x").expect("an alias").name(), "b");
    assert_eq!(catalogue.find("b").expect("a name").name(), "b");
}

#[test]
fn invalid_file_names_row_and_field() {
    for (text, expected) in [
        (
            "[[model]]",
            "models: must be a list of `[[model]]` tables, got missing field `name` in line 1",
        ),
        (
            "[[model]]\nname = \"a\"\ncontex = 1",
            "unknown field `contex`",
        ),
        ("[[model]]\nname = \"\"", "model[0].name: must not be empty"),
        (
            "[[model]]\nname = \"a\"\naliases = [\" \"]",
            "model[0].name: must not be empty",
        ),
        (
            "[[model]]\nname = \"a\"\ncontext = 0",
            "model[0].context: must be at least 1, got 0",
        ),
        ("[[model]]\nname = \"a\"\noutput = -1", "in line 3"),
        (
            "[[model]]\nname = \"a\"\nprice = { input = -1 }",
            "model[0].price: must be zero or positive, got -1",
        ),
        (
            "[[model]]\nname = \"a\"\nprice = { input = nan }",
            "model[0].price",
        ),
        (
            "[[model]]\nname = \"a\"\n[[model.offer]]\nprovider = \"p\"\nprice = inf",
            "model[0].price",
        ),
        ("[[", "in line 1"),
    ] {
        let error = Catalogue::new()
            .extend_toml(text)
            .expect_err(text)
            .to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
