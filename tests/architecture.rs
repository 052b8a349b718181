//! The house: who may import whom, who is the home of which outside crate, what names mean and how
//! long a file may be. The tables below are the architecture; change them deliberately, with the
//! reason, when a better wall is found.

#[path = "architecture/mod.rs"]
mod rules;

/// Where a module stands. Imports point down; siblings never import one another.
#[derive(Clone, Copy, PartialEq)]
enum Floor {
    At(u8),
    /// Beside the stairs: a module of which the table says by whom it may be imported.
    Leaf,
}
use Floor::{At, Leaf};

/// A module directly below the crate, its floor, and which others it may import.
const HOUSE: &[(&str, Floor, &[&str])] = &[
    ("main", At(8), &["cli"]),
    (
        "cli",
        At(8),
        &[
            "admin",
            "api",
            "app",
            "archive",
            "authority",
            "config",
            "consumers",
            "contract",
            "dev",
            "domain",
            "hooks",
            "log",
            // A command over the network asks a node.
            "outbound",
            "projector",
            "views",
            "webhooks",
        ],
    ),
    (
        "app",
        At(7),
        &[
            "access",
            "accounts",
            "admin",
            "api",
            "archive",
            "audit",
            "authority",
            "commands",
            "config",
            "consumers",
            "credentials",
            "domain",
            "erasures",
            "exports",
            "feed",
            "gateway",
            "issuers",
            "limits",
            "listen",
            "live",
            "log",
            "presence",
            "projector",
            "reading",
            "responder",
            "views",
            "web",
            "webhooks",
        ],
    ),
    // The halves of one document, joined.
    ("contract", At(7), &["domain", "gateway", "log", "responder"]),
    // The edges compose no queries: what they show comes from the use cases, so neither knows a table. REST reads
    // through `reading`, a socket through `feed`.
    (
        "api",
        At(6),
        &[
            "access",
            "audit",
            "commands",
            "consumers",
            "credentials",
            "domain",
            "erasures",
            "exports",
            "issuers",
            "limits",
            "listen",
            "live",
            "log",
            "problems",
            "reading",
            "webhooks",
        ],
    ),
    (
        "gateway",
        At(6),
        &[
            "access",
            "commands",
            "credentials",
            "domain",
            "feed",
            "limits",
            "listen",
            "live",
            "log",
            "presence",
            "problems",
        ],
    ),
    // The edge for programs on NATS: each command goes to the operation of `api` that it is, which `app` hands over.
    ("responder", At(6), &["access", "credentials", "log", "problems"]),
    // The edge for operators: is it alive, is it ready, what are its figures.
    ("admin", At(6), &["accounts", "domain", "hooks", "live", "log", "views"]),
    // The edge for eyes: pages in a browser.
    ("web", At(6), &["problems"]),
    // Who may read what: `commands` opens a conversation for a member, `feed` reads how it was, and an answer holds
    // what `accounts` and `presence` add: the settings of the reader, the status of a user. A reader of events ends with
    // its token, which `credentials` knows.
    (
        "reading",
        At(5),
        &[
            "accounts",
            "commands",
            "credentials",
            "domain",
            "feed",
            "limits",
            "live",
            "log",
            "presence",
            "views",
        ],
    ),
    // What a user may take along: the rows of `accounts`, the events that the log and the views let the user see.
    ("exports", At(5), &["accounts", "credentials", "domain", "feed", "live", "log", "views"]),
    // Accounts and proofs become one use case here, so that `accounts` is SQL only.
    ("access", At(5), &["accounts", "commands", "credentials", "domain", "issuers", "limits", "live"]),
    // A revocation is told for as long as access tokens live, which `credentials` knows.
    // A retry is known by its key in a view for ever, in the log for two minutes. Whether a user exists and how a
    // member has settled a conversation are truths of `accounts`.
    ("commands", At(4), &["accounts", "credentials", "domain", "limits", "live", "log", "views"]),
    // What a user has missed, and how it was: the views tell where to look, the log what happened.
    ("feed", At(4), &["domain", "live", "log", "views"]),
    ("projector", At(4), &["domain", "log", "views"]),
    // It appends presence events, and asks the view whom to tell.
    // It empties the outbox of `accounts` into a stream of the log.
    ("audit", At(4), &["accounts", "domain", "log"]),
    // It copies the tables of `auth` and `hooks` as rows without a meaning. Of `accounts` it asks what is erased. A bucket is
    // asked with the one HTTP client.
    ("archive", At(4), &["accounts", "domain", "log", "outbound"]),
    // Durables in the log, rows in `accounts`, and credentials that `authority` signs.
    ("consumers", At(4), &["accounts", "authority", "domain", "log"]),
    // Rows of `accounts`, events in the log, and who has been told: consumers and `hooks`.
    ("erasures", At(4), &["accounts", "credentials", "domain", "hooks", "log", "views"]),
    ("presence", At(4), &["accounts", "domain", "live", "log", "views"]),
    // It follows the log by itself, and sends with the one HTTP client. Its rows are those of `hooks`, and its changes are
    // audited. Of `views` it asks which messages are expired.
    ("webhooks", At(4), &["accounts", "credentials", "domain", "hooks", "log", "outbound", "views"]),
    // The audit event of a change is noted in its transaction.
    ("hooks", At(3), &["accounts", "domain"]),
    // Recent events are told by the stays that the views know.
    ("live", At(3), &["accounts", "credentials", "domain", "log", "views"]),
    ("log", At(1), &["domain"]),
    ("views", At(1), &["domain"]),
    ("accounts", At(2), &["credentials", "domain"]),
    // Others who prove an identity, by keys that are fetched from them.
    ("issuers", At(2), &["domain", "outbound"]),
    // Above the log, by which nodes tell one another what they have admitted; below all that asks.
    ("limits", At(2), &["domain", "log"]),
    ("credentials", At(1), &["domain", "networks"]),
    // The users of NATS: keys and signed texts. Dev mode makes the same files as `verbatim nats init`.
    ("authority", At(1), &[]),
    // The one HTTP client, which guards the addresses that it asks.
    ("outbound", At(1), &["networks"]),
    ("domain", At(0), &[]),
    ("clock", Leaf, &["domain"]),
    ("telemetry", Leaf, &[]),
    ("cache", Leaf, &[]),
    ("overload", Leaf, &[]),
    ("networks", Leaf, &[]),
    ("shares", Leaf, &[]),
    ("supervise", Leaf, &[]),
    ("listen", Leaf, &["networks", "problems"]),
    // Every door refuses in the same words: the listener, REST and the handshake.
    // A rate limit is named in the refusal.
    ("problems", Leaf, &["limits"]),
    ("dev", Leaf, &["authority"]),
    // Each part knows its own settings; here they get their flags and variables. The rules for retention are a value of
    // `domain`, because all floors ask it.
    (
        "config",
        Leaf,
        &[
            "archive",
            "credentials",
            "domain",
            "exports",
            "gateway",
            "issuers",
            "limits",
            "listen",
            "live",
            "log",
            "networks",
            "outbound",
            "presence",
            "webhooks",
        ],
    ),
    ("lib", Leaf, &[]),
];

