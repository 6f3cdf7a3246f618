//! Writes the JSON schema of the gateway's configuration to `docs/config.schema.json`.
//!
//! ```text
//! cargo run --example config_schema              # writes the file
//! cargo run --example config_schema -- --check   # fails if the file is not up to date
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> io::Result<ExitCode> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.schema.json");
    let schema = examples::gateway::config_schema() + "\n";
    if env::args().any(|argument| argument == "--check") {
        let is_current = fs::read_to_string(&path)? == schema;
        if !is_current {
            eprintln!("docs/config.schema.json is old: run `cargo run --example config_schema`");
        }
        return Ok(ExitCode::from(u8::from(!is_current)));
    }
    fs::write(&path, schema)?;
    Ok(ExitCode::SUCCESS)
}
