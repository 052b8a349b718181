//! Verbatim: the chat backend that keeps every word, in order, once, and can prove it.
//!
//! # A tour
//!
//! Somebody says something at an edge: [`api`] (REST) or [`gateway`] (WebSocket). The edge knows who
//! is asking from [`auth`] and makes one call to [`commands`], which loads the roster of the
//! conversation, lets the pure rules of [`domain`] decide, and appends the event that follows to
//! the [`log`]. The caller is answered when JetStream has stored it, with its position. From there
//! the event goes two ways: each process follows the log and its hub ([`gateway::hub`]) hands the
//! event to the sockets of those who may know; and the [`projector`] brings it into [`views`], the
//! tables of Postgres that can be asked. [`presence`] tells who is here. [`app`] puts all of this
//! together, [`cli`] starts it. Who was away is given by [`feed`] what they have missed, and who looks
//! back how it was.
//!
//! # The house
//!
//! Each folder answers one question.
//!
//! | folder | answers | may know |
//! |---|---|---|
//! | [`domain`] | what **may** happen | std, serde, schemars, uuid and time types; pure: no async, no clock, no randomness |
//! | [`log`] | what **has** happened | JetStream; the only home of subjects, headers, streams |
//! | [`views`] | what can be **asked** | Postgres schema `view`; disposable; one file is one view: its projection (only writer) beside its queries (only readers) |
//! | [`auth`] | **who** is asking, and what they have settled for themselves | argon2, JWT, Postgres schema `auth`; the one truth outside the log, never rebuilt |
//! | [`presence`] | who is **here** | log, views, auth; sessions with leases; decides when a presence change is worth an event |
//! | [`live`] | what this process **knows** because it follows the log: so far, who has to be woken when something happens | log |
//! | [`commands`] | **making** it happen: load, decide, append, retry | domain, log; views for what was told before; of auth how long a token lives and who has blocked whom |
//! | [`feed`] | what somebody has **missed**, from a cursor on; how a conversation **was** | log, views |
//! | [`projector`] | **keeping** the views true: log into views, and views anew | log, views |
//! | [`gateway`] | the WebSocket edge: session, frame, hub, resume, close | commands, feed, live, presence, views, log, auth; no SQL, no rules |
//! | [`api`] | the REST edge: shapes, status codes, one call down per handler | commands, feed, live, presence, views, log, auth; no SQL, no NATS, no rules |
//! | [`admin`] | the edge for operators: which part works, ready, figures | log, views, auth, commands; of Postgres one connection of its own |
//! | [`asyncapi`] | one document of what is published and said | the halves that log and gateway write |
//! | [`app`], [`cli`], [`config`], [`telemetry`], [`clock`], [`supervise`], [`dev`], [`listen`] | wiring, commands, settings, logs and metrics, time and ids, tasks that live as long as the process, the private servers of dev mode, the door | once each |
//!
//! Imports point down only, and siblings never import one another:
//!
//! ```text
//!  5   main  cli
//!  4   app   asyncapi
//!  3   api   gateway    admin
//!  2   commands   feed   projector   presence   live
//!  1   log   views   auth
//!  0   domain
//!
//!  beside the stairs:  clock  telemetry  supervise  (for all but domain)   config  listen  dev
//! ```
//!
//! `tests/architecture.rs` holds this as a table and fails when it is broken. `ARCHITECTURE.md` says
//! what else holds, and why.

pub mod accounts;
pub mod admin;
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod contract;
pub mod credentials;
pub mod dev;
pub mod domain;
pub mod feed;
pub mod gateway;
pub mod listen;
pub mod live;
pub mod log;
pub mod presence;
pub mod projector;
pub mod supervise;
pub mod telemetry;
pub mod views;
