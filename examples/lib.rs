//! The parts of examples that tests run, too. See the files beside this one for the examples.

pub mod gateway;
