//! Reading: following a stream, looking a conversation up, and reading again what happened.

pub mod age;
pub mod consumers;
pub mod fold;
pub mod follow;
pub mod gaps;
pub mod known;
pub mod look_up;
pub mod points;
pub mod replay;
pub mod tail;
