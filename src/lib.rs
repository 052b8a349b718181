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
//! Each folder answers one question and stands on one floor; imports point down only. `ARCHITECTURE.md`
//! has the table of the folders, the floors, and the reasons. `tests/architecture.rs` holds the rules
//! and fails when an import breaks one.

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
pub(crate) mod deadline;
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
