//! Values of the domain as columns.

use crate::domain::{Position, Titled};

/// The column's value for a value of the domain.
pub(in crate::views) fn word<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("roles, kinds and settings are words, not {other:?}"),
    }
}

/// Reads a value of the domain back from a column.
pub(in crate::views) fn read_word<T: serde::de::DeserializeOwned>(word: String) -> sqlx::Result<T> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|e| sqlx::Error::Decode(e.into()))
}

pub(in crate::views) fn bigint(position: Position) -> i64 {
    position.0.try_into().unwrap_or(i64::MAX)
}

pub(in crate::views) fn position(stored: i64) -> Position {
    Position(stored.try_into().unwrap_or_default())
}

/// A title, and the event that gave it, from their two columns.
pub(in crate::views) fn titled(title: Option<String>, at: Option<i64>) -> Option<Titled> {
    at.map(|at| Titled { at: position(at), title })
}
