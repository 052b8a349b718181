//! The vocabulary: ids, texts, times and metadata, as they are checked at the edge.

pub mod emoji;
pub mod ids;
pub mod joiners;
pub mod json;
pub mod metadata;
pub mod schema;
pub mod text;
pub mod time;
