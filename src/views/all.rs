//! All projections.

use crate::views::{
    conversations, keys, members, mentions, messages, pins, projection::Projection, reactions, receipts,
    rosters,
};

/// All of them, in the order in which they apply.
pub const ALL: [Projection; 9] = [
    conversations::PROJECTION,
    members::PROJECTION,
    rosters::PROJECTION,
    messages::PROJECTION,
    keys::PROJECTION,
    // What is put to messages looks at them as they are at the end of the batch.
    mentions::PROJECTION,
    reactions::PROJECTION,
    pins::PROJECTION,
    receipts::PROJECTION,
];
