//! Rust values as metadata.

use backstitch_proto::message::MetadataValue;

/// A value that can be metadata of a materialization.
pub trait IntoMetadata {
    /// The value as the ledger keeps it.
    fn into_metadata(self) -> MetadataValue;
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {
        $(impl IntoMetadata for $number {
            fn into_metadata(self) -> MetadataValue {
                // Beyond 64 bits with a sign a number is kept as near as a float gets.
                i64::try_from(self).map_or(MetadataValue::Float(self as f64), MetadataValue::Int)
            }
        })*
    };
}

whole_numbers!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

impl IntoMetadata for f64 {
    fn into_metadata(self) -> MetadataValue {
        MetadataValue::Float(self)
    }
}

impl IntoMetadata for f32 {
    fn into_metadata(self) -> MetadataValue {
        MetadataValue::Float(self.into())
    }
}

impl IntoMetadata for bool {
    fn into_metadata(self) -> MetadataValue {
        MetadataValue::Bool(self)
    }
}

impl IntoMetadata for &str {
    fn into_metadata(self) -> MetadataValue {
        MetadataValue::Text(self.to_owned())
    }
}

impl IntoMetadata for String {
    fn into_metadata(self) -> MetadataValue {
        MetadataValue::Text(self)
    }
}

impl IntoMetadata for serde_json::Value {
    fn into_metadata(self) -> MetadataValue {
        crate::pipes::metadata::inferred(self)
    }
}

impl IntoMetadata for MetadataValue {
    fn into_metadata(self) -> MetadataValue {
        self
    }
}
