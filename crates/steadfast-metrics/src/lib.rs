//! Tower middleware that measures requests and attempts.
