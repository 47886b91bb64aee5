//! Whether a request is allowed.
