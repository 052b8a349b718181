//! Where every operation is put together from what it calls, and put under its path.

use std::sync::Arc;

use bytes::Bytes;
use poem::{EndpointExt, Response, Route, endpoint::make_sync, get, http::header};
use poem_openapi::{OpenApi, OpenApiService};
use sqlx::PgPool;
use tokio::sync::watch;

use crate::{
    access::Access,
    api::{
        http::{
            caller::{Door, READS},
            document, explained, page,
            strict::Strict,
        },
        operations::{
            accounts::Accounts,
            blocks::Blocks,
            conversations::Conversations,
            events::Following,
            follow::Source,
            info::{About, Info},
            keys,
            logins::Logins,
            me::Me,
            members::Members,
            messages::Messages,
            payloads,
            pins::Pins,
            presence::Presences,
            reactions::Reactions,
            receipts::Receipts,
            search::Search,
            settings::Settings,
            users::Users,
        },
    },
    clock::Clock,
    commands::Commands,
    credentials::{Hasher, Tokens},
    feed::Feed,
    limits::RateLimits,
    live::{self, Blocked, Followers, Revoked},
    log::Log,
    presence::Presence,
    problems,
    reading::{Reading, SEARCHES},
    shares::Shares,
    views::Progress,
};

/// What lies below the edge. Each operation takes from these parts the few that it calls.
pub struct Parts {
    /// Making things happen.
    pub commands: Commands,
    /// The log.
    pub log: Log,
    /// The rosters that this process keeps current.
    pub conversations: live::Conversations,
    /// Who has blocked whom.
    pub blocked: Arc<Blocked>,
    /// The database of accounts and views.
    pub pool: PgPool,
    /// How far the views have come.
    pub progress: Progress,
    /// What was missed.
    pub feed: Feed,
    /// Those who follow without a socket.
    pub followers: Arc<Followers>,
    /// Giving out and checking access tokens.
    pub tokens: Arc<Tokens>,
    /// Hashing passwords.
    pub hasher: Hasher,
    /// The logins that count no more.
    pub revoked: Arc<Revoked>,
    /// Who is here.
    pub presence: Presence,
    /// How often anything may be done.
    pub limits: Arc<RateLimits>,
    /// Time and ids.
    pub clock: Clock,
    /// What this server tells about itself.
    pub info: Info,
    /// Whether this process takes nothing new any more.
    pub stopping: watch::Receiver<bool>,
}

/// Every operation there is.
type Operations = (
    Accounts,
    Logins,
    Me,
    Users,
    Blocks,
    Conversations,
    Settings,
    Members,
    Messages,
    Search,
    Reactions,
    Pins,
    Receipts,
    Presences,
    Following,
    About,
);

/// The path of the document.
pub const DOCUMENT: &str = "/openapi.json";

/// All operations under `/v1`, their document at [`DOCUMENT`], the public keys at
/// `/.well-known/jwks.json`, the schemas of events under `/schemas/` and the kinds of problems under
/// `/problems/`. The gateway's endpoint is put beside them, and [`edge()`](crate::api::edge()) around both:
/// `edge(app(parts, key).at("/v1/ws", gateway))`.
pub fn app(parts: Parts, cursor_key: &[u8; 32]) -> Route {
    page::authenticate(cursor_key);
    let keys = keys::published(&parts.tokens);
    let Parts { tokens, revoked, clock, limits, .. } = &parts;
    let door = Door {
        tokens: tokens.clone(),
        revoked: revoked.clone(),
        clock: clock.clone(),
        reads: Shares::new(READS),
        limits: limits.clone(),
    };
    routes(operations(parts), door)
        .at("/.well-known/jwks.json", keys)
        .at("/schemas/:file", payloads::published())
        .nest(problems::PATH, explained::explained())
}

fn operations(parts: Parts) -> Operations {
    let Parts {
        commands,
        log,
        conversations,
        blocked,
        pool,
        progress,
        feed,
        followers,
        tokens,
        hasher,
        revoked,
        presence,
        limits,
        clock,
        info,
        stopping,
    } = parts;
    let reading = Reading {
        commands: commands.clone(),
        log: log.clone(),
        conversations: conversations.clone(),
        blocked,
        pool: pool.clone(),
        progress,
        feed: feed.clone(),
        presence,
        limits,
        clock: clock.clone(),
        searches: Shares::new(SEARCHES),
    };
    let access = Access {
        pool,
        hasher,
        tokens,
        revoked: revoked.clone(),
        followers: followers.clone(),
        commands: commands.clone(),
        clock: clock.clone(),
    };
    (
        Accounts { access: access.clone() },
        Logins { access: access.clone() },
        Me { access: access.clone() },
        Users { access: access.clone() },
        Blocks { access },
        Conversations { commands: commands.clone(), reading: reading.clone() },
        Settings { commands: commands.clone(), reading: reading.clone() },
        Members { commands: commands.clone(), reading: reading.clone() },
        Messages { commands: commands.clone(), reading: reading.clone() },
        Search { reading: reading.clone() },
        Reactions { commands: commands.clone(), reading: reading.clone() },
        Pins { commands: commands.clone(), reading: reading.clone() },
        Receipts { commands: commands.clone(), reading: reading.clone() },
        Presences { reading },
        Following(Source { log, conversations, feed, followers, revoked, clock, stopping }),
        About(info),
    )
}

/// The OpenAPI document of [`app`], as `verbatim openapi` prints it.
pub fn document() -> String {
    document::text::<Operations>()
}

/// The operations of `api` under [`document::BASE`] with their document; checkers of callers find
/// `known` in the data of a request.
pub(super) fn routes<A: OpenApi + 'static>(api: A, known: impl Clone + Send + Sync + 'static) -> Route {
    let operations = OpenApiService::new(Strict(api), document::TITLE, document::VERSION);
    let document = Bytes::from(document::text::<A>());
    Route::new()
        .at(DOCUMENT, get(make_sync(move |_| described(&document)).map_to_response()))
        .nest(document::BASE, operations.data(known))
}

fn described(document: &Bytes) -> Response {
    Response::builder()
        .content_type("application/json")
        .header(header::CACHE_CONTROL, "no-cache")
        .body(document.clone())
}
