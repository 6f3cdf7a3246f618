//! The command line of the lab: `cargo run --release --manifest-path crates/steadfast-lab/Cargo.toml -- all`.

use std::process::ExitCode;

fn main() -> ExitCode {
    steadfast_lab::program::main()
}
