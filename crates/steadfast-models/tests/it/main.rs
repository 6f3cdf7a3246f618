//! The shipped catalogue, and files that extend it.

mod check;
mod extension;
mod shipped;
