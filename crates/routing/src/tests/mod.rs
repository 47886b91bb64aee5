//! Examples and properties of each decision.

mod choices;
mod healths;
mod matching;
