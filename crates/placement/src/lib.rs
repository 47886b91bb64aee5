//! Where tasks go.
