//! The **REST edge**: shapes, status codes, one call down per handler. No SQL, no subjects, no
//! rules: those live on the floors below.
//!
//! One file is one resource; an operation is one short method:
//!
//! ```ignore
//! /// Rename a conversation
//! #[oai(path = "/conversations/:id", method = "patch", operation_id = "update_conversation")]
//! async fn update(&self, caller: Caller, id: Path<ConversationId>, body: Body<Changes>)
//!     -> Result<Reply<Conversation>, Ruled> {
//!     Ok(Reply(self.commands.update(caller.user, id.0, body.0).await?))
//! }
//! ```
//!
//! - Who asks: a [`Caller`], whose token has been checked.
//! - What comes in: [`Body`] for JSON, poem-openapi's `Path`, `Query` and `Header` for the rest, with
//!   domain values as their types (`http::values`). A validator attribute on a shape is documented but
//!   never run: limits belong into the types, or are looked at by the first lines of the method.
//! - What goes out: [`Reply`], [`Created`], [`Made`], [`Done`], [`Reached`], [`Page`].
//! - What goes wrong: a [`Problem`], within the set of statuses that the operation names
//!   ([`Public`], [`Claimed`], [`SignedIn`], [`Proven`], [`Keyed`], [`Found`], [`Ruled`]).
//!   `impl From<MyError> for Problem` is all that `?` needs; what the floors below refuse is
//!   translated in `reasons.rs`.
//! - [`app`] builds each operation from the values that it calls and serves it all, [`edge()`] is the outer layer that every request passes.

pub mod http;
pub mod operations;
mod routes;

pub(crate) use crate::problems::{FieldError, Problem};
pub use http::body::{Body, given};
pub use http::caller::Caller;
pub use http::edge::edge;
pub use http::few::Few;
pub use http::page::{Cursor, Limit, Page, Wait};
pub use http::refusals::{Claimed, Followed, Found, Keyed, Proven, Public, Ruled, SignedIn};
pub use http::reply::{Created, Done, Listed, Made, Reached, Reply};
pub use routes::{DOCUMENT, Parts, app, document};

#[cfg(test)]
mod tests;
