//! The list of all projections.

use crate::views::{
    conversations, keys, members, mentions, messages, pins, projection::Projection, reactions, receipts,
    rosters,
};

/// All projections, in the order in which they apply.
pub const ALL: [Projection; 9] = [
    conversations::PROJECTION,
    members::PROJECTION,
    rosters::PROJECTION,
    messages::PROJECTION,
    keys::PROJECTION,
    // After `messages`: reactions, pins and mentions need the messages as they are at the end of the batch.
    mentions::PROJECTION,
    reactions::PROJECTION,
    pins::PROJECTION,
    receipts::PROJECTION,
];
