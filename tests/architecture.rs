//! The house: which module may import which, which modules may use an outside crate, which names are allowed and how
//! long a file may be. The tables below are the architecture. Change them deliberately, with the reason, when you
//! find a better boundary.

#[path = "architecture/mod.rs"]
mod rules;

/// The floor of a module. Imports point down; siblings never import one another.
#[derive(Clone, Copy, PartialEq)]
enum Floor {
    At(u8),
    /// Beside the stairs: the table names the modules that may import it.
    Leaf,
}
use Floor::{At, Leaf};

/// A module directly below the crate, its floor, and the modules that it may import.
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
            // A command over the network sends requests to a node.
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
    // It merges the parts of one document.
    ("contract", At(7), &["domain", "gateway", "log", "responder"]),
    // The edges compose no queries. Their answers come from the use cases, so no edge knows a table. REST reads through
    // `reading`, a socket through `feed`.
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
    // The edge for programs on NATS. Each command goes to its operation in `api`, which `app` passes in.
    ("responder", At(6), &["access", "credentials", "domain", "log", "problems"]),
    // The edge for operators: liveness, readiness and metrics.
    ("admin", At(6), &["accounts", "domain", "hooks", "live", "log", "views"]),
    // The edge for browsers: pages.
    ("web", At(6), &["problems"]),
    // Authorisation of reads: `commands` opens a conversation for a member, and `feed` reads its past. `accounts` and
    // `presence` add the settings of the reader and the status of users to an answer. A reader of events ends when its
    // token expires, which `credentials` knows.
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
    // The data of a user: rows of `accounts`, and the events that the log and the views show to the user.
    ("exports", At(5), &["accounts", "credentials", "domain", "feed", "limits", "live", "log", "views"]),
    // It combines accounts and proofs to use cases, so that `accounts` is only SQL.
    ("access", At(5), &["accounts", "commands", "credentials", "domain", "issuers", "limits", "live"]),
    // A revocation is announced with the lifetime of access tokens, which `credentials` knows. A view recognises the
    // key of a retry for ever, the log for two minutes. `accounts` knows whether a user exists, and a member's settings
    // of a conversation.
    ("commands", At(4), &["accounts", "credentials", "domain", "limits", "live", "log", "views"]),
    // Missed events and the past of conversations: the views say where to look, and the log says what happened.
    ("feed", At(4), &["domain", "live", "log", "views"]),
    ("projector", At(4), &["domain", "log", "views"]),
    // It moves the outbox of `accounts` to a stream of the log.
    ("audit", At(4), &["accounts", "domain", "log"]),
    // It copies the tables of `auth` and `hooks` as opaque rows, asks `accounts` what is erased, and talks to a bucket
    // with the one HTTP client.
    ("archive", At(4), &["accounts", "domain", "log", "outbound"]),
    // Durables in the log, rows in `accounts`, and credentials that `authority` signs.
    ("consumers", At(4), &["accounts", "authority", "domain", "log"]),
    // Rows of `accounts`, events in the log, and the recipients of erased events: consumers and `hooks`.
    ("erasures", At(4), &["accounts", "credentials", "domain", "hooks", "log", "views"]),
    // It appends presence events, and asks the views which members to tell.
    ("presence", At(4), &["accounts", "domain", "live", "log", "views"]),
    // It follows the log by itself, and sends with the one HTTP client. Its rows are in `hooks`, and its changes are
    // audited. It asks `views` which messages have expired.
    ("webhooks", At(4), &["accounts", "credentials", "domain", "hooks", "log", "outbound", "views"]),
    // A change stores its audit event in the same transaction.
    ("hooks", At(3), &["accounts", "domain"]),
    // A user gets recent events according to the stays (times of membership) from the views.
    ("live", At(3), &["accounts", "credentials", "domain", "log", "views"]),
    ("log", At(1), &["domain"]),
    ("views", At(1), &["domain"]),
    ("accounts", At(2), &["credentials", "domain"]),
    // External issuers of identities, whose keys are fetched from them.
    ("issuers", At(2), &["domain", "outbound"]),
    // Above the log, over which nodes tell one another what they have admitted, and below all callers.
    ("limits", At(2), &["domain", "log"]),
    ("credentials", At(1), &["domain", "networks"]),
    // The users of NATS: keys and signed texts. Dev mode creates the same files as `verbatim nats init`.
    ("authority", At(1), &[]),
    // The one HTTP client, which checks the addresses that it connects to.
    ("outbound", At(1), &["networks"]),
    ("domain", At(0), &[]),
    ("clock", Leaf, &["domain"]),
    ("telemetry", Leaf, &[]),
    ("cache", Leaf, &[]),
    ("overload", Leaf, &[]),
    ("networks", Leaf, &[]),
    ("deadline", Leaf, &[]),
    ("shares", Leaf, &[]),
    ("supervise", Leaf, &[]),
    ("listen", Leaf, &["networks", "problems"]),
    // The listener, REST and the handshake refuse requests in the same form. A refusal names its rate limit.
    ("problems", Leaf, &["limits"]),
    ("dev", Leaf, &["authority"]),
    // Each part defines its own settings, and `config` gives them flags and variables. The rules for retention are a
    // value of `domain`, because all floors use them.
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

