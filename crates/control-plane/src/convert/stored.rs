//! A shape inside a record, kept as the JSON that the JSON protocols write.
//!
//! For what the platform gives back as it got it: a container definition has a hundred members, and a domain type beside
//! the shape would say the same again. What is acted on is converted where it is used.

use aws_schema::Shape;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

/// A shape that serde can write and read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AwsJson<T>(pub T);

impl<T: Shape + Clone> AwsJson<T> {
    /// The JSON text.
    pub fn json(&self) -> Vec<u8> {
        aws_wire::document::to_json(T::TABLE, &self.0.clone().into_value())
    }
}

impl<T: Shape + Clone> Serialize for AwsJson<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = String::from_utf8(self.json()).map_err(ser::Error::custom)?;
        RawValue::from_string(text).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de, T: Shape> Deserialize<'de> for AwsJson<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Box<RawValue>>::deserialize(deserializer)?;
        let value =
            aws_wire::document::from_json(T::TABLE, text.get().as_bytes()).map_err(de::Error::custom)?;
        T::from_value(value).map(AwsJson).map_err(de::Error::custom)
    }
}
