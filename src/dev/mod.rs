//! The private servers of dev mode and of the tests: a nats-server and a Postgres on loopback that belong to
//! this process and end with it.

mod cluster;
mod error;
mod folder;
mod home;
mod nats;
mod postgres;
mod process;
mod secret;
mod servers;
mod start;
mod tools;
mod user;

pub use cluster::{Cluster, start_cluster};
pub use error::DevError;
pub use nats::{Nats, NatsOptions, NatsUser, start_nats};
pub use postgres::{Postgres, PostgresOptions, start_postgres};
pub use servers::Servers;
pub use tools::{Tools, tools};
