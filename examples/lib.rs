//! The parts of examples that tests also run. The other files of this folder are the examples.

pub mod gateway;
