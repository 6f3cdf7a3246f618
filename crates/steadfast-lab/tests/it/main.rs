//! The program, from its command line.

mod cli;
