//! The command line of the lab: `cargo run --release -p steadfast-lab -- all`.

use std::process::ExitCode;

fn main() -> ExitCode {
    steadfast_lab::program::main()
}
