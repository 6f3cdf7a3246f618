//! Runnable examples. See the files beside this one.
