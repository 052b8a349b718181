//! Reading: following a stream, looking a conversation up, and replaying events.

pub(in crate::log) mod consumers;
pub(in crate::log) mod ends;
pub(in crate::log) mod explained;
pub(in crate::log) mod fold;
pub(in crate::log) mod follow;
pub(in crate::log) mod gaps;
pub(in crate::log) mod heads;
pub(in crate::log) mod look_up;
pub(in crate::log) mod points;
pub(in crate::log) mod replay;
pub(in crate::log) mod silence;
