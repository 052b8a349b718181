//! The catalogue of bad input: `tests/bad_input/*.toml`, one table for each kind of input. After each case, the node is
//! alive and has logged no error, and log and tables are unchanged, unless the case says that its input is accepted.
//! Messages published into the log stay there. They affect their own conversation, and no other.

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
mod words;
