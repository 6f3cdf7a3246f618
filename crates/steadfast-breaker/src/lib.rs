//! A circuit breaker, as a value and as tower middleware.
