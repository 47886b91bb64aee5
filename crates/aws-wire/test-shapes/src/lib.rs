//! Slices of services that Longshore does not offer, for the tests of the protocols that only they speak.
#![allow(missing_docs, unused_imports, unused_variables, dead_code, non_upper_case_globals, clippy::all)]

macro_rules! services {
    ($($name:ident)*) => {
        $(pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        })*
    };
}

services!(eks lambda route53 sqs);
