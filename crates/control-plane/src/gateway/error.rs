//! The one error of every API handler: what the client sees, and apart from it what the log sees.

use std::{borrow::Cow, error::Error, fmt};

use aws_schema::{ErrorTable, Value};
use aws_wire::ErrorBody;

/// AWS's error: a code, a message and a status, with an internal cause that never leaves the process.
#[derive(Debug)]
pub struct ApiError {
    pub code: Cow<'static, str>,
    pub status: u16,
    pub message: String,
    /// Members beside the message, along `table`'s structure.
    pub fields: Option<Value>,
    /// The declared error this is, where the model has one.
    pub table: Option<&'static ErrorTable>,
    /// For the log alone.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// A declared error of the service.
    pub fn new(table: &'static ErrorTable, message: impl Into<String>) -> ApiError {
        ApiError {
            code: table.code.into(),
            status: table.status,
            message: message.into(),
            fields: None,
            table: Some(table),
            cause: None,
        }
    }

    /// A code that the model does not declare, such as the errors common to all services.
    pub fn undeclared(code: &'static str, status: u16, message: impl Into<String>) -> ApiError {
        ApiError {
            code: code.into(),
            status,
            message: message.into(),
            fields: None,
            table: None,
            cause: None,
        }
    }

    /// `ValidationException`, status 400.
    pub fn validation(message: impl Into<String>) -> ApiError {
        ApiError::undeclared("ValidationException", 400, message)
    }

    /// Our own fault. The client learns nothing of the cause; the log does.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> ApiError {
        let message = "The request processing has failed because of an unknown error, exception or failure.";
        ApiError::undeclared("InternalFailure", 500, message).caused_by(cause)
    }

    /// The operation is known but not there.
    pub fn not_implemented(service: &str, operation: &str) -> ApiError {
        let message = format!("Longshore does not implement {operation} of {service} yet.");
        ApiError::undeclared("NotImplemented", 501, message)
    }

    pub fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> ApiError {
        self.cause = Some(cause.into());
        self
    }

    /// Adds the members that the error's shape has beside `message`.
    pub fn with_fields(mut self, fields: Value) -> ApiError {
        self.fields = Some(fields);
        self
    }

    /// What the client sees of it.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            fields: self.fields.clone(),
            ..ErrorBody::new(self.code.clone(), self.status, self.message.clone())
        }
    }
}

impl From<ErrorBody> for ApiError {
    fn from(body: ErrorBody) -> ApiError {
        let ErrorBody { code, status, message, fields, .. } = body;
        ApiError { code, status, message, fields, table: None, cause: None }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl From<state_store::StateError> for ApiError {
    fn from(error: state_store::StateError) -> ApiError {
        ApiError::internal(error)
    }
}
