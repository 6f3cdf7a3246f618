//! The client of async-openai over a stack.

mod contract;
mod errors;
