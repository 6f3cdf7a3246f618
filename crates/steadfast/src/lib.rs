//! Resilience for HTTP clients, AI APIs first: a tower stack that answers although a provider does not.
