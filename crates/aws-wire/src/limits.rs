//! Bounds on what a request may make this crate build, whatever its bytes say.
//!
//! The caller bounds the body's length; these bound what grows out of it.

/// Nesting of structures, lists and maps. The deepest imported shape needs 12; recursive shapes need a limit.
pub const MAX_DEPTH: usize = 64;

/// Places for values in one request. A structure takes one for each member it could have, so that `{}` repeated
/// cannot turn a small body into gigabytes. The largest legal request, 10,000 log events, takes about 30,000.
pub const MAX_SLOTS: usize = 1 << 20;

/// Parameters in one form body or query string: EC2's and IAM's largest requests stay well under it.
pub const MAX_FORM_PARAMETERS: usize = 20_000;

/// Attributes of one XML element: requests have namespaces and `xsi:type`. Telling that none comes twice takes their number squared.
pub const MAX_ATTRIBUTES: usize = 32;

/// Violations that a validation message names: enough to mend a request, few enough to read.
pub const MAX_VIOLATIONS: usize = 10;

/// Characters of an offending value that a message repeats.
pub const MAX_SHOWN_VALUE: usize = 256;
