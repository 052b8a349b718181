//! A word of a few that are known.

use serde::{
    Deserializer,
    de::{Deserialize, DeserializeOwned, IntoDeserializer},
};

/// Deserializes an enum from its word alone. serde also accepts `{"admin":null}` for `"admin"`, and calls all other
/// JSON bad syntax.
///
/// # Errors
/// The value is not a string, or not a word of the enum.
pub fn word<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<T, D::Error> {
    T::deserialize(String::deserialize(from)?.into_deserializer())
}
