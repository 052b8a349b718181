//! Maps the paths to the operations, and builds each operation from the values that it calls.

use std::sync::Arc;

use bytes::Bytes;
use poem::{EndpointExt, Response, Route, endpoint::make_sync, get, http::header, post};
use poem_openapi::{OpenApi, OpenApiService};

use crate::{
    access::{Access, Bearers},
    api::{
        http::{
            caller::{Door, READS},
            cursor, document,
            edge::LOGOUT,
            explained,
            strict::Strict,
        },
        operations::{
            accounts::Accounts,
            activity::Activity,
            audit::AuditTrail,
            backchannel::BackchannelLogout,
            blocks::Blocks,
            consumer_acts::ConsumerActs,
            consumers::ConsumerOperations,
            conversations::Conversations,
            erasures::ErasureOperations,
            events::Following,
            exports::ExportOperations,
            held_exports::HeldExportOperations,
            holds::HoldOperations,
            host_conversations::HostConversations,
            host_tokens::HostTokenOperations,
            host_users::HostUsers,
            info::{About, Info},
            invitations::Invitations,
            invites::Invites,
            keys,
            logins::Logins,
            me::Me,
            members::Members,
            messages::Messages,
            own_erasure::OwnErasures,
            payloads,
            pins::Pins,
            presence::Presences,
            program_keys::ProgramKeys,
            programs::Programs,
            reactions::Reactions,
            receipts::Receipts,
            recovery::Recoveries,
            rosters::Rosters,
            search::Search,
            settings::Settings,
            users::Users,
            webhook_acts::WebhookActs,
            webhook_deliveries::WebhookDeliveries,
            webhooks::WebhookOperations,
        },
    },
    audit::Trail,
    commands::Commands,
    consumers::Office,
    erasures::Erasures,
    exports::Exports,
    limits::RateLimits,
    log::PublicUrl,
    problems,
    reading::{Events, Reading},
    shares::Shares,
    webhooks::Webhooks,
};

/// The floors below the edge. Each operation takes only those that it calls.
pub struct Parts {
    /// The commands, which make changes.
    pub commands: Commands,
    /// The reads of conversations and users.
    pub reading: Reading,
    /// Accounts, logins and blocks.
    pub access: Access,
    /// The events that a caller can follow.
    pub events: Events,
    /// The erasures.
    pub erasures: Erasures,
    /// The exports of the users' own data, and of what legal holds keep.
    pub exports: Exports,
    /// The authentication of callers.
    pub bearers: Bearers,
    /// The rate limits.
    pub limits: Arc<RateLimits>,
    /// The audit trail.
    pub trail: Trail,
    /// The webhooks.
    pub webhooks: Webhooks,
    /// The office that manages consumers.
    pub(crate) office: Office,
    /// The response of `GET /v1/info`.
    pub info: Info,
    /// The public address of this server.
    pub public_url: Option<PublicUrl>,
}

/// All groups of operations.
type Operations = (
    (Accounts, Activity, Recoveries, Invites),
    Logins,
    (Me, ExportOperations, OwnErasures),
    (Users, HostUsers, HostTokenOperations, HostConversations),
    // poem-openapi takes tuples of at most 16 groups, so some groups share a slot.
    (Blocks, Invitations),
    Conversations,
    Settings,
    Members,
    Messages,
    Search,
    Reactions,
    Pins,
    Receipts,
    Presences,
    (Following, WebhookOperations, WebhookActs, WebhookDeliveries),
    (
        (About, AuditTrail, Programs, ProgramKeys, Rosters),
        (ConsumerOperations, ConsumerActs, ErasureOperations, HoldOperations, HeldExportOperations),
    ),
);

/// The path of the document.
pub const DOCUMENT: &str = "/openapi.json";

/// All operations under `/v1`, their document at [`DOCUMENT`], the public keys at `/.well-known/jwks.json`, the
/// discovery document at `/.well-known/openid-configuration`, the endpoint for logout tokens at
/// `/v1/backchannel-logout`, the schemas of events under `/schemas/` and the kinds of problems under `/problems/`. The
/// endpoint of the gateway goes beside them, and [`edge()`](crate::api::edge()) wraps both:
/// `edge(app(parts, key).at("/v1/ws", gateway))`.
pub fn app(parts: Parts, cursor_key: &[u8; 32]) -> Route {
    cursor::authenticate(cursor_key);
    let Parts {
        commands,
        reading,
        access,
        events,
        erasures,
        exports,
        bearers,
        limits,
        trail,
        webhooks,
        office,
        info,
        public_url,
    } = parts;
    // Operations are moved often before they are served, so each holds the floors below by one pointer per
    // floor.
    let (access, commands, reading) = (Arc::new(access), Arc::new(commands), Arc::new(reading));
    let keys = keys::published(bearers.tokens.clone());
    let discovery = keys::described(&bearers.tokens, public_url);
    let logout = post(BackchannelLogout(access.clone()));
    let door = Door { bearers, reads: Shares::new(READS), limits };
    let operations: Operations = (
        (
            Accounts { access: access.clone() },
            Activity { access: access.clone() },
            Recoveries { access: access.clone() },
            Invites { access: access.clone() },
        ),
        Logins { access: access.clone() },
        (
            Me { access: access.clone() },
            ExportOperations { exports: exports.clone() },
            OwnErasures { access: access.clone(), erasures: erasures.clone() },
        ),
        (
            Users { access: access.clone() },
            HostUsers { access: access.clone() },
            HostTokenOperations { access: access.clone() },
            HostConversations { access: access.clone() },
        ),
        (
            Blocks { access: access.clone(), reading: reading.clone() },
            Invitations { access: access.clone(), commands: commands.clone(), reading: reading.clone() },
        ),
        Conversations { commands: commands.clone(), reading: reading.clone() },
        Settings { commands: commands.clone(), reading: reading.clone() },
        Members { commands: commands.clone(), reading: reading.clone() },
        Messages { commands: commands.clone(), reading: reading.clone() },
        Search { reading: reading.clone() },
        Reactions { commands: commands.clone(), reading: reading.clone() },
        Pins { commands: commands.clone(), reading: reading.clone() },
        Receipts { commands: commands.clone(), reading: reading.clone() },
        Presences { commands, reading: reading.clone() },
        (
            Following { events },
            WebhookOperations { webhooks: webhooks.clone() },
            WebhookActs { webhooks: webhooks.clone() },
            WebhookDeliveries { webhooks },
        ),
        (
            (
                About(info),
                AuditTrail { trail },
                Programs { access: access.clone() },
                ProgramKeys { access: access.clone() },
                Rosters { reading },
            ),
            (
                ConsumerOperations { office: office.clone(), access },
                ConsumerActs { office },
                ErasureOperations { erasures: erasures.clone() },
                HoldOperations { erasures },
                HeldExportOperations { exports },
            ),
        ),
    );
    routes(operations, door)
        .at(keys::KEYS, keys)
        .at("/.well-known/openid-configuration", discovery)
        .at(LOGOUT, logout)
        .at("/schemas/:file", payloads::published())
        .nest(problems::PATH, explained::explained())
}

/// The OpenAPI document of [`app`], as `verbatim openapi` prints it.
pub fn document() -> String {
    document::text::<Operations>()
}

/// The operations of `api` under [`document::BASE`] with their document. The caller check finds `known` in
/// the data of the request.
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
