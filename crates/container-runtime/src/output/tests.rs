//! Lines, records, segments and the tail.
