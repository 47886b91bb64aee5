//! Shapes, tables, operations and errors of the service `s3`, generated from `models/s3.json` at build time.
#![allow(missing_docs, unused_imports, unused_variables, dead_code, non_upper_case_globals, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));