/// What every module but `domain` may import.
const FOR_ALL: &[&str] = &["cache", "clock", "overload", "shares", "supervise", "telemetry"];

/// Outside crates that any module but `domain` may use.
const ANYWHERE: &[&str] =
    &["bytes", "futures_util", "serde", "serde_json", "thiserror", "time", "tokio", "tracing", "uuid"];

/// All that the pure floor may use. `bytes` is a value here: the data of an event, which are never copied.
const OF_DOMAIN: &[&str] =
    &["bytes", "icu_properties", "schemars", "serde", "serde_json", "time", "unicode_normalization", "uuid"];

/// The homes of all other outside crates.
const HOMES: &[(&str, &[&str])] = &[
    ("argon2", &["credentials"]),
    ("async_nats", &["log", "dev"]),
    (
        "aws_lc_rs",
        &[
            "api",
            "accounts",
            "archive",
            "authority",
            "consumers",
            "credentials",
            "dev",
            "exports",
            "feed",
            "gateway",
            "issuers",
            "limits",
            "listen",
            "log",
        ],
    ),
    (
        "base64",
        &[
            "api",
            "accounts",
            "archive",
            "authority",
            "credentials",
            "dev",
            "exports",
            "feed",
            "gateway",
            "issuers",
            "log",
        ],
    ),
    ("clap", &["cli", "config", "telemetry"]),
    // The backend of `zip`.
    ("flate2", &[]),
    ("http_body_util", &["listen", "outbound"]),
    ("hyper", &["listen", "outbound"]),
    ("hyper_rustls", &["outbound"]),
    ("hyper_util", &["listen", "outbound"]),
    ("icu_properties", &["credentials", "domain", "views"]),
    // Our tokens, and those of others.
    ("jsonwebtoken", &["credentials", "issuers"]),
    ("libc", &["dev"]),
    ("mimalloc", &["main"]),
    ("nkeys", &["authority"]),
    ("percent_encoding", &["log", "responder"]),
    ("poem", &["admin", "api", "app", "gateway", "listen", "problems", "responder", "web"]),
    // The document shows a problem by the type that writes it.
    ("poem_openapi", &["api", "problems"]),
    ("prometheus_client", &["telemetry"]),
    ("quick_cache", &["cache"]),
    ("rustix", &["dev", "gateway"]),
    ("rustls_native_certs", &["outbound"]),
    ("rusty_s3", &["archive"]),
    ("schemars", &["domain", "gateway"]),
    ("serde_path_to_error", &["api"]),
    ("serde_saphyr", &["contract"]),
    ("sqlx", &["accounts", "admin", "app", "archive", "dev", "hooks", "projector", "views"]),
    ("tokio_rustls", &["gateway", "listen", "outbound"]),
    (
        "tokio_util",
        &["app", "cli", "gateway", "listen", "live", "projector", "responder", "supervise", "webhooks"],
    ),
    ("toml", &["issuers"]),
    ("tower_service", &["outbound"]),
    ("tracing_subscriber", &["telemetry"]),
    ("unicode_normalization", &["accounts", "credentials", "domain", "views"]),
    ("unicode_security", &["credentials"]),
    ("utoipa_swagger_ui", &["web"]),
    ("webpki_roots", &["outbound"]),
    ("zip", &["exports"]),
    ("zstd", &["archive"]),
    ("zeroize", &["access", "credentials", "webhooks"]),
];

