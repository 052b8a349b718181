//! The command line.

mod addresses;
mod archive;
mod audit;
mod backup;
mod check;
mod command;
mod consumer_args;
mod consumer_told;
mod consumer_words;
mod consumers;
mod consumers_remotely;
mod dev;
mod erasures;
mod failed;
mod holds;
mod log;
mod logins;
mod migrate;
mod mirrors;
mod nats;
mod open_files;
mod people;
mod process;
mod programs;
mod reach;
mod rebuild;
mod remote;
mod restore;
mod run;
mod running;
mod serve;
mod servers;
mod signing_key;
mod status;
mod webhooks;

pub use run::main;
