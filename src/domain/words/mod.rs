//! The vocabulary: ids, texts, times and metadata, as checked at the edge.

pub(in crate::domain) mod emoji;
pub(in crate::domain) mod host;
pub(in crate::domain) mod ids;
pub(in crate::domain) mod joiners;
pub(in crate::domain) mod json;
pub(in crate::domain) mod metadata;
pub(in crate::domain) mod retention;
pub(in crate::domain) mod schema;
pub(in crate::domain) mod text;
pub(in crate::domain) mod time;
pub(in crate::domain) mod user_kind;
pub(in crate::domain) mod visible;
pub(in crate::domain) mod webhook;
pub(in crate::domain) mod word;