/// What modules that are not at home in a crate may hand through, and nothing else of it.
const HANDED_THROUGH: &[(&str, &[&str], &[&str])] = &[
    (
        "sqlx",
        &["PgPool", "Error", "Result"],
        &[
            "access",
            "audit",
            "cli",
            "commands",
            "consumers",
            "erasures",
            "exports",
            "feed",
            "live",
            "presence",
            "reading",
            "webhooks",
        ],
    ),
    // An outage of the database is refused in the words of all outages.
    ("sqlx", &["Error"], &["api"]),
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "common",
    "dto",
    "dtos",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "manager",
    "managers",
    "misc",
    "model",
    "models",
    "repository",
    "repositories",
    "service",
    "services",
    "store",
    "stores",
    "util",
    "utils",
];

/// Public types of one name, each with the reason. All others are found by their name alone.
const SAME_NAMES: &[(&str, &str)] = &[
    ("Event", "what happened in a conversation, and `incoming::Event`, what happened on a socket"),
    ("Settings", "all settings of a process, and `listen::Settings`, always written with its module"),
];

/// The rooms inside a folder, from the lowest floor up; rooms on one floor need nothing of one another.
const NESTED: &[(&str, &[&[&str]])] = &[
    ("domain", &[&["words"], &["stored"], &["conversation"], &["mod"]]),
    // A connection knows its parts; reading, appending and upkeep are done with a connection.
    (
        "log",
        &[
            &["level", "limits", "public_url", "subject"],
            &["errors"],
            &["envelope"],
            &["audited", "structured"],
            &["audited_contract"],
            &["contract", "streams"],
            &["memory"],
            &["write", "connect"],
            &["connection"],
            &["bus", "read"],
            &[
                "append",
                "claims",
                "connections",
                "durables",
                "erase",
                "parked",
                "kept",
                "records",
                "trail",
                "upkeep",
            ],
            &["copies", "mirrors", "restoring"],
            &["mod"],
        ],
    ),
    ("api", &[&["http"], &["operations"], &["routes"], &["mod"]]),
    ("gateway", &[&["wire"], &["frames"], &["hub"], &["settings"], &["session"], &["watch"], &["mod"]]),
];

/// The most lines of a file, with its tests.
const MAX_LINES: usize = 400;

/// How many lines half of all files ship at most.
const MEDIAN_LINES: usize = 120;

/// How many lines nine of ten files ship at most.
const P90_LINES: usize = 280;

/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

/// Files with `unsafe`, each with its reason.
const UNSAFE: &[(&str, &str)] = &[
    ("dev/user.rs", "the standard library does not tell who we are"),
    ("dev/process.rs", "children that die with us, and signals other than SIGKILL"),
];

/// Files with tasks that nobody supervises, each with the reason why it needs no supervision: they are short, and
/// their end or their panic is noticed by those that wait for them.
const UNSUPERVISED: &[(&str, &str)] = &[
    ("cli/process.rs", "it waits for a signal, before there is a process to supervise"),
    ("exports/download.rs", "one export is sent, with a deadline, and its reader notices its end"),
    ("gateway/session/life.rs", "one receipt is told"),
    ("issuers/keys.rs", "one set of keys is fetched, and the request that waits for it takes over its panic"),
    ("live/conversations.rs", "one conversation is read"),
    ("live/searched.rs", "one conversation is searched"),
    ("log/read/heads.rs", "the look-ups that wait are asked, each with a deadline"),
    ("log/write/commit.rs", "one round of appends, each with a deadline"),
    ("webhooks/reading.rs", "it reads for one owner, who ends it"),
    ("projector/reader.rs", "it works for one reader, who ends it and takes over its panic"),
];

/// What a pure function has no need of.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "Instant",
    "SystemTime",
    "now_utc",
    "now_local",
    "now_v7",
    "new_v4",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "static mut",
    "thread_local",
    "Mutex",
    "RwLock",
];
