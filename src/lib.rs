//! Verbatim: the chat backend that keeps every word, in order, once, and can prove it.
//!
//! # A tour
//!
//! A message comes in at an edge: [`api`] (REST) or [`gateway`] (WebSocket). The edge checks the
//! token with [`access`] and makes one call to [`commands`]. The command loads the roster of
//! the conversation, lets the pure rules of [`domain`] decide, and appends the resulting event to
//! the [`log`]. The caller gets an answer, with the event's position, when JetStream has stored the
//! event. From there the event goes two ways. Each process follows the log in [`live`], and the hub
//! in [`gateway`], if the process has a gateway, hands the event to the sockets of the members. The
//! [`projector`] writes the event into [`views`], the tables of Postgres that queries read.
//!
//! [`live`] holds the knowledge that a process has because it follows the log, [`presence`] knows
//! which users are connected, and [`accounts`] knows which people exist. [`feed`] gives a returning
//! client the events that the client missed, and reads the state of a conversation at an earlier
//! time. [`app`] builds a process from all these parts, and [`cli`] starts the process.
//!
//! # The house
//!
//! Each folder answers one question.
//!
//! | folder | answers | may know |
//! |---|---|---|
//! | [`domain`] | what **may** happen | std, serde, schemars, uuid and time types; pure: no async, no clock, no randomness. Inside: `words/` (ids, text, time, metadata, checked at the edge), `stored/` (the lenient forms that read the log), `conversation/` (the aggregate, the fold, the past) |
//! | [`log`] | what **has** happened | JetStream; the only home of subjects, headers and streams. Inside: `streams/`, `memory/` (what this process remembers of them), `write/`, `read/`, `bus/` (signals and leases), `upkeep/` |
//! | [`views`] | what can be **asked** | the Postgres schema `view`, which is disposable. One file is one view: its projection (the only writer) beside its queries (the only readers) |
//! | [`credentials`] | what **proves** an identity, and which names are allowed | argon2 and JWT: passwords, tokens, keys, user names; no SQL |
//! | [`authority`] | which **NATS users** exist, and what they may do: keys, accounts and users of NATS in operator mode | Ed25519; it opens no file and no connection |
//! | [`outbound`] | the one HTTP **client**: which addresses may be asked, how long, how much | an HTTP client and TLS |
//! | [`issuers`] | which **others** prove an identity: external issuers, their keys, the check of their tokens | outbound, JWT |
//! | [`accounts`] | who **exists** | the Postgres schema `auth`, SQL only: people, logins, settings, blocks. The one truth outside the log, never rebuilt |
//! | [`hooks`] | which **webhooks** there are, and how far their events were sent | the Postgres schema `hooks`, SQL only |
//! | [`limits`] | how **often**: rate limits in memory; nodes tell one another what they have admitted | log (the signals between nodes) |
//! | [`live`] | what this process **knows** because it follows the log and hears signals: rosters, watermarks, recent events, followers to wake, revoked logins, blocks | log, views, accounts, credentials |
//! | [`commands`] | **making** it happen: load, decide, append, retry | log, limits, live, views (the keys of earlier commands), accounts (which users exist, private settings), credentials (how long a token lives) |
//! | [`feed`] | what a user has **missed** since a cursor; how a conversation **was** | log, views, live |
//! | [`archive`] | what is **kept elsewhere**: segments of the log, dumps of the accounts, and the restore from both | log; the schemas `auth` and `hooks`, as rows without a meaning |
//! | [`audit`] | what has happened to accounts, keys and issuers: the **audit trail**, from the outbox to the stream AUDIT | log, accounts |
//! | [`consumers`] | who **else** reads the log: durables, credentials and programs of consumers, for operators | log, accounts, authority |
//! | [`erasures`] | what is **gone** for good: requests, the hiding and the deletion of what they name, receipts; and the legal holds that forbid a deletion | log, views, accounts, credentials, hooks |
//! | [`presence`] | who is **here**: sessions with leases, and which changes are worth an event | log, live, views, accounts |
//! | [`reading`] | who may **read** what of a conversation, how fresh the views must be, and following events without a socket | commands, feed, presence, live, limits, log, views, accounts, credentials |
//! | [`exports`] | what a user **takes along**: the own data as a zip, written while it is downloaded | feed, live, log, views, accounts, credentials; zip |
//! | [`access`] | how a person or a program gets **in**, and how access ends on all nodes: authenticate, register, find users, log in, refresh, log out, block | accounts, credentials, issuers, commands, limits, live |
//! | [`projector`] | **keeping** the views true: the log into views, and views anew | log, views |
//! | [`webhooks`] | how we tell **others' servers** what has happened: following, ordering, sending, retrying | hooks, log, outbound, credentials, accounts |
//! | [`gateway`] | the WebSocket edge. Inside: `wire/` (framing, backlog, socket), `frames/` (what is said), `hub/` (topics, listeners, delivery), `session/` (handshake, resume, life) | access, commands, feed, presence, live, limits, log, credentials; no SQL, no tables, no rules |
//! | [`api`] | the REST edge. Inside: `http/` (how we speak HTTP), `operations/` (one file a resource) | commands, reading, access, and the values that they give; no SQL, no tables, no NATS, no rules |
//! | [`problems`] | how we say **no**: RFC 9457 problems, their codes and request ids, for all doors | limits (the limit that a refusal names) |
//! | [`admin`] | the edge for **operators**: which part works, readiness, metrics, status | log, live, views, accounts; one Postgres connection of its own |
//! | [`web`] | the edge for **eyes**: the chat page, the page for operators, Swagger UI | problems; its caller names the document |
//! | [`contract`] | the published documents | the halves that log and gateway write |
//! | [`app`], [`cli`], [`config`], [`telemetry`], [`clock`], `cache`, `networks`, `shares`, `overload`, [`supervise`], [`dev`], [`listen`] | wiring; commands; settings; logs, metrics and traces; time and ids; bounded memory; lists of networks; fair shares of a node's places; load shedding; tasks that live as long as the process; the private servers of dev mode; the door | once each |
//!
//! Imports point down only, and siblings never import one another:
//!
//! ```text
//!  8   main  cli
//!  7   app   contract
//!  6   api   gateway   admin   web
//!  5   reading   access   exports
//!  4   commands   feed   projector   presence   audit   archive   consumers   webhooks   erasures
//!  3   live   hooks
//!  2   accounts   limits   issuers
//!  1   log   views   credentials   outbound   authority
//!  0   domain
//!
//!  beside the stairs:  clock  telemetry  cache  shares  overload  supervise  (for all but domain)   config  listen  dev
//! ```
//!
//! `accounts` stands one floor above `credentials`, because the rows it keeps hold the types of
//! `credentials`: a stored user name is a `Username`, a stored password a `PasswordHash`. An
//! account knows its proof, and a proof knows no account.
//!
//! `tests/architecture.rs` holds these rules as a table and fails when an import breaks one.
//! `ARCHITECTURE.md` has the other rules, and the reasons for all of them.

