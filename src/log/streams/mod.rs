//! The streams: their layout, how they are made and mended, and how they are doing.

pub mod durability;
pub mod layout;
pub mod level;
pub mod maker;
pub mod mend;
pub mod survey;
