//! Shapes, tables, operations and errors of the service `elbv2`, generated from `models/elbv2.json` at build time.
#![allow(missing_docs, unused_imports, unused_variables, dead_code, non_upper_case_globals, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));
