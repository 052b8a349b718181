//! The catalogue of bad input: `tests/bad_input/*.toml`, one table for each door. After each case the node lives, has
//! logged no error, and log and tables are what they were, unless the case says that its input is accepted. What is
//! published into the log stays there: it has an outcome for its own conversation, and for no other.

mod answer;
mod catalogue;
mod coverage;
mod cursors;
mod events;
mod frames;
mod handshake;
mod http;
mod process;
mod proof;
mod rest;
mod stage;
mod tokens;
