//! Placing through the handlers.
