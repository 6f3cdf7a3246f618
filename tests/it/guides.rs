//! The code blocks of the README and the guides: CI compiles, reads or runs each of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use examples::gateway::Config;
use steadfast::config::{EndpointConfig, StackConfig};

/// A block of code in a page.
struct Block {
    /// The page with the line, for messages.
    place: String,
    /// The page, relative to the root.
    page: String,
    /// The word behind the fence.
    language: String,
    /// The text.
    text: String,
}

/// The languages of blocks that are read by their own test below, or by another check.
const CHECKED: [(&str, &str); 6] = [
    ("rust", "a doc test"),
    ("toml", "toml_block_is_a_manifest_or_a_configuration"),
    ("sh", "command_is_run_by_ci"),
    ("text", "a picture, or the command of a page of the lab"),
    ("python", "tests/clients/snippets.py"),
    ("js", "tests/clients/snippets.py"),
];
/// Blocks in languages that no check reads.
const READ_BY_PEOPLE: [(&str, &str); 4] = [
    ("docs/gateway.md", "go"),
    // The names of metrics are checked.
    ("docs/metrics.md", "yaml"),
    // The settings of another program.
    ("docs/migrating.md", "yaml"),
    ("docs/migrating.md", "python"),
];
/// Commands that CI does not run as they are, and the check with the same effect.
const SAME_EFFECT: [(&str, &str); 10] = [
    (
        "cargo test --manifest-path crates/steadfast-lab/Cargo.toml --test comparison",
        "just comparison",
    ),
    (
        "cargo check --manifest-path crates/steadfast-lab/Cargo.toml --all-targets --all-features",
        "just clippy",
    ),
    (
        "cargo run --release --manifest-path crates/steadfast-lab/Cargo.toml -- all",
        "just lab: one scenario",
    ),
    (
        "cargo run --release --manifest-path crates/steadfast-lab/Cargo.toml -- goals",
        "just lab: one scenario",
    ),
    (
        "cargo bench --manifest-path crates/steadfast-lab/Cargo.toml",
        "just lab-benches",
    ),
    (
        "cargo run --release --example gateway -- --config examples/gateway.toml",
        "just gateway: without --release",
    ),
    (
        "cargo run --release --example upstreams",
        "just gateway: without --release",
    ),
    ("curl --fail", "just gateway"),
    (".ci/run", "CI itself"),
    (
        "cargo publish --workspace",
        "just publish: up to the upload",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the text of a file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the paths of the pages.
fn pages() -> Vec<String> {
    let mut pages: Vec<_> = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
        .map(str::to_owned)
        .into();
    for (folder, end) in [("docs", ""), ("crates", "/README.md")] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let page = format!("{folder}/{name}{end}");
            if page.ends_with(".md") && root().join(&page).exists() {
                pages.push(page);
            }
        }
    }
    pages.sort();
    pages
}

/// Returns all blocks of a page.
fn blocks(page: &str) -> Vec<Block> {
    let text = read(page);
    let mut lines = text.lines().enumerate();
    let mut blocks = Vec::new();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().map(|(_, line)| line);
        let inside: Vec<_> = inside
            .take_while(|line| !line.trim_start().starts_with("```"))
            .collect();
        blocks.push(Block {
            place: format!("{page}:{}", number + 1),
            page: page.to_owned(),
            language: language.to_owned(),
            text: inside.join("\n"),
        });
    }
    blocks
}

/// Returns the blocks of all pages in one language.
fn in_language(language: &str) -> Vec<Block> {
    let all = pages().into_iter().flat_map(|page| blocks(&page));
    let found: Vec<_> = all.filter(|block| block.language == language).collect();
    assert!(!found.is_empty(), "no {language}");
    found
}

#[test]
fn each_language_of_a_block_has_a_check() {
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let language = block.language.split(',').next().unwrap_or_default();
        let is_example = (block.page.as_str(), language);
        let by_other = language == "python" || language == "js";
        let is_checked = CHECKED.iter().any(|(name, _)| *name == language)
            && (!by_other || block.page == "docs/gateway.md");
        assert!(
            is_checked || READ_BY_PEOPLE.contains(&is_example),
            "{}: no check reads {language:?}",
            block.place
        );
        assert!(
            !["ignore", "should_panic", "compile_fail"]
                .iter()
                .any(|it| block.language.contains(it)),
            "{}: is not run",
            block.place
        );
    }
}

#[test]
fn page_with_rust_is_a_doc_test() {
    let guides = read("tests/support/lib.rs") + &read("crates/steadfast-lab/src/lib.rs");
    for page in pages() {
        let has_rust = |block: &Block| block.language.starts_with("rust");
        if !blocks(&page).iter().any(has_rust) {
            continue;
        }
        // A crate may include its own README.
        let own = page
            .strip_suffix("README.md")
            .filter(|folder| !folder.is_empty());
        let own = own.is_some_and(|folder| {
            let sources =
                ["src/lib.rs", "src/readme.rs"].map(|file| root().join(folder).join(file));
            let texts = sources
                .iter()
                .filter_map(|file| fs::read_to_string(file).ok());
            texts
                .into_iter()
                .any(|text| text.contains("include_str!(\"../README.md\")"))
        });
        assert!(
            own || guides.contains(&format!("../{page}\"")),
            "{page} is no doc test"
        );
    }
}

