//! The operations: one file for each resource.

pub mod accounts;
pub mod blocks;
pub mod conversation;
pub mod conversations;
pub mod events;
pub mod info;
pub mod invitations;
pub mod keys;
pub mod logins;
pub mod me;
pub mod members;
pub mod message;
pub mod messages;
pub mod part;
pub mod payloads;
pub mod pins;
pub mod presence;
pub mod reactions;
pub mod receipts;
pub mod search;
pub mod settings;
pub mod start;
pub mod tag;
pub mod users;