/// The modules that every module except `domain` may import.
const FOR_ALL: &[&str] = &["cache", "clock", "deadline", "overload", "shares", "supervise", "telemetry"];

/// Outside crates that every module except `domain` may use.
const ANYWHERE: &[&str] =
    &["bytes", "futures_util", "serde", "serde_json", "thiserror", "time", "tokio", "tracing", "uuid"];

/// The outside crates of the pure floor. It uses `bytes` as a value: the data of an event, which are never copied.
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
    // Also the backend of `zip`.
    ("flate2", &["web"]),
    ("http_body_util", &["listen", "outbound"]),
    ("hyper", &["listen", "outbound"]),
    ("hyper_rustls", &["outbound"]),
    ("hyper_util", &["listen", "outbound"]),
    ("icu_properties", &["credentials", "domain", "views"]),
    // Our tokens, and those of external issuers.
    ("jsonwebtoken", &["credentials", "issuers"]),
    ("libc", &["dev"]),
    ("mimalloc", &["main"]),
    ("nkeys", &["authority"]),
    ("percent_encoding", &["log", "responder"]),
    ("poem", &["admin", "api", "app", "gateway", "listen", "problems", "responder", "web"]),
    // The OpenAPI document shows problems through the type that serializes them.
    ("poem_openapi", &["api", "problems"]),
    ("prometheus_client", &["telemetry"]),
    ("quick_cache", &["cache"]),
    ("rustix", &["archive", "dev", "gateway"]),
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

/// Items of a crate that modules outside its home may pass through. They may use nothing else of the crate.
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
    // An outage of the database becomes the same refusal as every other outage.
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

/// Public types that share a name, each with the reason. All others have a unique name.
const SAME_NAMES: &[(&str, &str)] = &[
    ("Event", "what happened in a conversation, and `incoming::Event`, what happened on a socket"),
    ("Settings", "all settings of a process, and `listen::Settings`, always written with its module"),
];

/// The rooms inside a folder, from the lowest floor up. Rooms on one floor do not depend on one another.
const NESTED: &[(&str, &[&[&str]])] = &[
    ("domain", &[&["words"], &["stored"], &["conversation"], &["mod"]]),
    // A connection knows its parts. Reading, appending and upkeep use a connection.
    (
        "log",
        &[
            &["absent", "level", "limits", "public_url", "subject"],
            &["errors"],
            &["envelope"],
            &["audited", "structured"],
            &["audited_contract"],
            &["contract", "streams"],
            &["memory", "remake"],
            &["write", "connect"],
            &["connection"],
            &["bus", "raft", "read"],
            &["append", "claims", "connections", "durables", "erase", "kept", "records", "trail", "upkeep"],
            &["parked"],
            &["copies", "mirrors", "restoring"],
            &["mod"],
        ],
    ),
    ("api", &[&["http"], &["operations"], &["routes"], &["mod"]]),
    ("gateway", &[&["wire"], &["frames"], &["hub"], &["settings"], &["session"], &["watch"], &["mod"]]),
];

/// The maximum number of lines of a file, including its tests.
const MAX_LINES: usize = 400;

/// The maximum number of shipped lines in half of all files.
const MEDIAN_LINES: usize = 120;

/// The maximum number of shipped lines in nine of ten files.
const P90_LINES: usize = 280;

/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

/// Files with `unsafe`, each with its reason.
const UNSAFE: &[(&str, &str)] = &[
    ("dev/user.rs", "the standard library does not tell who we are"),
    ("dev/process.rs", "children that die with us, and signals other than SIGKILL"),
];

/// Files with unsupervised tasks, each with the reason why supervision is not needed: the tasks are short, and their
/// callers wait for them and notice their end or panic.
const UNSUPERVISED: &[(&str, &str)] = &[
    ("cli/process.rs", "it waits for a signal, before there is a process to supervise"),
    ("exports/download.rs", "one export is sent, with a deadline, and its reader notices its end"),
    ("gateway/session/life.rs", "one receipt is told"),
    ("issuers/keys.rs", "one set of keys is fetched, and the request that waits for it takes over its panic"),
    ("live/conversations.rs", "one conversation is read"),
    ("live/searched.rs", "one conversation is searched"),
    (
        "log/read/follow.rs",
        "the leader is asked one question, with a deadline, and the follower that waits takes over its panic",
    ),
    ("log/read/heads.rs", "the look-ups that wait are asked, each with a deadline"),
    ("log/write/commit.rs", "one round of appends, each with a deadline"),
    ("webhooks/reading.rs", "it reads for one owner, who ends it"),
    ("projector/reader.rs", "it works for one reader, who ends it and takes over its panic"),
];

/// Words that do not occur in pure code.
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