/// A version or a feature that does not exist costs a newcomer a build of minutes.
#[test]
fn toml_block_is_a_manifest_or_a_configuration() {
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let known = workspace["workspace"]["dependencies"].as_table().unwrap();
    for block in in_language("toml") {
        let place = &block.place;
        let table: toml::Table = block
            .text
            .parse()
            .unwrap_or_else(|error| panic!("{place}: {error}"));
        let manifests = ["dependencies", "dev-dependencies"].map(|name| table.get(name));
        if manifests.iter().any(Option::is_some) {
            let all = manifests
                .iter()
                .flatten()
                .flat_map(|one| one.as_table().unwrap());
            all.for_each(|(name, value)| check_dependency(place, known, name, value));
        } else if table.contains_key("listen") {
            // Any variable with a value that can be a key.
            let text = block.text.lines().map(|line| match line.split_once(" = ") {
                Some(("api_key_env", _)) => "api_key_env = \"CARGO_MANIFEST_DIR\"",
                _ => line,
            });
            let text = text.collect::<Vec<_>>().join("\n");
            Config::parse(&text).unwrap_or_else(|error| panic!("{place}: {error}"));
        } else {
            // Keys of the environment are needed beyond this point.
            for (key, value) in table {
                let read: Result<(), toml::de::Error> = match key.as_str() {
                    "stack" => value.try_into().map(|_: StackConfig| ()),
                    "endpoint" => value.try_into().map(|_: Vec<EndpointConfig>| ()),
                    _ => panic!("{place}: {key} is no key of the file"),
                };
                read.unwrap_or_else(|error| panic!("{place}: {key}: {error}"));
            }
        }
    }
}

/// Compares a dependency with the workspace: a version, or a path with features.
fn check_dependency(place: &str, known: &toml::Table, name: &str, value: &toml::Value) {
    let place = format!("{place}: {name}");
    let field = |key| value.get(key).and_then(toml::Value::as_str);
    if let Some(path) = field("path") {
        let folder = path.rsplit("crates/").next().unwrap();
        let manifest: toml::Table = read(&format!("crates/{folder}/Cargo.toml"))
            .parse()
            .unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some(name), "{place}");
        let features = value.get("features").and_then(toml::Value::as_array);
        for feature in features
            .into_iter()
            .flatten()
            .filter_map(toml::Value::as_str)
        {
            assert!(
                manifest["features"].get(feature).is_some(),
                "{place}: no feature {feature}"
            );
        }
        return;
    }
    let version = value
        .as_str()
        .or_else(|| field("version"))
        .expect("a version");
    let ours = known
        .get(name)
        .unwrap_or_else(|| panic!("{place}: not in the workspace"));
    let ours = ours
        .as_str()
        .or_else(|| ours.get("version")?.as_str())
        .unwrap();
    let is_prefix = ours == version || ours.starts_with(&format!("{version}."));
    assert!(
        is_prefix,
        "{place}: {version}, and the workspace has {ours}"
    );
}

#[test]
fn command_is_run_by_ci() {
    let recipes = read("justfile");
    let examples: BTreeSet<_> = recipes.lines().map(str::trim).collect();
    for block in in_language("sh") {
        for line in block.text.replace("\\\n", " ").lines() {
            let command = line.split(" #").next().unwrap_or_default().trim();
            let lab = "--manifest-path crates/steadfast-lab/Cargo.toml";
            let command = command.replace("$lab", lab).replace("UPDATE_DOCS=1 ", "");
            if command.is_empty() || command.starts_with("lab=") {
                continue;
            }
            let is_recipe = |name: &str| recipes.contains(&format!("\n{name}:"));
            let is_run = match command.strip_prefix("just ") {
                Some(names) => names.split(' ').all(is_recipe),
                None => examples.contains(command.as_str()),
            };
            let same = SAME_EFFECT
                .iter()
                .any(|(other, _)| command.starts_with(other));
            assert!(is_run || same, "{}: CI does not run {command}", block.place);
        }
    }
}

#[test]
fn each_example_of_the_readme_is_run_by_ci() {
    let (readme, recipes) = (
        read("README.md"),
        read("justfile") + &read("scripts/try-gateway"),
    );
    let runs = recipes.split("--example ").skip(1);
    let runs: BTreeSet<_> = runs
        .filter_map(|run| run.split_whitespace().next())
        .collect();
    let rows = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `cargo run "));
    let mut count = 0;
    for row in rows {
        let name = row
            .split("--example ")
            .nth(1)
            .and_then(|rest| rest.split(['`', ' ']).next());
        let name = name.expect("an example");
        assert!(runs.contains(name), "CI does not run {name}");
        count += 1;
    }
    assert!(count > 10, "{count} examples");
}

#[test]
fn metric_of_a_page_exists() {
    let names = read("crates/steadfast-metrics/src/names.rs");
    for page in pages() {
        for word in read(&page).split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let is_metric = ["_total", "_seconds", "_state", "_in_flight"];
            if word.starts_with("steadfast_") && is_metric.iter().any(|end| word.ends_with(end)) {
                assert!(names.contains(&format!("\"{word}\"")), "{page}: {word}");
            }
        }
    }
}

/// A key that no sample shows is not found.
#[test]
fn sample_of_the_gateway_shows_each_key() {
    let schema: serde_json::Value = serde_json::from_str(&read("docs/config.schema.json")).unwrap();
    let sample = read("examples/gateway.toml");
    let words: BTreeSet<_> = sample
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let types = schema["$defs"]
        .as_object()
        .unwrap()
        .values()
        .chain([&schema]);
    let keys = types.filter_map(|one| one["properties"].as_object());
    for key in keys.flat_map(|keys| keys.keys()) {
        assert!(
            words.contains(key.as_str()),
            "examples/gateway.toml lacks {key}"
        );
    }
}
