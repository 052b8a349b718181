//! Stories: the actions of people, bots and other services, run against real servers. Each story has its own
//! nats-server and database, and runs the program as its users do.

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]
// Everything here is only for this binary.
#![allow(unreachable_pub)]

#[path = "../flood/mod.rs"]
mod flood;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../unlimited/mod.rs"]
mod unlimited;
mod world;

mod accounts;
mod acting;
mod activity;
mod acts;
mod archived_epochs;
mod archives;
mod attempts;
mod audit;
mod bad_input;
mod blocks;
mod bot_commands;
mod buckets;
mod clients;
mod cluster;
mod cluster_archives;
mod command_line;
mod consumer_acts;
mod consumers;
mod consumers_admin;
mod consuming;
mod conversations;
mod database;
mod deadlines;
mod direct;
mod drill;
mod edge;
mod erased;
mod erased_archives;
mod erased_copies;
mod erased_elsewhere;
mod erased_titles;
mod erased_webhooks;
mod erasing;
mod erasing_accounts;
mod events;
mod exports;
mod filter;
mod floods;
mod handshakes;
mod held_exports;
mod holds;
mod holes;
mod hostile;
mod install;
mod invitations;
mod issuers;
mod joins;
mod limits;
mod log;
mod lost_log;
mod many;
mod matrix;
mod messages;
mod metadata;
mod metrics;
mod names;
mod newer;
mod nodes;
mod older;
mod operator_mode;
mod outages;
mod overload;
mod own_programs;
mod past;
mod permissions;
mod personal;
mod positions;
mod presence;
mod problems;
mod programs;
mod provision;
mod readiness;
mod readme;
mod receipts;
mod registration;
mod replays;
mod replica;
mod restored_accounts;
mod restores;
mod resume;
mod retention;
mod rfc6455;
mod root;
mod roster;
mod rosters;
mod search;
mod secrets;
mod shares;
mod signing_keys;
mod strangers;
mod tallies;
mod tls;
mod traces;
mod typed;
mod unread;
mod upgrade;
mod views;
mod webhooks;
