//! Tower middleware that spreads requests over endpoints and leaves limited ones alone.
