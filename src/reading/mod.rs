//! **Reading**: which users may read which part of a conversation, decided on the log, and how fresh the views must be.
//!
//! The views have the content; the log decides which users may see it. No answer of the views leaves this
//! folder before the log has been asked.
//!
//! The edges take all types that they show from this module, so that they need not know where the rows are stored.

mod conversations;
mod error;
mod follow;
mod found;
mod lists;
mod messages;
mod mine;
mod names;
mod open;
mod past;
mod presence;
mod previews;
mod rosters;
mod when;

pub use conversations::ListPlace;
pub use error::{FollowError, ReadError};
pub use follow::{EventReader, Events};
pub use found::SearchScope;
pub use mine::Mine;
pub(crate) use names::MOST_NAMES;
pub use open::Reading;
pub use presence::SeenPresence;
pub use previews::{Preview, PreviewParts};
pub use when::{Asked, ListPart, Standing, When};

pub(crate) use crate::accounts::{Account, ConversationSettings, Muted};
pub(crate) use crate::feed::{Behind, PastError, Reset};
pub(crate) use crate::live::{Full, Shown};
pub(crate) use crate::views::{
    Direction, Hit, LastMessage, Member, Message, Piece, ReactionCount, Receipt, SearchQuery,
};

pub(crate) use found::SEARCHES;
