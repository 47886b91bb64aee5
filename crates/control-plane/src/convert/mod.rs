//! Between AWS's shapes, mostly optional text, and the domain's types.

mod stored;

pub use stored::AwsJson;

use vocabulary::Timestamp;

/// A time as shapes carry it.
pub fn time(time: Timestamp) -> aws_schema::Timestamp {
    aws_schema::Timestamp::from_millis(time.as_millis())
}
