//! The classic API without a socket between.