#[allow(unreachable_pub)]
pub(crate) mod access;
pub mod accounts;
pub(crate) mod admin;
#[allow(unreachable_pub)]
pub(crate) mod api;
pub mod app;
#[allow(unreachable_pub)]
pub(crate) mod archive;
pub(crate) mod audit;
pub(crate) mod authority;
pub mod cache;
pub mod cli;
pub mod clock;
#[allow(unreachable_pub)]
pub(crate) mod commands;
pub mod config;
pub(crate) mod consumers;
pub mod contract;
pub mod credentials;
pub mod dev;
pub mod domain;
#[allow(unreachable_pub)]
pub(crate) mod erasures;
#[allow(unreachable_pub)]
pub(crate) mod exports;
#[allow(unreachable_pub)]
pub(crate) mod feed;
pub mod gateway;
pub(crate) mod hooks;
#[allow(unreachable_pub)]
pub(crate) mod issuers;
pub mod limits;
#[allow(unreachable_pub)]
pub(crate) mod listen;
#[allow(unreachable_pub)]
pub mod live;
pub mod log;
#[allow(unreachable_pub)]
pub(crate) mod networks;
pub(crate) mod outbound;
#[allow(unreachable_pub)]
pub(crate) mod overload;
pub mod presence;
pub(crate) mod problems;
pub mod projector;
#[allow(unreachable_pub)]
pub(crate) mod reading;
pub(crate) mod responder;
pub(crate) mod shares;
pub mod supervise;
pub(crate) mod telemetry;
pub mod views;
pub(crate) mod web;
pub(crate) mod webhooks;
