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
//!     Ok(Reply(self.0.commands.update(caller.user, id.0, body.0).await?))
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
//! - [`app`] serves it all, [`edge()`] is the outer layer that every request passes.

pub mod http;
pub mod operations;
use std::sync::Arc;

pub use http::body::{Body, Few, given};
pub use http::caller::Caller;
pub use http::edge::edge;
pub use http::page::{Cursor, Limit, Page, Standing, Wait};
pub use http::problem::{FieldError, Problem};
pub use http::refusals::{Claimed, Followed, Found, Keyed, Proven, Public, Ruled, SignedIn};
pub use http::reply::{Created, Done, Listed, Made, Reached, Reply};

use poem::{EndpointExt, Route};
use poem_openapi::{OpenApi, OpenApiService, Tags};
use tokio::sync::watch;

use crate::{
    clock::Clock, commands::Commands, credentials, feed::Feed, live, live::Followers, presence::Presence,
    views,
};

/// What lies below the edge: all that operations call. Cheap to clone.
#[derive(Clone)]
pub struct Below {
    /// Making things happen.
    pub commands: Commands,
    /// The database of accounts and views.
    pub pool: sqlx::PgPool,
    /// How far the views have come.
    pub progress: views::Progress,
    /// What was missed.
    pub feed: Feed,
    /// Those who follow without a socket.
    pub followers: Arc<Followers>,
    /// Giving out and checking access tokens.
    pub tokens: Arc<credentials::Tokens>,
    /// Hashing passwords.
    pub hasher: credentials::Hasher,
    /// The logins that count no more.
    pub revoked: Arc<live::Revoked>,
    /// Who is here.
    pub presence: Presence,
    /// Time and ids.
    pub clock: Clock,
    /// What this server tells about itself.
    pub info: operations::info::Info,
    /// Whether this process takes nothing new any more.
    pub stopping: watch::Receiver<bool>,
}

/// Every operation there is.
type Operations = (
    operations::accounts::Accounts,
    operations::logins::Logins,
    operations::me::Me,
    operations::users::Users,
    operations::blocks::Blocks,
    operations::conversations::Conversations,
    operations::settings::Settings,
    operations::members::Members,
    operations::messages::Messages,
    operations::search::Search,
    operations::reactions::Reactions,
    operations::pins::Pins,
    operations::receipts::Receipts,
    operations::presence::Presences,
    operations::events::Following,
    operations::info::About,
);

/// The groups in which the document shows the operations.
#[derive(Tags)]
enum Tag {
    /// Register an account, and change it
    Accounts,
    /// Log in, refresh tokens, log out
    Logins,
    /// Find users, and block them
    Users,
    /// Direct conversations and groups
    Conversations,
    /// The members of a conversation and their roles
    Members,
    /// Send, read, edit, delete and search messages
    Messages,
    /// How far members have received and read a conversation
    Receipts,
    /// Whether users are online
    Presence,
    /// Follow the events of all conversations
    Events,
    /// The server and its limits
    Server,
}

/// All operations under `/v1`, `/openapi.json`, Swagger UI at `/docs/`, the public keys at
/// `/.well-known/jwks.json`, the schemas of events under `/schemas/` and the kinds of problems under
/// `/problems/`. The gateway's endpoint is put beside them, and [`edge()`] around both:
/// `edge(app(below).at("/v1/ws", gateway))`.
pub fn app(below: Below, cursor_key: &[u8; 32]) -> Route {
    http::page::authenticate(cursor_key);
    let door = http::caller::Door::of(&below);
    let keys = operations::keys::published(&below.tokens);
    let operations: Operations = (
        operations::accounts::Accounts(below.clone()),
        operations::logins::Logins(below.clone()),
        operations::me::Me(below.clone()),
        operations::users::Users(below.clone()),
        operations::blocks::Blocks(below.clone()),
        operations::conversations::Conversations(below.clone()),
        operations::settings::Settings(below.clone()),
        operations::members::Members(below.clone()),
        operations::messages::Messages(below.clone()),
        operations::search::Search(below.clone()),
        operations::reactions::Reactions(below.clone()),
        operations::pins::Pins(below.clone()),
        operations::receipts::Receipts(below.clone()),
        operations::presence::Presences(below.clone()),
        operations::events::Following(below.clone()),
        operations::info::About(below.info),
    );
    routes(operations, door)
        .at("/.well-known/jwks.json", keys)
        .at("/schemas/:file", operations::payloads::published())
        .nest(http::codes::PATH, http::codes::explained())
}

/// The OpenAPI document of [`app`], as `verbatim openapi` prints it.
pub fn document() -> String {
    http::document::text::<Operations>()
}

/// The operations of `api` under [`http::document::BASE`] with their document; checkers of callers find
/// `known` in the data of a request.
fn routes<A: OpenApi + 'static>(api: A, known: impl Clone + Send + Sync + 'static) -> Route {
    let operations =
        OpenApiService::new(http::strict::Strict(api), http::document::TITLE, http::document::VERSION);
    http::swagger::routes(http::document::text::<A>()).nest(http::document::BASE, operations.data(known))
}

#[cfg(test)]
mod tests;
