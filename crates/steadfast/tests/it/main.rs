//! Behaviour of the stack that its callers see.

mod classification;
mod contract;
mod endpoints;
mod extensions;
mod limit_keys;
mod request_root;
mod support;
