//! Tower middleware that retries rate limited and failed HTTP requests.
