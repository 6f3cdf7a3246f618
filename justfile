# What CI runs, in this order. `just ci` runs all of it.
ci: fmt clippy docs test models quickstart examples lab benches features deny unused tree

# The format of the code
fmt:
    cargo fmt --all --check

# Lints, with warnings denied
clippy:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# The documentation, with broken links denied
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps

# All tests, those in documentation too
test:
    cargo test --workspace --all-features

# Every interleaving of a few threads at a breaker, as loom finds them
models:
    RUSTFLAGS="--cfg steadfast_loom" cargo test -p steadfast-breaker --lib --release --target-dir target/models models

# The first thing a newcomer runs
quickstart:
    cargo run --example quickstart

# The other examples that end by themselves
examples:
    cargo run --example one_layer
    cargo run --example breaker_without_http
    cargo run --example breaker_per_host
    cargo run --example balance_in_axum
    cargo run --example gateway -- --config examples/gateway.toml --check

# A scenario of the lab, which shows that the program works
lab:
    cargo run --release -p steadfast-lab -- clients --load 0.8 --seeds 1

# Each benchmark once, which shows that it works and measures no time
benches:
    cargo bench -p steadfast-lab --all-features -- --test

# Every combination of features of every crate compiles without warnings
features:
    RUSTFLAGS="-D warnings" cargo hack check --workspace --feature-powerset --no-dev-deps

# Licences, duplicates and sources of dependencies
deny:
    cargo deny check bans licenses sources

# Dependencies that nobody uses
unused:
    cargo machete

# Whoever uses a single layer gets few crates with it
tree:
    #!/usr/bin/env bash
    set -euo pipefail
    crates=$(cargo tree -p steadfast-retry -e normal --prefix none | awk '{print $1}' | sort -u)
    count=$(wc -l <<<"$crates")
    echo "steadfast-retry brings $count crates, itself included"
    test "$count" -le 16 || { echo "$crates"; exit 1; }
