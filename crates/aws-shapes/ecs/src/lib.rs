//! Shapes, tables, operations and errors of the service `ecs`, generated from `models/ecs.json` at build time.
//!
//! ```
//! use aws_schema::{Operation, Shape};
//! use aws_shapes_ecs::{LaunchType, RunTask, RunTaskRequest, SERVICE, errors};
//!
//! // Every member is optional: missing is not empty.
//! let request = RunTaskRequest {
//!     cluster: Some("default".to_owned()),
//!     launch_type: Some(LaunchType::Fargate),
//!     ..RunTaskRequest::default()
//! };
//! // Codecs and the validator work on the untyped value, along the shape's table.
//! let value = request.clone().into_value();
//! assert_eq!(RunTaskRequest::from_value(value), Ok(request));
//!
//! // An operation is a type with its input, output and table.
//! assert_eq!(RunTask::TABLE.name, "RunTask");
//! assert!(std::ptr::eq(RunTask::TABLE.input, RunTaskRequest::TABLE));
//! assert!(std::ptr::eq(SERVICE.operation("RunTask").unwrap(), RunTask::TABLE));
//!
//! // Enums are their wire strings.
//! assert_eq!(LaunchType::parse("FARGATE").map(LaunchType::as_str), Some("FARGATE"));
//!
//! // Errors know their code and status.
//! assert_eq!((errors::CLUSTER_NOT_FOUND_EXCEPTION.code, errors::CLUSTER_NOT_FOUND_EXCEPTION.status), ("ClusterNotFoundException", 400));
//! ```
#![allow(missing_docs, unused_imports, unused_variables, dead_code, non_upper_case_globals, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));
