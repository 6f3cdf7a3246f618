//! The program from its command line, and the scenarios of its pages.

mod cli;
mod limits;
