# The lab is a workspace of its own. It shares the target directory, so that nothing is built twice.
lab := "--manifest-path crates/steadfast-lab/Cargo.toml --target-dir target"

# All checks of CI, in its order
ci: fmt modules sizes test-table prose pictures typos links book msrv clippy docs public-items test rows models quickstart examples gateway schema clients lab-test comparison lab-benches lab features minimal-versions publish deny unused tree

# The format of the code
fmt:
    cargo fmt --all --check
    cargo fmt --manifest-path crates/steadfast-lab/Cargo.toml --check

# Modules of a crate import each other in no circle
modules:
    scripts/modules

# Bounds on the length of files, functions and front pages, and on the share of documentation
sizes:
    scripts/sizes

# Each file of tests has its row in tests/README.md
test-table:
    scripts/test-table

# Unidiomatic words in docs and comments, and lines that are too long
prose:
    scripts/prose

# The pictures of the guides are the ones that their script draws
pictures:
    scripts/pictures --check

# Spelling
typos:
    typos

# The guide as a book, in target/book
book:
    mdbook build docs

# Each relative link of a Markdown page leads to a file and a heading
links:
    scripts/links

# No dependency needs a newer Rust than `rust-version`. `just clippy` checks our own code against it
msrv:
    scripts/msrv

# Lints, with warnings denied
clippy:
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    cargo clippy {{lab}} --all-targets --all-features -- -D warnings

# The documentation as docs.rs builds it, with broken links denied. `doc_cfg` is unstable
docs:
    RUSTDOC="$PWD/scripts/unstable-rustdoc" RUSTDOCFLAGS="-D warnings --cfg docsrs" cargo doc --workspace --all-features --no-deps
    RUSTDOCFLAGS="-D warnings" cargo doc {{lab}} --all-features --no-deps

# At most 60 public items per crate
public-items:
    scripts/public-items

# All tests and doc tests of the product
test:
    cargo test --workspace --all-features

# The attacks on the gateway in full size, with figures of memory and latency
attacks:
    STEADFAST_ATTACKS=full cargo test -p stack-tests --all-features --test it attacks:: -- --nocapture --test-threads 1

# Every interleaving of a few threads at a breaker, as loom finds them
models:
    RUSTFLAGS="--cfg steadfast_loom" cargo test -p steadfast-breaker --lib --release --target-dir target/models models

# Each row of the dialect tables is needed by a test: deletes each one once. In a minute
rows:
    scripts/rows

# Two minutes of fuzzing for each target. A compiler of cargo-fuzz is unstable, so the variable allows it
fuzz seconds="120":
    scripts/fuzz {{seconds}}

# Two minutes of changing faults over real sockets, and quotas that are used up, in real time. `just test`
# runs the same for a few seconds, or on a paused clock
soak:
    STEADFAST_SOAK_SECONDS=120 STEADFAST_OVERLOAD_SECONDS=20 cargo test -p stack-tests --test it -- soak overload --nocapture

# The first thing a newcomer runs
quickstart:
    cargo run --example quickstart

# The other examples that end by themselves
examples:
    cargo run --example one_layer
    cargo run --example breaker_without_http
    cargo run --example breaker_per_host
    cargo run --example balance_in_axum
    cargo run --example async_openai
    cargo run --example reqwest
    cargo run --example tonic
    cargo run --example failover_client
    cargo run --example scored_router
    cargo run --example chat_stream
    cargo run --example budget_of_tokens
    cargo run --example custom_strategy
    cargo run --example custom_dialect
    cargo run --example routes
    cargo run --example gateway -- --config examples/gateway.toml --check

# The gateway of the README over its upstreams, with the request of the guide
gateway:
    scripts/try-gateway

# The JSON schema of the configuration is the one of its types
schema:
    cargo run --example config_schema -- --check

# Real clients in Python and Node against the gateway. Installs them, in pinned versions
clients:
    tests/clients/run

# The tests and doc tests of the lab
lab-test:
    cargo test {{lab}} --all-features --lib --bins --test it
    cargo test {{lab}} --all-features --doc

# All rows of docs/comparison.md, and the page itself
comparison:
    cargo test {{lab}} --all-features --test comparison

# One scenario through the program of the lab
lab:
    cargo run --release {{lab}} -- clients --load 0.8 --seeds 1

# Each benchmark once, without a measurement of time and without optimization
lab-benches:
    cargo test {{lab}} --all-features --benches

# Each feature of every published crate alone, none, and all: no warnings. Warnings of clippy, since `RUSTFLAGS` would
# compile every dependency once more
features:
    cargo hack clippy -p steadfast --each-feature --exclude-features schema --no-dev-deps -- -D warnings
    cargo hack clippy --workspace --exclude steadfast --exclude examples --exclude stack-tests --each-feature --no-dev-deps -- -D warnings
    cargo clippy -p steadfast --no-default-features --features schema -- -D warnings

# The published crates compile with the oldest dependencies that their manifests allow
minimal-versions:
    scripts/minimal-versions

# A release, in the order of the crates, up to the upload. Each package is unpacked and compiled
publish:
    cargo publish --workspace --dry-run

# Licences, duplicates and sources of dependencies
deny:
    cargo deny check bans licenses sources
    cargo deny --manifest-path crates/steadfast-lab/Cargo.toml --config deny.toml check bans licenses sources

# Unused dependencies
unused:
    cargo machete

# A single layer brings few crates, and the umbrella without `client` no part of hyper
tree:
    #!/usr/bin/env bash
    set -euo pipefail
    crates=$(cargo tree -p steadfast-retry -e normal --prefix none | awk '{print $1}' | sort -u)
    count=$(wc -l <<<"$crates")
    echo "steadfast-retry brings $count crates, itself included"
    test "$count" -le 16 || { echo "$crates"; exit 1; }
    client=$(cargo tree -p steadfast --no-default-features --features config,health,hedge,discover,serde,models -e normal --prefix none \
        | awk '{print $1}' | sort -u | grep -E '^(hyper|h2|hyper-.*|reqwest)$' || true)
    test -z "$client" || { echo "without client: $client"; exit 1; }
