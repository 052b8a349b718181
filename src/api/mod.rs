//! The **REST edge**: shapes, status codes, one call down per handler. No SQL, no subjects, no
//! rules: those live on the floors below.
//!
//! An operation is one short method:
//!
//! ```ignore
//! /// Rename a conversation
//! #[oai(path = "/conversations/:id", method = "patch", operation_id = "update_conversation")]
//! async fn update(&self, caller: Caller, id: Path<ConversationId>, body: Body<Changes>)
//!     -> Result<Reply<Conversation>, Ruled> {
//!     Ok(Reply(self.commands.update(caller.0, id.0, body.0).await?))
//! }
//! ```
//!
//! - What comes in: [`Body`] for JSON, poem-openapi's `Path`, `Query` and `Header` for the rest, with
//!   domain values as their types ([`values`]). A validator attribute on a shape is documented but
//!   never run: limits belong into the types.
//! - What goes out: [`Reply`], [`Created`], [`Made`], [`Done`], [`Page`].
//! - What goes wrong: a [`Problem`], within the set of statuses that the operation names
//!   ([`Public`], [`Claimed`], [`SignedIn`], [`Found`], [`Ruled`]). `impl From<MyError> for Problem` is all that `?` needs.
//! - [`routes`] serves the operations under `/v1` with their document and Swagger UI, [`edge`] is
//!   the outer layer that every request passes.

mod body;
pub mod document;
mod edge;
mod problem;
mod refusals;
mod reply;
mod strict;
mod swagger;
pub mod values;

pub use body::{Body, Few, given};
pub use edge::{RequestId, edge};
pub use problem::{FieldError, Problem};
pub use refusals::{Claimed, Found, Public, Ruled, SignedIn};
pub use reply::{Created, Done, Made, Page, Reply};

use poem::Route;
use poem_openapi::{OpenApi, OpenApiService};

/// The operations of `api` under [`document::BASE`], `/openapi.json` and Swagger UI at `/docs/`.
/// Put it, together with whatever else is served, into [`edge`].
pub fn routes<A: OpenApi + 'static>(api: A) -> Route {
    let operations = OpenApiService::new(strict::Strict(api), document::TITLE, document::VERSION);
    swagger::routes(document::text::<A>()).nest(document::BASE, operations)
}

#[cfg(test)]
mod tests;
