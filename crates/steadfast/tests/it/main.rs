//! Behaviour of the stack that its callers see.

mod request_root;
mod support;
