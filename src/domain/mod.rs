//! What **may** happen: pure rules over plain values. No clock, no randomness, no waiting.

mod ids;
mod text;
mod time;

pub use ids::{ConversationId, Epoch, EventId, LoginId, MessageId, NotAnId, Position, UserId};
pub use text::{BadText, ClientId, NotAKey, Text, Title, may_never_be_kept, may_not_be_in_a_name};
pub use time::Time;
