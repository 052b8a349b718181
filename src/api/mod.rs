//! The **REST edge**: shapes and status codes. It has no SQL, no tables, no subjects and no rules: those live
//! on the floors below.
//!
//! Each file holds one resource. An operation is a short method that parses its input, calls one use case,
//! and shows the result:
//!
//! ```ignore
//! /// Get a conversation
//! #[oai(path = "/conversations/:id", method = "get", operation_id = "get_conversation")]
//! async fn get(&self, caller: Caller, id: Path<ConversationId>, min_position: Query<Option<Position>>)
//!     -> Result<Reply<Conversation>, Found> {
//!     Ok(Reply(self.reading.conversation(caller.user, id.0, min_position.0).await?.into()))
//! }
//! ```
//!
//! - The caller: a [`Caller`], whose token has been checked.
//! - The input: [`Body`] for JSON, poem-openapi's `Path`, `Query` and `Header` for the rest, with domain
//!   values as their types (`http::values`). A validator attribute on a shape is documented but never run:
//!   limits belong in the types, or in the first lines of the method.
//! - The use case: a function of [`reading`](crate::reading), [`access`](crate::access) or
//!   [`commands`](crate::commands). A command whose response shows a conversation is followed by a read of
//!   that conversation.
//! - The response: [`Reply`], [`Listed`], [`Created`], [`Made`], [`MadeOrInvited`], [`Requested`], [`Done`],
//!   [`Reached`], with [`Page`] for lists.
//! - The refusal: a [`Problem`], within the set of statuses that the operation names ([`Public`], [`Claimed`],
//!   [`SignedIn`], [`Proven`], [`Confirmed`], [`Keyed`], [`Followed`], [`Downloaded`], [`Found`], [`Ruled`],
//!   [`Retried`]).
//!   `impl From<MyError> for Problem` is all that `?` needs; `reasons.rs` translates the errors of the floors below.
//! - [`app`] builds each operation from the values that it calls, and serves them all. [`edge()`] is the
//!   outermost layer, through which every request passes.

pub mod http;
pub mod operations;
mod routes;

pub(crate) use crate::problems::{FieldError, Problem};
pub use http::body::{Body, BodyIfAny, given, given_word};
pub use http::caller::Caller;
pub use http::cursor::Cursor;
pub use http::edge::edge;
pub use http::few::Few;
pub use http::include::{Include, MentionsUsers, Named};
pub use http::item::Item;
pub use http::page::{Limit, Page, Wait};
pub use http::refusals::{
    Claimed, Confirmed, Downloaded, Followed, Found, Keyed, Proven, Public, Retried, Ruled, SignedIn,
};
pub use http::reply::{Created, Done, Listed, Made, MadeOrInvited, Reached, Reply, Requested};
pub use routes::{DOCUMENT, Parts, app, document};

#[cfg(test)]
mod tests;
